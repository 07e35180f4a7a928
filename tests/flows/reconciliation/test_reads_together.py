"""Payments are read together, however many of them news or messages are about."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from msgspec.structs import replace

from tallystick.access.key_store import OPERATORS
from tallystick.domain.verdicts import Approved
from tallystick.flows.reconciliation.telling import SettlementTeller
from tallystick.flows.reconciliation.worker import ReconciliationWorker
from tallystick.flows.runtime import Runtime
from tallystick.flows.webhooks.inbound.worker import InboxWorker
from tallystick.record.postgres.reads import Reads
from tallystick.record.postgres.settlement_evidence import EvidenceBook
from tests.flows.reconciliation.test_news import tell_file, work
from tests.flows.reconciliation.test_telling import types
from tests.support.database import Database
from tests.support.inbox import assert_invariants
from tests.support.letters import new_letters
from tests.support.news_files import Stripe, at_providers
from tests.support.runtime import BookedProvider, Client, read, runtime_of, stored
from tests.support.settlement_days import Acquirer, paid, settled
from tests.support.settlement_imports import DyingPool

#: Statements of a set of reads: attempts, refunds, payments, disputes.
OF_A_SET = 4

#: Of how many payments: statements are counted for both.
PAYMENTS = (1, 6)


def counting(runtime: Runtime) -> tuple[Runtime, DyingPool, DyingPool]:
    """The process, with the statements of its reads of payments, and of its reads of evidence and news."""
    payments, evidence = [DyingPool(runtime.pool, 10**9, after=False) for _ in range(2)]
    reads = Reads(cast(Any, payments), runtime.clock)
    stores = replace(runtime.stores, evidence=EvidenceBook(cast(Any, evidence), OPERATORS))
    return replace(runtime, reads=reads, stores=stores), payments, evidence


async def test_news_of_many_payments(database: Database, fresh_merchant: str, tmp_path: Path) -> None:
    """Charges that their provider is asked about: each payment is read before its decision, and again before the
    question."""
    async with at_providers(database) as (runtime, doubles):
        for number in PAYMENTS:
            made, file = [], Stripe(f"po{new_letters()}")
            for _ in range(number):
                client = Client(runtime, fresh_merchant)
                held = read(await client.create(new_letters(), manual=True, provider="stripe"))["id"]
                charge = (await stored(runtime, fresh_merchant, held)).provider_reference
                assert charge is not None
                attempt = await runtime.pool.fetchval("SELECT attempt_id FROM attempt WHERE payment_id = $1", held)
                taken = Approved(amount=1_000, currency="EUR", effect="captured", reference=charge)
                doubles["stripe"].says[attempt] = taken
                file.row("charge", 1_000, charge=charge, effect="", movement=new_letters())
                made.append(held)
            await tell_file(runtime, file, tmp_path)
            await ReconciliationWorker(runtime).round()
            process, payments, _ = counting(runtime)
            assert await InboxWorker(process, process.stores.inbox).round() == number
            assert payments.points == 2 * OF_A_SET + number, "and of each question, when its call was sent"
            for each in made:
                assert (await stored(runtime, fresh_merchant, each)).state == "captured"
        await work(runtime, fresh_merchant)
    await assert_invariants(database, fresh_merchant)


async def test_one_look_says_which_news_was_taken_back(database: Database, fresh_merchant: str, tmp_path: Path) -> None:
    async with at_providers(database) as (runtime, _):
        for number in PAYMENTS:
            file = Stripe(f"po{new_letters()}")
            for _ in range(number):
                payment = await paid(runtime, fresh_merchant, provider="stripe")
                file.row("refund", -3, charge=payment["charge"], effect=f"re{new_letters()}", movement=new_letters())
            await tell_file(runtime, file, tmp_path)
            await ReconciliationWorker(runtime).round()
            process, payments, evidence = counting(runtime)
            assert await InboxWorker(process, process.stores.inbox).round() == number
            assert (payments.points, evidence.points) == (OF_A_SET, 1)
        await work(runtime, fresh_merchant)
    await assert_invariants(database, fresh_merchant)


async def test_messages_of_many_payments(database: Database, fresh_merchant: str, tmp_path: Path) -> None:
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        await SettlementTeller(runtime).round()
        for number in PAYMENTS:
            file = Acquirer()
            for _ in range(number):
                file.of(await paid(runtime, fresh_merchant), "charge", 1_000)
            await settled(runtime, file.text(), tmp_path, name=f"{number}.csv")
            process, payments, _ = counting(runtime)
            assert await SettlementTeller(process).round() == number
            assert payments.points == OF_A_SET
        assert await types(runtime, fresh_merchant) == ["payment.settled"] * sum(PAYMENTS)
    await assert_invariants(database, fresh_merchant)
