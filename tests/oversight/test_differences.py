"""The difference between providers' files and the record is explained to the unit, with each defect named as what it
is."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, Final

import pytest

from tallystick.domain.fee_schedule import FeeRate, StatedSchedule
from tallystick.flows.assembly import open_runtime
from tallystick.flows.reconciliation.fee_schedules import set_schedule
from tallystick.flows.reconciliation.worker import ReconciliationWorker
from tallystick.flows.runtime import Runtime
from tallystick.oversight.differences import Difference, differences
from tests.support.acts import asked
from tests.support.database import DEEP, Database
from tests.support.inbox import assert_invariants
from tests.support.runtime import SETTINGS, BookedProvider
from tests.support.settlement_days import Acquirer, balances, paid
from tests.support.settlement_imports import imported

PROVIDERS: Final = ("simulator", "stripe", "adyen")

FILES: Final = 47

#: Rows in each file; at full depth a million in all.
ROWS: Final = 21_300 if DEEP else 200

#: Payments in each file, of 10,000.00 EUR each: a defect is money that somebody would miss. The other rows are costs,
#: which need no payment.
PAYMENTS: Final = 200 if DEEP else 4

#: Payments that are made at a time: they share their commits.
AT_ONCE: Final = 20

#: Whatever a busy machine does, each of them is sent and answered.
PATIENT: Final = replace(
    SETTINGS, provider_request_timeout_ms=60_000, provider_connect_timeout_ms=60_000, send_window_ms=60_000
)

AMOUNT: Final = 1_000_000

#: What all defects come to, signed: 340,000.00.
SCRIPTED: Final = 34_000_000


class Provider(BookedProvider):
    """A provider of another name with books of its own."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name


async def explained(runtime: Runtime) -> dict[tuple[str, str, str], Counter[str]]:
    """By provider, cause and detail: amount, absolute and count. The remainder is zero, always."""
    found: dict[tuple[str, str, str], Counter[str]] = {}
    for provider in PROVIDERS:
        each: Difference
        for each in await differences(runtime.stores.evidence, provider):
            assert each.unexplained_remainder == 0, each
            assert each.difference == each.files - each.record == sum(cause.amount for cause in each.causes)
            for cause in each.causes:
                sums = {"amount": cause.amount, "absolute": cause.absolute, "count": cause.count}
                found.setdefault((provider, cause.cause, cause.detail), Counter()).update(sums)
    return found


def grown(before: dict[Any, Counter[str]], after: dict[Any, Counter[str]]) -> dict[Any, dict[str, int]]:
    found = {}
    for name, sums in after.items():
        was = before.get(name, Counter())
        change = {each: sums[each] - was[each] for each in sums}
        if any(change.values()):
            found[name] = change
    return found


def day(payments: Sequence[dict[str, Any]], number: int) -> Acquirer:
    """One file. Files 0 to 4 have a defect each; the others are as they should be."""
    file = Acquirer()
    for payment in payments:
        file.of(payment, "charge", AMOUNT, 100)
    for _ in range(ROWS - len(payments)):
        file.row("fee", -1)
    match number:
        case 0:  # a row that nobody knows, above what all the others take away
            file.row("riddle", SCRIPTED + 3 * AMOUNT - AMOUNT - 7 - 250)
        case 1:  # three payments are missing
            del file.lines[:3]
        case 2:  # a row is there twice
            file.of(payments[0], "charge", AMOUNT, 100)
        case 3:  # seven more than was paid
            file.lines[0]["gross"] += 7
            file.lines[0]["net"] += 7
        case 4:  # 250 less is charged than was agreed
            file.lines[0]["fee"] -= 250
            file.lines[0]["net"] += 250
    return file


@pytest.mark.timeout(7_200 if DEEP else 600)
async def test_47_files_and_340_000(database: Database, fresh_merchant: str, tmp_path: Path) -> None:
    providers = {name: Provider(name) for name in PROVIDERS}
    async with open_runtime(PATIENT, database.app_url, providers=providers) as runtime:
        rates = (FeeRate(currency="EUR", fixed=100),)
        for name in PROVIDERS:
            stated = StatedSchedule(valid_from=date(2026, 1, 1), rates=rates)
            await set_schedule(runtime, asked("fee_schedule.set", f"{name}/main"), stated)
        before = await explained(runtime)
        for number in range(FILES):
            provider = PROVIDERS[number % 3]
            payments: list[dict[str, Any]] = []
            while len(payments) < PAYMENTS:
                some = range(min(AT_ONCE, PAYMENTS - len(payments)))
                payments += await asyncio.gather(*(paid(runtime, fresh_merchant, AMOUNT, provider) for _ in some))
            name = f"{number}.csv"
            await imported(runtime, day(payments, number).text(), tmp_path, name=name, provider=provider)
        while await ReconciliationWorker(runtime).round():
            pass
        found = grown(before, await explained(runtime))
        fees = [sums for (_, cause, _), sums in found.items() if cause == "fees"]
        # Two rows more than 47 times so many, and three less; 250 less was charged, which has a cause of its own.
        assert sum(sums["count"] for sums in fees) == FILES * ROWS - 1
        assert sum(sums["amount"] for sums in fees) == -(FILES * (ROWS - PAYMENTS) + 100 * (FILES * PAYMENTS - 2))
        defects = {name: sums for name, sums in found.items() if name[1] != "fees"}
        riddle = SCRIPTED + 2 * AMOUNT - 257
        assert {name: (sums["amount"], sums["absolute"]) for name, sums in defects.items()} == {
            ("simulator", "unexplained: unknown_type", "rows whose amount differs"): (riddle, riddle),
            ("stripe", "no_row", "capture"): (-3 * AMOUNT, 3 * AMOUNT),
            ("adyen", "mismatched: duplicate", "rows whose amount differs"): (AMOUNT, AMOUNT),
            ("simulator", "mismatched: amount", "rows whose amount differs"): (7, 7),
            ("stripe", "fees: not as agreed", "charged above or below the schedule"): (250, 250),
        }
        assert sum(sums["amount"] for sums in defects.values()) == SCRIPTED
        left = await balances(runtime, fresh_merchant)
        assert left["provider:stripe"] == 3 * AMOUNT, "what no row has is still owed"
        assert left["provider:simulator"] == AMOUNT, "what differs waits for a person"
        assert "provider:adyen" not in left
    await assert_invariants(database, fresh_merchant)
