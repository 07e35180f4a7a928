"""Two movements of one payment of the same kind and amount, of which a webhook told one and a file has both: each is
posted once, whatever came first. The table was written by hand."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Final

import pytest
from msgspec import Struct

from tallystick.domain.dispute_movement import Movement
from tallystick.domain.ledger.accounts import provider_account
from tallystick.domain.notices import CaptureNotice, DisputeNotice, Notice, RefundNotice
from tallystick.domain.subjects import Payment
from tallystick.flows.reconciliation.matching import compare_file
from tallystick.flows.reconciliation.worker import ReconciliationWorker
from tallystick.flows.runtime import Runtime
from tests.flows.reconciliation.test_news import tell_file, work
from tests.support.database import DEEP, Database
from tests.support.inbox import accept, assert_invariants, drain, envelope
from tests.support.letters import new_letters
from tests.support.news_files import Adyen, File, Stripe, at_providers
from tests.support.runtime import BookedProvider, Client, read, runtime_of, stored
from tests.support.settlement_days import ACTOR, Acquirer, balances, paid, settled

#: What comes first: which row, the webhook or the file, and in how many files the rows are. By default the one order
#: that was wrong, in which the row of the unknown movement has the first look at the posting of the known one.
ORDERS: Final = list(product(("other", "known"), ("webhook", "file"), (1, 2))) if DEEP else [("other", "webhook", 1)]

#: Kind of row -> what each of the two posts to ``provider:<p>``. Adyen's dispute has no second withdrawal of its kind:
#: there it is another dispute.
AMOUNTS: Final = {"charge": 1_000, "refund": -300, "dispute": -200}


class Named(Struct, frozen=True):
    """A movement, by its names at the provider."""

    kind: str
    effect: str
    movement: str

    def told(self, provider: str) -> Notice:
        """What its webhook says."""
        amount = abs(AMOUNTS[self.kind])
        if self.kind == "charge":
            return CaptureNotice(reference=self.effect, amount=amount, currency="EUR")
        if self.kind == "refund":
            return RefundNotice(reference=self.effect, amount=amount, currency="EUR")
        reference = self.movement if provider == "stripe" else "CHARGEBACK"
        out = Movement(reference=reference, funds="withdrawn", amount=amount, before_verdict=True)
        return DisputeNotice(reference=self.effect, state="opened", amount=amount, currency="EUR", movements=(out,))


def movements(provider: str) -> tuple[list[Named], list[Named]]:
    """Those that are known, and the others. At Stripe a payment is captured once, and a dispute has several
    movements."""
    known, other = [], []
    for kind in AMOUNTS if provider == "adyen" else ("refund", "dispute"):
        one = Named(kind, f"x{new_letters()}", f"txn{new_letters()}")
        same_dispute = provider == "stripe" and kind == "dispute"
        known.append(one)
        other.append(Named(kind, one.effect if same_dispute else f"x{new_letters()}", f"txn{new_letters()}"))
    return known, other


async def payment_at(runtime: Runtime, merchant_id: str, provider: str) -> Payment:
    if provider == "stripe":
        made = (await paid(runtime, merchant_id, 3_000, provider=provider))["id"]
    else:
        made = read(await Client(runtime, merchant_id).create(new_letters(), 3_000, manual=True, provider=provider))[
            "id"
        ]
    return await stored(runtime, merchant_id, made)


async def of_rows(runtime: Runtime, payment_id: str) -> list[tuple[str, str]]:
    """Each row's kind, and what it came to last."""
    rows = await runtime.pool.fetch(
        "SELECT DISTINCT ON (file_id, position) kind, status, reason FROM settlement_evidence WHERE payment_id = $1"
        " ORDER BY file_id, position, version DESC",
        payment_id,
    )
    return sorted((row["kind"], f"{row['status']}: {row['reason']}") for row in rows)


async def posted(runtime: Runtime, payment: Payment) -> list[tuple[str, int]]:
    """Kind of row and amount of each posting to the provider's account."""
    rows = await runtime.pool.fetch(
        "SELECT kind, CASE WHEN debit = $3 THEN amount ELSE -amount END AS amount FROM transfer"
        " WHERE merchant_id = $1 AND stream_id = $2 AND (debit = $3 OR credit = $3)",
        payment.merchant_id,
        payment.payment_id,
        provider_account(payment.provider),
    )
    kinds = {
        "capture": "charge",
        "refund_succeeded": "refund",
        "dispute_withdrawn": "dispute",
        "late_movement": "dispute",
    }
    return sorted((kinds[row["kind"]], row["amount"]) for row in rows)


