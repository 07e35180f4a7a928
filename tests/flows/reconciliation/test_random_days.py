"""Property: over random payments and defects the explained differences come to the difference of the balances, to the
unit, and each defect is named as what it is."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tallystick.flows.runtime import Runtime
from tallystick.kit.ids import new_id
from tests.support.acquirer import AcquirerProcess, acquirer
from tests.support.acquirer_days import Causes, causes, closed, grown, reconciled, runtime_at
from tests.support.database import DEEP, Database
from tests.support.inbox import assert_invariants
from tests.support.runtime import Client, read

DAYS: Final = 100 if DEEP else 5

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


async def random_day(runtime: Runtime, merchant_id: str, draw: random.Random) -> int:
    """Payments and refunds; how many payments have no refund."""
    client, alone = Client(runtime, merchant_id), 0
    for _ in range(draw.randint(4, 12)):
        amount, currency = STEP * draw.randint(1, 2_000), draw.choice(["EUR", "EUR", "USD"])
        payment = read(await client.create(new_id("req"), amount, payment_method="sim_ok", currency=currency))
        if draw.random() < 0.3:
            await client.refund(new_id("req"), payment["id"], draw.randint(1, amount))
        else:
            alone += 1
    return alone


async def test_each_defect_is_explained_to_the_unit(
    database: Database, fresh_merchant: str, running: AcquirerProcess, tmp_path: Path
) -> None:
    late: list[dict[str, Any]] = []
    async with runtime_at(database, running) as runtime:
        for seed in range(DAYS):
            draw, before = random.Random(seed), await causes(runtime)
            alone = await random_day(runtime, fresh_merchant, draw)
            names = draw.choices(list(NAMED), k=draw.randint(0, min(alone, 7)))
            day = await closed(running, *names)
            assert [each["defect"] for each in day["defects"]] == names
            await reconciled(runtime, running, day["files"], tmp_path)
            arrived = expected(late)  # yesterday's late rows are there, and are no difference any more
            wanted = expected(day["defects"])
            for name, (amount, count) in arrived.items():
                was = wanted.get(name, (0, 0))
                wanted[name] = (was[0] - amount, was[1] - count)
            wanted = {name: sums for name, sums in wanted.items() if sums != (0, 0)}
            assert grown(before, await causes(runtime)) == wanted, f"seed {seed}: {names}"
            late = [each for each in day["defects"] if each["defect"] == "late_row"]
    await assert_invariants(database, fresh_merchant)
