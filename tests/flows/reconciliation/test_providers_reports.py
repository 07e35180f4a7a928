"""Days at Stripe and Adyen end to end, and each movement reported in every order: the provider takes payments, keeps
books of its own, and writes its report from them. What each comes to was worked out by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from tallystick.access.key_store import OPERATORS
from tallystick.flows.reconciliation.worker import ReconciliationWorker
from tests.support.acquirer import AcquirerProcess, acquirer
from tests.support.acquirer_days import causes, grown
from tests.support.adyen.process import FakeAdyen, fake_adyen
from tests.support.database import Database
from tests.support.inbox import assert_invariants, drain
from tests.support.settlement_days import balances
from tests.support.settlement_imports import imported
from tests.support.settling_providers import Report, Settling, at_acquirer, at_adyen, at_stripe
from tests.support.stripe.fake_stripe import fake_stripe

#: The day: 10.00, of which 4.00 are given back; 15.00 of a hold of 20.00; 30.00, which the payer's bank takes back. So
#: 1,000 - 400 + 1,500 + 3,000 - 3,000 = 2,100 are the merchant's.
MERCHANTS: Final = 2_100

#: Charges cost 39 + 46 + 67 = 152; at Adyen a refund 10 and a chargeback 750, at Stripe a dispute 1,500.
COSTS: Final = {"adyen": 152 + 10 + 750, "stripe": 152 + 1_500}

#: What is paid out: 2,100 less the costs.
PAID_OUT: Final = {"adyen": 1_188, "stripe": 448}

#: Stages by kind. Adyen gives a sale's capture a name that no answer had; Stripe's charges are named by their
#: PaymentIntents, and what was captured in part is two rows.
STAGES: Final = {
    "adyen": {
        ("charge", "reference_amount_currency"): 2,
        ("charge", "provider_reference"): 1,
        ("refund", "provider_reference"): 1,
        ("dispute", "provider_reference"): 1,
        ("payout", "row_type"): 1,
    },
    "stripe": {
        ("charge", "reference_amount_currency"): 2,
        ("charge", "batch_group"): 1,
        ("charge_reversal", "batch_group"): 1,
        ("refund", "provider_reference"): 1,
        ("dispute", "provider_reference"): 1,
        ("payout", "row_type"): 1,
    },
}


@pytest.fixture(scope="module")
def running_acquirer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AcquirerProcess]:
    with acquirer(tmp_path_factory.mktemp("acquirer") / "books.sqlite") as process:
        yield process


@pytest.fixture(scope="module")
def running_adyen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeAdyen]:
    with fake_adyen(tmp_path_factory.mktemp("adyen") / "books.sqlite3") as process:
        yield process


@asynccontextmanager
async def settling(request: pytest.FixtureRequest, name: str, database: Database, merchant: str) -> AsyncIterator[Any]:
    if name == "simulator":
        async with at_acquirer(database, merchant, request.getfixturevalue("running_acquirer")) as place:
            yield place
    elif name == "adyen":
        bank: FakeAdyen = request.getfixturevalue("running_adyen")
        bank.forget()
        async with at_adyen(database, merchant, bank) as place:
            yield place
    else:
        async with fake_stripe(deduplicates=True) as fake, at_stripe(database, merchant, fake) as place:
            yield place


async def taken_in(place: Settling, reports: list[Report], where: Path) -> list[tuple[str, bool]]:
    """The reports imported, compared and posted: state, and whether they were known."""
    done: list[tuple[str, bool]] = []
    for name, content, asked in reports:
        found = await imported(place.runtime, content, where, name=name, **asked)
        assert not found.bad_rows and {each.state for each in found.batches} <= {"balanced", "unproven"}, found
        done.append((found.file.state, found.already))
        await worked(place)
    return done


async def worked(place: Settling) -> None:
    """Files, the inbox where a file has news, and files again."""
    for _ in range(2):
        while await ReconciliationWorker(place.runtime).round():
            pass
        await drain(place.runtime, place.merchant_id)
    while await ReconciliationWorker(place.runtime).round():
        pass


async def change_of(place: Settling, account: str, before: dict[str, int]) -> int:
    """What an account of the platform's book has grown by, debits less credits."""
    return (await balances(place.runtime, OPERATORS)).get(account, 0) - before.get(account, 0)


