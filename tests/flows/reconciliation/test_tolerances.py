"""Tolerances with a cause, through real files: the fee that a dated schedule says, and the provider's own rate. What
each row comes to was worked out by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path
from typing import Any, Final

import pytest

from tallystick.domain.fee_schedule import FeeRate, StatedSchedule
from tallystick.flows.reconciliation.fee_schedules import set_schedule
from tallystick.flows.runtime import Runtime
from tests.support.acquirer_days import causes
from tests.support.acts import asked
from tests.support.database import Database
from tests.support.inbox import assert_invariants
from tests.support.letters import new_letters
from tests.support.runtime import BookedProvider, runtime_of
from tests.support.settlement_days import Acquirer, balances, paid, posted_of, settled

#: 1.4 % and 25 of a charge in EUR, a half rounded up; from March on 2 % and 25.
SCHEDULES: Final = (
    StatedSchedule(valid_from=date(2026, 1, 1), rates=(FeeRate(currency="EUR", parts_per_million=14_000, fixed=25),)),
    StatedSchedule(valid_from=date(2026, 3, 1), rates=(FeeRate(currency="EUR", parts_per_million=20_000, fixed=25),)),
)

FEBRUARY: Final = "2026-02-27T10:00:00Z"
MARCH: Final = "2026-03-02T10:00:00Z"

#: Payment, row, fee of the row, day -> what it is, and the fee that was taken apart.
FEES: Final[tuple[tuple[int, int, int, str, str, int], ...]] = (
    (1_000, 961, 0, FEBRUARY, "matched: fee_in_amount", 39),
    (333, 303, 0, FEBRUARY, "matched: fee_in_amount", 30),  # 4.662 and 25
    (250, 221, 0, FEBRUARY, "matched: fee_in_amount", 29),  # 3.5 and 25: the half is rounded up
    (250, 222, 0, FEBRUARY, "mismatched: amount", 0),  # as if it were rounded down
    (1_000, 955, 0, MARCH, "matched: fee_in_amount", 45),  # by the schedule of that day
    (1_000, 961, 0, MARCH, "mismatched: amount", 0),  # by that of the day before
    (1_000, 962, 0, FEBRUARY, "mismatched: amount", 0),
    (1_000, 961, 1, FEBRUARY, "mismatched: amount", 0),  # it has a fee of its own
)

#: Payment in EUR, row, its currency, the provider's rate -> what it is.
RATES: Final[tuple[tuple[int, int, str, str, str], ...]] = (
    (1_000, 1_100, "USD", "1.10035", "matched: conversion"),  # 1,100.35
    (1_000, 1_101, "USD", "1.10035", "mismatched: currency"),
    (1_000, 1_100, "USD", "1.1005", "matched: conversion"),  # 1,100.5, rounded down
    (1_000, 1_101, "USD", "1.1005", "matched: conversion"),  # and up
    (1_000, 1_102, "USD", "1.1005", "mismatched: currency"),
    (1_000, 1_634, "JPY", "163.45", "matched: conversion"),  # 1,634.5 of a currency without decimals
    (1_000, 1_636, "JPY", "163.45", "mismatched: currency"),
    (1_000, 1_100, "USD", "", "mismatched: currency"),
    (1_000, 1_100, "USD", "about 1.1", "mismatched: currency"),
)

_DECIMALS: Final = {"EUR": 2, "USD": 2, "JPY": 0}


MAPPING: Final = """
[columns]
id = "id"
type = "type"
gross = "gross"
fee = "fee"
currency = "currency"
reference = "charge"
payment_reference = "charge"
occurred_at = "day"
booked_at = "day"
batch = "batch"
rate = "rate"

[kinds]
charge = "charge"
payout = "payout"
"""


@asynccontextmanager
async def agreed(database: Database) -> AsyncIterator[Runtime]:
    """A runtime with both schedules."""
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        for each in SCHEDULES:
            await set_schedule(runtime, asked("fee_schedule.set", "simulator/main", new_letters()), each)
        yield runtime


def as_acquirer(file: Acquirer, where: Path) -> tuple[str, dict[str, Any]]:
    """The acquirer's own format."""
    return file.text(), {}


def as_csv(file: Acquirer, where: Path) -> tuple[str, dict[str, Any]]:
    """A file of our own making, by a mapping: amounts in major units, with a payout that proves them."""
    columns = ("id", "type", "gross", "fee", "currency", "charge", "day", "batch", "rate")
    path = where / "mapping.toml"
    path.write_text(MAPPING)
    lines = [",".join(columns)]

    def line(id_: str, kind: str, gross: int, fee: int, currency: str, *more: str) -> None:
        major = [f"{each / 10 ** _DECIMALS[currency]:.{_DECIMALS[currency]}f}" for each in (gross, fee)]
        charge, day, rate = more
        lines.append(",".join((id_, kind, *major, currency, charge, day, file.batch, rate)))

    for row in file.lines:
        line(
            row["entry_id"],
            "charge",
            row["gross"],
            row["fee"],
            row["currency"],
            row["charge"],
            row["occurred_at"],
            row["rate"],
        )
    for currency in sorted({row["currency"] for row in file.lines}):
        net = sum(row["net"] for row in file.lines if row["currency"] == currency)
        line(f"out_{currency}", "payout", -net, 0, currency, "", MARCH, "")
    return "\n".join([*lines, ""]), {"format": "generic_csv", "provider": "simulator", "mapping": path}