@pytest.mark.parametrize(("first", "told", "files"), ORDERS)
@pytest.mark.parametrize("format_", [Stripe, Adyen])
async def test_of_two_equal_movements_each_is_posted_once(
    database: Database, fresh_merchant: str, tmp_path: Path, format_: type[File], first: str, told: str, files: int
) -> None:
    async with at_providers(database) as (runtime, _):
        provider = format_.provider
        payment = await payment_at(runtime, fresh_merchant, provider)
        known, other = movements(provider)
        assert payment.provider_reference is not None
        groups = (other, known) if first == "other" else (known, other)
        written = [format_(f"b{new_letters()}") for _ in range(files)]
        for number, group in enumerate(groups):
            for each in group:
                amount, charge = AMOUNTS[each.kind], payment.provider_reference
                written[number % files].row(
                    each.kind, amount, charge=charge, effect=each.effect, movement=each.movement
                )
        events = [envelope(new_letters(), each.told(provider), payment=payment, provider=provider) for each in known]
        for comes in ("webhook", "file") if told == "webhook" else ("file", "webhook"):
            for file in written if comes == "file" else ():
                await tell_file(runtime, file, tmp_path)
                await work(runtime, fresh_merchant)
            for event in events if comes == "webhook" else ():
                await accept(database, [event])
                await drain(runtime, fresh_merchant)
            await work(runtime, fresh_merchant)
        twice = sorted((each.kind, AMOUNTS[each.kind]) for each in (*known, *other))
        held = [("charge", 3_000)] if provider == "stripe" else []
        assert await posted(runtime, payment) == sorted([*held, *twice])
        assert await of_rows(runtime, payment.payment_id) == sorted((kind, "matched: same") for kind, _ in twice)
    await assert_invariants(database, fresh_merchant)


async def test_a_row_with_another_name_is_not_plain(database: Database, fresh_merchant: str, tmp_path: Path) -> None:
    """A hold was captured with a name of its own. Another capture of the same amount, and another refund, wait; a sale
    of which the capture has no name is the row's that names it."""
    async with at_providers(database) as (runtime, _):
        client = Client(runtime, fresh_merchant)
        held = read(await client.create(new_letters(), 1_000, manual=True, provider="adyen"))
        await client.capture(new_letters(), held["id"], 400)
        hold, sale = (
            await stored(runtime, fresh_merchant, held["id"]),
            await paid(runtime, fresh_merchant, provider="adyen"),
        )
        assert hold.provider_reference is not None
        file = Adyen(f"b{new_letters()}")
        file.row("charge", 400, charge=hold.provider_reference, effect=f"mod{new_letters()}", movement="")
        file.row("charge", 1_000, charge=sale["charge"], effect=f"mod{new_letters()}", movement="")
        await tell_file(runtime, file, tmp_path)
        file_id = await runtime.pool.fetchval("SELECT file_id FROM settlement_batch WHERE batch = $1", file.name)
        compared = await compare_file(runtime, file_id, ACTOR)
        assert compared.by_reason == {
            ("matched", "same"): 1,
            ("unexplained", "not_in_record"): 1,
            ("explained", "payout"): 1,
        }
        assert await of_rows(runtime, sale["id"]) == [("charge", "matched: same")]
    await assert_invariants(database, fresh_merchant)


async def test_a_row_of_another_amount_gives_way(database: Database, fresh_merchant: str, tmp_path: Path) -> None:
    """The first file has a capture that the record lacks, and takes the one that it has, whose row is in the second
    file. By hand: 1,000 are the merchant's, and the 400 wait."""

    async def said() -> list[tuple[int, int, str]]:
        rows = await runtime.pool.fetch(
            "SELECT DISTINCT ON (file_id, position) gross, version, status || ': ' || reason AS said"
            " FROM settlement_evidence WHERE batch = ANY ($1) ORDER BY file_id, position, version DESC",
            [file.batch for file in files],
        )
        return [tuple(row) for row in rows]

    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        payment, files = await paid(runtime, fresh_merchant), [Acquirer(), Acquirer()]
        for file, amount in zip(files, (400, 1_000), strict=True):
            file.of(payment, "charge", amount, effect=f"cap{new_letters()}")
            await settled(runtime, file.text(), tmp_path, name=f"{amount}.csv")
        assert await said() == [(400, 1, "mismatched: amount"), (1_000, 1, "mismatched: duplicate")]
        for _ in range(2):
            while await ReconciliationWorker(runtime).round():
                pass
            assert await said() == [(400, 2, "unexplained: not_in_record"), (1_000, 2, "matched: same")]
        assert await balances(runtime, fresh_merchant) == {"merchant_available": -1_000, "settled:simulator": 1_000}
    await assert_invariants(database, fresh_merchant)
