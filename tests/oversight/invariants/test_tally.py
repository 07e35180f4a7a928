"""Our books beside the provider's: every difference is found, what is still moving is not called one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest

from tallystick.flows.assembly import open_runtime
from tallystick.oversight.invariants import TALLIED, tally
from tallystick.oversight.invariants.provider_books import AS_ASKED, CHARGED, KNOWN, MONEY, ONE_CHARGE
from tallystick.providers.simulator.charges import list_charges
from tallystick.providers.simulator.setup import SimulatorSettings
from tests.support.acquirer import acquirer
from tests.support.database import Database
from tests.support.sample import NOT_PAYMENTS, SETTINGS, Client, Sample, make_sample

Charges = list[dict[str, Any]]

#: What the provider holds of each payment: authorized, captured, refunded. The others never held money.
BOOKED = {
    "captured": (1_000, 1_000, 0),
    "refunded": (1_000, 1_000, 400),
    "refund_pending": (1_000, 1_000, 300),  # done there, and we do not know yet
    "refund_failed": (1_000, 1_000, 0),
    "partly_captured": (1_000, 600, 0),
    "authorized": (1_000, 0, 0),
    "capture_refused": (1_000, 0, 0),
    "canceled": (0, 0, 0),
    "refused": (1_000, 1_000, 0),
    "late": (1_000, 1_000, 0),  # declined by us: we hold it in suspense
    "unknown": (1_000, 1_000, 0),  # charged, and the answer was lost
    "disputed": (1_000, 1_000, 0),
    "dispute_lost": (1_000, 1_000, 0),
    "dispute_won": (1_000, 1_000, 0),  # and withdrawn once more: in suspense
    "dispute_contested": (1_000, 1_000, 0),  # won, and called lost
    "capture_reversed": (1_000, 0, 0),  # it never came
    "came_back": (1_000, 1_000, 0),
    "dashboard": (1_000, 1_000, 150),
}

#: Of each payment, what its bank has taken away.
WITHDRAWN = {"disputed": 1_000, "dispute_lost": 1_000, "dispute_won": 1_000}

#: Of the sample: a refund pending, an unknown, a parked, and one that waits for its customer.
OPEN = 4


@pytest.fixture
async def charges(connection: asyncpg.Connection, sample: Sample) -> Charges:
    """The provider's list, as it should be."""
    listed = []
    for name, (authorized, captured, refunded) in BOOKED.items():
        payment_id = getattr(sample, name)
        attempts = await connection.fetch(
            "SELECT attempt_id FROM attempt WHERE merchant_id = $1 AND payment_id = $2", sample.merchant, payment_id
        )
        listed.append(
            {
                "id": f"ch_{payment_id}",
                "payment_id": payment_id,
                "merchant_id": sample.merchant,
                "attempt_ids": [row["attempt_id"] for row in attempts],
                "amount": 1_000,
                "currency": "EUR",
                "authorized": authorized,
                "captured": captured,
                "refunded": refunded,
                "disputed_withdrawn": WITHDRAWN.get(name, 0),
            }
        )
    return listed


async def paged(charges: Sequence[dict[str, Any]]) -> AsyncIterator[dict[str, Any]]:
    for charge in charges:
        yield charge


async def test_equal_books_have_no_difference(connection: asyncpg.Connection, sample: Sample, charges: Charges) -> None:
    report = await tally(connection, paged(charges), merchant_id=sample.merchant)
    assert report.violations == ()
    assert report.holds
    payments = len(msgspec.structs.fields(Sample)) - len(NOT_PAYMENTS)
    assert report.checked == {"charges": len(BOOKED), "payments": payments, "open": OPEN}


def again(charges: Charges, name: str, sample: Sample) -> None:
    one = _of(charges, name, sample)
    charges.append(one | {"id": "ch_again"})


def gone(charges: Charges, name: str, sample: Sample) -> None:
    charges.remove(_of(charges, name, sample))


def changed(**values: Any) -> Callable[[Charges, str, Sample], None]:
    def change(charges: Charges, name: str, sample: Sample) -> None:
        _of(charges, name, sample).update(values)

    return change


def _of(charges: Charges, name: str, sample: Sample) -> dict[str, Any]:
    return next(charge for charge in charges if charge["payment_id"] == getattr(sample, name))