@pytest.mark.parametrize(("name", "is_reversed"), [("adyen", False), ("stripe", False), ("stripe", True)])
async def test_a_day_agrees_to_the_unit(
    request: pytest.FixtureRequest,
    database: Database,
    fresh_merchant: str,
    tmp_path: Path,
    name: str,
    is_reversed: bool,
) -> None:
    """Stripe's payouts stand in a report of their own: which of the two comes first does not matter."""
    async with settling(request, name, database, fresh_merchant) as place:
        before, book = await causes(place.runtime, name), await balances(place.runtime, OPERATORS)
        refunded = await place.pay(1_000)
        await place.refund(refunded, 400)
        await place.pay(2_000, 1_500)
        await place.dispute_there(await place.pay(3_000))
        await place.tell()
        assert (await balances(place.runtime, fresh_merchant))[f"provider:{name}"] == MERCHANTS
        reports = sorted(await place.reports(), reverse=is_reversed)
        assert await taken_in(place, reports, tmp_path) == [("imported", False)] * len(reports)
        assert grown(before, await causes(place.runtime, name)) == {}, "the two books are equal but for the fees"
        stages = await place.runtime.pool.fetch(
            "SELECT e.kind, e.stage, count(*) AS n FROM settlement_evidence e JOIN settlement_file f USING (file_id)"
            " WHERE f.name = ANY ($1) GROUP BY 1, 2",
            [each[0] for each in reports],
        )
        assert {(row["kind"], row["stage"]): row["n"] for row in stages} == STAGES[name]
        settled = await balances(place.runtime, fresh_merchant)
        disputed = {"dispute_reserve": -3_000, f"disputes:{name}": 3_000}
        assert settled == disputed | {"merchant_available": -MERCHANTS, f"settled:{name}": MERCHANTS}
        expected = {
            f"provider_balance:{name}": 0,
            "fees:provider": COSTS[name],
            f"bank_in_transit:{name}": PAID_OUT[name],
            f"settled:{name}": -MERCHANTS,
            f"unexplained:{name}": 0,
        }
        assert {account: await change_of(place, account, book) for account in expected} == expected
    await assert_invariants(database, fresh_merchant)


#: How a movement is reported: by webhook (w) and by file (f), each twice in the last two.
ORDERS: Final = ("w", "f", "wf", "fw", "wwff", "ffww")

#: Of 10.00, 20.00 and 50.00 the first is given back by half and the second taken back whole, both at the provider
#: alone: 2,500. By a file alone they are news where the format makes any, as a webhook is; else rows that the record
#: lacks. Where a webhook comes after the file, its two rows are compared again, and agree.
UNEXPLAINED: Final = 2_500

#: The providers whose files make news.
MAKES_NEWS: Final = frozenset({"stripe", "adyen"})

#: What no row has where there is no file yet: 8,000 that were captured, less 2,500 that are told of. The provider has
#: so much less.
WAITING: Final = -5_500


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", ["simulator", "stripe", "adyen"])
async def test_a_movement_is_posted_once_however_it_is_reported(
    request: pytest.FixtureRequest, database: Database, fresh_merchant: str, tmp_path: Path, name: str, order: str
) -> None:
    async with settling(request, name, database, fresh_merchant) as place:
        before, book = await causes(place.runtime, name), await balances(place.runtime, OPERATORS)
        first, second, _ = [await place.pay(amount) for amount in (1_000, 2_000, 5_000)]
        await place.refund_there(first)
        await place.dispute_there(second)
        reports = list(await place.reports()) if "f" in order else []
        known = False
        times = max(order.count("w"), 1)
        for one in dict.fromkeys(order):
            if one == "w":
                await place.tell(times)
            else:
                for _ in range(order.count("f")):
                    assert await taken_in(place, reports, tmp_path) == [("imported", known)] * len(reports)
                    known = True
        await worked(place)
        is_filed = "f" in order
        is_told = "w" in order or name in MAKES_NEWS
        moved = await place.runtime.pool.fetch(
            "SELECT CASE WHEN debit = $2 THEN amount ELSE -amount END AS n FROM transfer WHERE merchant_id = $1"
            " AND (debit = $2 OR credit = $2) AND kind NOT LIKE 'settle%' ORDER BY amount",
            fresh_merchant,
            f"provider:{name}",
        )
        told = [1_000, 2_000, 5_000, *((-500, -2_000) if is_told else ())]
        assert sorted(row["n"] for row in moved) == sorted(told)
        unexplained = UNEXPLAINED if is_filed and not is_told else 0
        assert await change_of(place, f"unexplained:{name}", book) == unexplained
        expected: dict[str, Any] = {"unexplained: not_in_record": (-UNEXPLAINED, 2)} if unexplained else {}
        change = grown(before, await causes(place.runtime, name))
        assert {cause: sums for (_, cause, _), sums in change.items() if cause != "no_row"} == expected
        waiting = sum(sums[0] for (_, cause, _), sums in change.items() if cause == "no_row")
        assert waiting == (0 if is_filed else WAITING)
    await assert_invariants(database, fresh_merchant)