FORMATS: Final = (as_acquirer, as_csv)


async def came_to(runtime: Runtime, file_id: str) -> list[tuple[str, int, str]]:
    rows = await runtime.pool.fetch(
        "SELECT status, reason, fee, stage FROM settlement_evidence WHERE file_id = $1 AND kind = 'charge'"
        " ORDER BY position",
        file_id,
    )
    return [(f"{row['status']}: {row['reason']}", row["fee"], row["stage"]) for row in rows]


@pytest.mark.parametrize("written", FORMATS, ids=lambda each: each.__name__)
async def test_a_fee_in_the_amount(database: Database, fresh_merchant: str, tmp_path: Path, written: Any) -> None:
    async with agreed(database) as runtime:
        file = Acquirer()
        for amount, gross, fee, day, _, _ in FEES:
            file.of(await paid(runtime, fresh_merchant, amount), "charge", gross, fee, occurred_at=day, rate="")
        text, how = written(file, tmp_path)
        file_id, _, batch = await settled(runtime, text, tmp_path, **how)
        found = await came_to(runtime, file_id)
        assert [(what, fee) for what, fee, _ in found] == [(what, apart or fee) for _, _, fee, _, what, apart in FEES]
        assert {stage for what, _, stage in found if what.startswith("matched")} == {"tolerance"}
        # 1,000 + 333 + 250 + 1,000 are the merchant's; their fees are 39 + 30 + 29 + 45, and one row has 1 of its own.
        assert (await balances(runtime, fresh_merchant))["merchant_available"] == -2_583
        posted = await posted_of(runtime, batch)
        assert (posted["fees:provider"], posted["unexplained:simulator"]) == (144, -(222 + 961 + 962 + 961))
        await causes(runtime)  # the remainder is zero
    await assert_invariants(database, fresh_merchant)


@pytest.mark.parametrize("written", FORMATS, ids=lambda each: each.__name__)
async def test_a_rate_of_the_provider(database: Database, fresh_merchant: str, tmp_path: Path, written: Any) -> None:
    async with agreed(database) as runtime:
        file = Acquirer()
        for amount, gross, currency, rate, _ in RATES:
            made = await paid(runtime, fresh_merchant, amount)
            file.of(made, "charge", gross, currency=currency, occurred_at=MARCH, rate=rate)
        text, how = written(file, tmp_path)
        file_id, _, _ = await settled(runtime, text, tmp_path, **how)
        found = await came_to(runtime, file_id)
        assert [what for what, _, _ in found] == [what for *_, what in RATES]
        assert {stage for what, _, stage in found if what.startswith("matched")} == {"tolerance"}
        assert "merchant_available" not in await balances(runtime, fresh_merchant), "what was converted waits"
        await causes(runtime)
    await assert_invariants(database, fresh_merchant)


#: Adyen's report of one batch: what was paid, the net amount, and two costs, each rounded by itself.
ADYEN: Final = (
    "Psp Reference,Type,Modification Reference,Gross Currency,Gross Debit (GC),Gross Credit (GC),Net Currency,"
    "Net Debit (NC),Net Credit (NC),Markup (NC),Interchange (NC),Batch Number\n"
    "{0},Settled,{0},EUR,,10.00,EUR,,9.60,0.20,0.21,{2}\n"
    "{1},Settled,{1},EUR,,10.00,EUR,,9.50,0.20,0.21,{2}\n"
    ",MerchantPayout,TX1XT batch 1,,,,EUR,19.10,,,,{2}\n"
)


async def test_costs_that_are_rounded_one_by_one(database: Database, fresh_merchant: str, tmp_path: Path) -> None:
    """Of two charges of 10.00 one comes to 9.60 and 0.41: a cent of rounding. The other comes to 9.50 and 0.41: nine
    cents are missing, and it is the merchant's only when a person says so."""
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        made = [await paid(runtime, fresh_merchant, 1_000) for _ in range(2)]
        text = ADYEN.format(*(each["charge"] for each in made), new_letters())
        file_id, _, batch = await settled(runtime, text, tmp_path, provider="simulator")
        assert await came_to(runtime, file_id) == [
            ("matched: rounding", 41, "tolerance"),
            ("mismatched: amount", 41, "provider_reference"),
        ]
        assert (await balances(runtime, fresh_merchant))["merchant_available"] == -1_000
        posted = await posted_of(runtime, batch)
        assert posted["settled:simulator"] == -1_000 and posted["fees:provider"] == 82
        assert (posted["rounding:simulator"], posted["unexplained:simulator"]) == (-1, -991)
        await causes(runtime)
    await assert_invariants(database, fresh_merchant)