DIFFERENCES = [
    (ONE_CHARGE, "captured", again),
    (ONE_CHARGE, "authorized", again),
    (ONE_CHARGE, "unknown", again),  # a duplicate is one whatever else is open
    (KNOWN, "captured", changed(payment_id="pay_nobody")),
    (KNOWN, "captured", changed(attempt_ids=["att_nobody"])),
    (AS_ASKED, "captured", changed(amount=999)),
    (AS_ASKED, "unknown", changed(currency="USD")),
    (MONEY, "captured", changed(captured=999)),
    (MONEY, "captured", changed(authorized=0)),
    (MONEY, "captured", changed(id="ch_other")),
    (MONEY, "captured", changed(refunded=1)),
    (MONEY, "refunded", changed(refunded=0)),
    (MONEY, "refund_failed", changed(refunded=1_000)),
    (MONEY, "partly_captured", changed(captured=1_000)),
    (MONEY, "authorized", changed(authorized=0)),
    (MONEY, "authorized", changed(captured=1_000)),
    (MONEY, "authorized", gone),
    (MONEY, "canceled", changed(authorized=1_000)),
    (MONEY, "late", gone),
    (MONEY, "disputed", changed(disputed_withdrawn=0)),
    (MONEY, "dispute_lost", changed(disputed_withdrawn=999)),
    (MONEY, "dispute_won", changed(disputed_withdrawn=0)),
    (MONEY, "captured", changed(disputed_withdrawn=1)),
    (MONEY, "capture_reversed", changed(captured=1_000)),
    (MONEY, "came_back", changed(refunded=250)),
    (MONEY, "dashboard", changed(refunded=0)),
    (CHARGED, "captured", gone),
]


@pytest.mark.parametrize(("invariant", "name", "differ"), DIFFERENCES)
async def test_a_difference_is_found(
    connection: asyncpg.Connection,
    sample: Sample,
    charges: Charges,
    invariant: Any,
    name: str,
    differ: Callable[[Charges, str, Sample], None],
) -> None:
    differ(charges, name, sample)
    report = await tally(connection, paged(charges), merchant_id=sample.merchant)
    assert invariant.name in report.broken()
    found = [violation for violation in report.violations if violation.invariant == invariant.name]
    assert {violation.merchant_id for violation in found} == {sample.merchant}
    assert {violation.subject_id for violation in found} <= {getattr(sample, name), "pay_nobody"}


def test_every_comparison_is_broken_by_some_test() -> None:
    assert {invariant for invariant, _, _ in DIFFERENCES} == set(TALLIED)


async def test_money_on_its_way_is_open_and_no_difference(
    connection: asyncpg.Connection, sample: Sample, charges: Charges
) -> None:
    gone(charges, "unknown", sample)
    _of(charges, "refund_pending", sample)["refunded"] = 0
    report = await tally(connection, paged(charges), merchant_id=sample.merchant)
    assert (report.holds, report.checked["open"]) == (True, OPEN)


async def test_a_payment_that_moves_while_the_list_is_read_is_open(
    connection: asyncpg.Connection, database: Database, sample: Sample, charges: Charges
) -> None:
    async def slowly() -> AsyncIterator[dict[str, Any]]:
        for charge in charges:
            yield charge
        await make_sample(database.app_url, sample.merchant + "x")  # after the provider was asked

    before = await tally(connection, paged(()), merchant_id=sample.merchant + "x")
    assert before.checked["payments"] == 0
    report = await tally(connection, slowly(), merchant_id=sample.merchant + "x")
    assert (report.holds, report.checked["open"]) == (True, report.checked["payments"])


async def test_a_charge_at_another_provider_is_not_ours(
    connection: asyncpg.Connection, sample: Sample, charges: Charges
) -> None:
    report = await tally(connection, paged(charges), "other", merchant_id=sample.merchant)
    assert report.broken() == {KNOWN.name}
    assert report.checked["payments"] == 0


async def test_a_charge_that_cannot_be_read_is_no_silence(
    connection: asyncpg.Connection, sample: Sample, charges: Charges
) -> None:
    charges[0]["captured"] = "1000"
    with pytest.raises(msgspec.ValidationError):
        await tally(connection, paged(charges), merchant_id=sample.merchant)


async def test_against_the_acquirers_own_books(
    database: Database,
    connection: asyncpg.Connection,
    fresh_merchant: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tallystick.providers.simulator.charges.PAGE_CHARGES", 2)
    with acquirer(tmp_path / "books.sqlite") as process:
        settings = SETTINGS.with_connector(SimulatorSettings, url=process.url)
        async with open_runtime(settings, database.app_url) as runtime:
            client = Client(runtime, fresh_merchant)
            captured = await client.create("captured", "sim_ok")
            await client.refund(captured, 400)
            partly = await client.create("partly", "sim_ok", "manual")
            await client.capture(partly, 600)
            canceled = await client.create("canceled", "sim_ok", "manual")
            await client.cancel(canceled)
            await client.create("authorized", "sim_ok", "manual")
            await client.create("declined", "sim_declined")
        report = await tally(connection, list_charges(process.url), merchant_id=fresh_merchant)
    assert report.violations == ()
    assert report.checked == {"charges": 4, "payments": 5, "open": 0}
