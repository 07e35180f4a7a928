"""Property: over random payments, disputes and defects the explained differences come to the difference of the
balances, to the unit, and each defect is named as what it is. Days come in the acquirer's own format and in another
one."""

from __future__ import annotations

import asyncio
import csv
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from msgspec import Struct

from tallystick.domain.dispute_movement import Movement
from tallystick.domain.notices import AttemptNotice, DisputeNotice, Notice
from tallystick.domain.verdicts import Reversed
from tallystick.flows.reconciliation.worker import ReconciliationWorker
from tallystick.flows.runtime import Runtime
from tallystick.kit.ids import new_id
from tests.support.acquirer import AcquirerProcess, acquirer
from tests.support.acquirer_days import Causes, causes, closed, content, grown, reconciled, runtime_at
from tests.support.database import DEEP, Database
from tests.support.inbox import accept, assert_invariants, drain, envelope
from tests.support.letters import new_letters
from tests.support.runtime import Client, read

DAYS: Final = 100 if DEEP else 3

#: The formats that days come in, in turns: other -> how its file's name ends.
FORMATS: Final = (None, "stripe")

_DIFFERS: Final = "rows whose amount differs"

#: Defect -> cause, detail, and whether it is less at the provider than what the acquirer says that it did.
NAMED: Final[dict[str, tuple[str, str, int]]] = {
    "missing_row": ("no_row", "capture", 1),
    "late_row": ("no_row", "capture", 1),
    "other_currency": ("no_row", "capture", 1),
    "doubled_row": ("mismatched: duplicate", _DIFFERS, 1),
    "off_by_one": ("mismatched: amount", _DIFFERS, 1),
    "wrong_fee": ("fees: not as agreed", "charged above or below the schedule", -1),
    "unknown_type": ("unexplained: unknown_type", _DIFFERS, 1),
}

#: A currency that comes to less than nothing is carried on to the next day: that is explained, and no defect.
CARRIED: Final = "explained: carry"

#: What a movement that no webhook told is, by what it is.
UNTOLD: Final[dict[str, str]] = {
    "dispute": "unexplained: not_in_record",
    "dispute_won": "unexplained: not_in_record",
    "refund_failed": "mismatched: reference",
}

#: Amounts are multiples of this: then one unit more never moves a fee of 1.4 % over a half.
STEP: Final = 50


@pytest.fixture
def running(tmp_path: Path) -> Iterator[AcquirerProcess]:
    with acquirer(tmp_path / "books.sqlite") as process:
        yield process


def expected(defects: list[dict[str, Any]]) -> Causes:
    """What the acquirer says that it did, in the words of reconciliation."""
    found: Causes = {}

    def add(currency: str, cause: str, detail: str, amount: int) -> None:
        was = found.get((currency, cause, detail), (0, 0))
        found[currency, cause, detail] = (was[0] + amount, was[1] + 1)

    for each in defects:
        cause, detail, sign = NAMED[each["defect"]]
        add(each["currency"], cause, detail, sign * each["amount"])
        if each["defect"] == "other_currency":
            other = "EUR" if each["currency"] == "USD" else "USD"
            add(other, "mismatched: currency", _DIFFERS, -each["amount"])
    return found


class Happened(Struct, frozen=True, kw_only=True):
    """What happened at the provider besides payments. ``amount``: signed, as a settlement has it. ``told``: by a
    webhook before the file, after it, or not at all."""

    kind: str
    currency: str
    amount: int
    payment_id: str
    notice: Notice
    told: str


def _disputed(name: str, amount: int, currency: str, *, won: bool) -> DisputeNotice:
    moved = [Movement(reference=f"{name}_out", funds="withdrawn", amount=amount, before_verdict=True)]
    if won:
        moved.append(Movement(reference=f"{name}_back", funds="returned", amount=amount, before_verdict=False))
    state = "won" if won else "opened"
    return DisputeNotice(reference=name, state=state, amount=amount, currency=currency, movements=tuple(moved))  # type: ignore[arg-type]


async def random_day(
    runtime: Runtime, merchant_id: str, running: AcquirerProcess, draw: random.Random
) -> tuple[int, list[Happened]]:
    """Payments, refunds, and what became of some of them; how many payments nothing else happened to."""
    client, alone, found = Client(runtime, merchant_id), 0, list[Happened]()
    for _ in range(draw.randint(4, 12)):
        amount, currency = STEP * draw.randint(1, 2_000), draw.choice(["EUR", "EUR", "USD"])
        payment = read(await client.create(new_id("req"), amount, payment_method="sim_ok", currency=currency))
        told, fate = draw.choice(["before", "after", "never"]), draw.random()
        if fate < 0.3:
            back = draw.randint(1, amount)
            refund = read(await client.refund(new_id("req"), payment["id"], back))
            if fate < 0.15:
                name = refund["provider_reference"]
                assert (await running.acall("POST", f"/sim/operations/{name}/fail"))[0] == 200
                failed = Reversed(code="returned", message="It came back.")
                notice: Notice = AttemptNotice(operation="refund", reference=name, verdict=failed)
                found.append(_happened("refund_failed", payment, back, notice, told))
        elif fate < 0.6:
            found += await _disputed_there(running, payment, told, is_won=fate < 0.4)
        else:
            alone += 1
    return alone, found


