"""Property: over random payments, disputes and defects the explained differences come to the difference of the
balances, to the unit, and each defect is named as what it is. Days come in the acquirer's own format and in four
others, in turns."""

from __future__ import annotations

import asyncio
import csv
import random
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Final

import pytest
from msgspec import Struct

from tallystick.domain.dispute_movement import Movement
from tallystick.domain.fee_schedule import StatedSchedule
from tallystick.domain.notices import AttemptNotice, DisputeNotice, Notice
from tallystick.domain.verdicts import Reversed
from tallystick.flows.reconciliation.fee_schedules import set_schedule
from tallystick.flows.reconciliation.worker import ReconciliationWorker
from tallystick.flows.runtime import Runtime
from tallystick.kit.ids import new_id
from tests.support.acquirer import AcquirerProcess, acquirer
from tests.support.acquirer_days import (
    GENERIC_MAPPING,
    RATES,
    Causes,
    causes,
    closed,
    content,
    grown,
    reconciled,
    runtime_at,
)
from tests.support.acts import asked
from tests.support.database import DEEP, Database
from tests.support.inbox import accept, assert_invariants, drain, envelope
from tests.support.letters import new_letters
from tests.support.runtime import Client, read

DAYS: Final = 40 if DEEP else 5

#: What is wrong with a day's files, and not with one of its rows.
WHOLE: Final = (
    "negative_batch",
    "file_twice",
    "two_payouts",
    "regenerated",
    "corrected",
    "missing",
    "manual_payout",
)


class Written(Struct, frozen=True, kw_only=True):
    """A format that days come in. ``name``: the acquirer's of it; None: its own. ``asked``: how its files are imported.
    ``cannot``: what there cannot be in it. ``fee_apart``: what a dispute costs is a row of its own, so that the rows of
    disputes are agreed to cost nothing."""

    name: str | None = None
    asked: dict[str, Any] = {}
    cannot: tuple[str, ...] = ()
    fee_apart: bool = False

    def files(self, day: dict[str, Any]) -> list[str]:
        """Those of a day, in the order in which they were written."""
        own = [each for each in day["files"] if each.rpartition("-")[2].removesuffix(".csv").isdigit()]
        others = [each for each in day["files"] if each not in own]
        return sorted(own if self.name is None else others, key=lambda each: (len(each), each))


#: In turns. Stripe's report is of one payout and what it paid: a sum that is carried on has none, two payouts have two
#: reports, and one that was made by hand names no rows. A refund that comes back has no event code at PayPal.
FORMATS: Final = (
    Written(),
    Written(name="stripe", cannot=("negative_batch", "two_payouts", "manual_payout")),
    Written(name="adyen"),
    Written(name="paypal", cannot=("refund_failed",), fee_apart=True),
    Written(name="generic", asked={"format": "generic_csv"}),
)

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
    "negative_batch": ("explained: reserve", _DIFFERS, 1),
}

#: Of one row each.
OF_ROWS: Final = tuple(name for name in NAMED if name not in WHOLE)

#: What a day's files are when they were imported, and whether they were known.
STATES: Final = {
    "file_twice": [("imported", False), ("imported", True)],
    "regenerated": [("imported", False), ("imported", False)],
    "corrected": [("imported", False), ("conflict", False)],
    "missing": [],
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
        if each["defect"] not in NAMED:
            continue  # nothing is more or less for it
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


class Day(Struct, kw_only=True):
    """A random day. ``alone``: how many payments nothing else happened to; ``posted``: currency and kind of each
    posting of ours -> amount and count."""

    alone: int = 0
    happened: list[Happened] = []
    posted: dict[tuple[str, str], tuple[int, int]] = {}

    def post(self, currency: str, kind: str, amount: int) -> None:
        was = self.posted.get((currency, kind), (0, 0))
        self.posted[currency, kind] = (was[0] + amount, was[1] + 1)


async def random_day(
    runtime: Runtime, merchant_id: str, running: AcquirerProcess, draw: random.Random, without: Sequence[str]
) -> Day:
    """Payments, refunds, and what became of some of them. ``without``: what does not happen."""
    client, found = Client(runtime, merchant_id), Day()
    for _ in range(draw.randint(*(4, 12) if DEEP else (4, 7))):
        amount, currency = STEP * draw.randint(1, 2_000), draw.choice(["EUR", "EUR", "USD"])
        payment = read(await client.create(new_id("req"), amount, payment_method="sim_ok", currency=currency))
        found.post(currency, "capture", amount)
        told, fate = draw.choice(["before", "after", "never"]), draw.random()
        if fate < 0.3:
            back = draw.randint(1, amount)
            refund = read(await client.refund(new_id("req"), payment["id"], back))
            found.post(currency, "refund_succeeded", -back)
            if fate < 0.15 and "refund_failed" not in without:
                name = refund["provider_reference"]
                assert (await running.acall("POST", f"/sim/operations/{name}/fail"))[0] == 200
                failed = Reversed(code="returned", message="It came back.")
                notice: Notice = AttemptNotice(operation="refund", reference=name, verdict=failed)
                found.happened.append(_happened("refund_failed", payment, back, notice, told))
        elif fate < 0.6 and "dispute" not in without:
            found.happened += await _disputed_there(running, payment, told, is_won=fate < 0.4)
        else:
            found.alone += 1
    return found


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


def _carries_nothing(running: AcquirerProcess, names: Sequence[str]) -> bool:
    """Whether Stripe's report has a payout in each of its currencies, and nothing from the day before: it proves its
    rows by their payout, and knows no carried sums. A currency that is carried on has no proof there, and what comes
    from the day before is an adjustment for a person."""
    rows = [each for name in names[:1] for each in csv.DictReader(content(running, name).decode().splitlines())]
    paid_out = {row["currency"] for row in rows if row["reporting_category"] == "payout"}
    return paid_out == {row["currency"] for row in rows} and all(
        row["reporting_category"] != "other_adjustment" for row in rows
    )


async def agree(runtime: Runtime, written: Written) -> None:
    """What the acquirer takes by a file in this format, as the next version of its fees."""
    rates = tuple(each for each in RATES if not (written.fee_apart and "dispute" in each.kinds))
    stated = StatedSchedule(valid_from=date(2026, 1, 1), rates=rates)
    await set_schedule(runtime, asked("fee_schedule.set", "simulator/main", new_letters()), stated)


def drawn(draw: random.Random, whole: str | None, alone: int) -> list[str]:
    """Defects of a day: of rows some, each about another payment that nothing else happened to, and one of the
    whole."""
    if whole == "missing":
        return ["missing"]
    last = [] if whole is None else [whole]
    most = min(alone - (whole in ("regenerated", "corrected")), 7)
    return draw.choices(OF_ROWS, k=draw.randint(0, max(most, 0))) + last


def whole_of(seed: int, written: Written) -> str | None:
    """Eight and five have no common part: in forty days each format has each of them."""
    name = (*WHOLE, "")[seed % (len(WHOLE) + 1)]
    return name if name and name not in written.cannot else None


def less(wanted: Causes, arrived: Causes) -> Causes:
    """What was late is there, and is no difference any more."""
    found = dict(wanted)
    for name, (amount, count) in arrived.items():
        was = found.get(name, (0, 0))
        found[name] = (was[0] - amount, was[1] - count)
    return {name: sums for name, sums in found.items() if sums != (0, 0)}


def wanted_of(day: Day, defects: list[dict[str, Any]], late: list[dict[str, Any]]) -> Causes:
    """What the day has to come to. Of a file that never comes nothing is there, and what was late stays late."""
    if any(each["defect"] == "missing" for each in defects):
        return {
            (currency, "no_row", kind): (-amount, count) for (currency, kind), (amount, count) in day.posted.items()
        }
    wanted = expected(defects)
    for each in day.happened:
        if each.told == "never":
            name = (each.currency, UNTOLD[each.kind], _DIFFERS)
            was = wanted.get(name, (0, 0))
            wanted[name] = (was[0] + each.amount, was[1] + 1)
    return less(wanted, expected(late))


async def test_each_defect_is_explained_to_the_unit(
    database: Database, fresh_merchant: str, running: AcquirerProcess, tmp_path: Path
) -> None:
    late: list[dict[str, Any]] = []
    mapping = tmp_path / "mapping.toml"
    mapping.write_text(GENERIC_MAPPING)
    async with runtime_at(database, running) as runtime:
        for seed in range(DAYS):
            draw, before, written = random.Random(seed), await causes(runtime), FORMATS[seed % len(FORMATS)]
            whole = whole_of(seed, written)
            without = ("refund_failed", "dispute") if whole == "missing" else written.cannot
            made = await random_day(runtime, fresh_merchant, running, draw, without)
            names = drawn(draw, whole, made.alone)
            day = await closed(running, *names, formats=[written.name] if written.name else [])
            assert [each["defect"] for each in day["defects"]] == names
            await tell(database, runtime, fresh_merchant, [each for each in made.happened if each.told == "before"])
            files = written.files(day)
            if written.name == "stripe" and not await asyncio.to_thread(_carries_nothing, running, files):
                written = FORMATS[0]
                files = written.files(day)
            await agree(runtime, written)
            how = {"provider": "simulator", "mapping": mapping} if written.name == "generic" else {}
            done = await reconciled(
                runtime, running, files, tmp_path, **{"provider": "simulator", **written.asked, **how}
            )
            states = [(each.file.state, each.already) for each in done]
            assert states == STATES.get(whole or "", [("imported", False)]), f"seed {seed}: {names}"
            await tell(database, runtime, fresh_merchant, [each for each in made.happened if each.told == "after"])
            while await ReconciliationWorker(runtime).round():
                pass
            found = grown(before, await causes(runtime))
            found = {name: sums for name, sums in found.items() if name[1] != CARRIED}
            wanted = wanted_of(made, day["defects"], late)
            assert found == wanted, f"seed {seed}, {written.name or 'its own'}: {names}"
            late = [each for each in day["defects"] if each["defect"] == "late_row"]
    await assert_invariants(database, fresh_merchant)