async def _disputed_there(
    running: AcquirerProcess, payment: dict[str, Any], told: str, *, is_won: bool
) -> list[Happened]:
    """A chargeback with its fee, and its end where it is won."""
    charge, amount, currency = payment["provider_reference"], payment["amount"], payment["currency"]
    name = (await running.acall("POST", f"/sim/charges/{charge}/dispute", {}))[1]["dispute_id"]
    for step in ("withdraw", "win")[: 1 + is_won]:
        assert (await running.acall("POST", f"/sim/disputes/{name}/{step}"))[0] == 200
    found = [_happened("dispute", payment, -amount, _disputed(name, amount, currency, won=False), told)]
    if is_won:
        found.append(_happened("dispute_won", payment, amount, _disputed(name, amount, currency, won=True), told))
    return found


def _happened(kind: str, payment: dict[str, Any], amount: int, notice: Notice, told: str) -> Happened:
    return Happened(
        kind=kind, currency=payment["currency"], amount=amount, payment_id=payment["id"], notice=notice, told=told
    )


async def tell(database: Database, runtime: Runtime, merchant_id: str, happened: list[Happened]) -> None:
    """The webhooks of these."""
    events = []
    for each in happened:
        loaded = await runtime.reads.load(merchant_id, each.payment_id)
        assert loaded is not None
        events.append(envelope(new_letters(), each.notice, payment=loaded.stored.payment))
    await accept(database, events)
    await drain(runtime, merchant_id)


def _carries_nothing(running: AcquirerProcess, day: dict[str, Any], other: str) -> bool:
    """Whether the day's file has a payout in each of its currencies, and nothing from the day before. Stripe's report
    proves its rows by their payout, and knows no carried sums: a currency that is carried on has no proof there, and
    what comes from the day before is an adjustment for a person."""
    [name] = [each for each in day["files"] if each.endswith(f"{other}.csv")]
    rows = list(csv.DictReader(content(running, name).decode().splitlines()))
    paid_out = {row["currency"] for row in rows if row["reporting_category"] == "payout"}
    return paid_out == {row["currency"] for row in rows} and all(
        row["reporting_category"] != "other_adjustment" for row in rows
    )


async def test_each_defect_is_explained_to_the_unit(
    database: Database, fresh_merchant: str, running: AcquirerProcess, tmp_path: Path
) -> None:
    late: list[dict[str, Any]] = []
    async with runtime_at(database, running) as runtime:
        for seed in range(DAYS):
            draw, before, other = random.Random(seed), await causes(runtime), FORMATS[seed % len(FORMATS)]
            alone, happened = await random_day(runtime, fresh_merchant, running, draw)
            names = draw.choices(list(NAMED), k=draw.randint(0, min(alone, 7)))
            day = await closed(running, *names, formats=[other] if other else [])
            assert [each["defect"] for each in day["defects"]] == names
            await tell(database, runtime, fresh_merchant, [each for each in happened if each.told == "before"])
            if other and not await asyncio.to_thread(_carries_nothing, running, day, other):
                other = None
            files = [name for name in day["files"] if name.endswith("stripe.csv") == (other is not None)]
            await reconciled(runtime, running, files, tmp_path, **({"provider": "simulator"} if other else {}))
            await tell(database, runtime, fresh_merchant, [each for each in happened if each.told == "after"])
            while await ReconciliationWorker(runtime).round():
                pass
            arrived = expected(late)  # yesterday's late rows are there, and are no difference any more
            wanted = expected(day["defects"])
            for each in happened:
                if each.told == "never":
                    name = (each.currency, UNTOLD[each.kind], _DIFFERS)
                    was = wanted.get(name, (0, 0))
                    wanted[name] = (was[0] + each.amount, was[1] + 1)
            for name, (amount, count) in arrived.items():
                was = wanted.get(name, (0, 0))
                wanted[name] = (was[0] - amount, was[1] - count)
            wanted = {name: sums for name, sums in wanted.items() if sums != (0, 0)}
            found = grown(before, await causes(runtime))
            found = {name: sums for name, sums in found.items() if name[1] != CARRIED}
            assert found == wanted, f"seed {seed}: {names}"
            late = [each for each in day["defects"] if each["defect"] == "late_row"]
    await assert_invariants(database, fresh_merchant)
