"""An operator decides of late money on a real database: accepted once, returned once, whoever asks and how often."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest
from structlog.testing import capture_logs

from tallystick.decisions.late_money import NoLateMoney
from tallystick.domain.change import Change
from tallystick.domain.verdicts import Unknown, Verdict
from tallystick.flows.operations.late_money import accept, give_back, waiting_late_money
from tallystick.oversight.invariants import verify
from tallystick.providers.port import ProviderCall
from tests.support.database import Database
from tests.support.late_money import declining_provider, late
from tests.support.runtime import HURRIED, SETTINGS, BookedProvider, Client, read, recover, runtime_of
from tests.support.settlement_days import balances

WORDS = {"actor": "kim", "reason": "ticket 7"}


async def wrong(database: Database, merchant_id: str) -> list[str]:
    connection = await asyncpg.connect(database.app_url)
    try:
        report = await verify(connection, settings=SETTINGS, merchant_id=merchant_id)
    finally:
        await connection.close()
    return [f"{each.invariant}: {each.detail}" for each in report.violations]


@pytest.fixture
def provider() -> BookedProvider:
    return declining_provider()


async def test_its_alert_names_the_list(database: Database, fresh_merchant: str, provider: BookedProvider) -> None:
    async with runtime_of(database.app_url, provider) as runtime:
        with capture_logs() as lines:
            await late(runtime, fresh_merchant)
    assert [line["next"] for line in lines if line.get("alert")] == ["tallystick late-money list"]


async def test_accepted_money_is_listed_no_more_and_can_be_refunded(
    database: Database, fresh_merchant: str, provider: BookedProvider
) -> None:
    async with runtime_of(database.app_url, provider) as runtime:
        payment_id = await late(runtime, fresh_merchant)
        [waiting] = await waiting_late_money(runtime, fresh_merchant, 10)
        assert (waiting.payment.payment_id, waiting.waiting) == (payment_id, 1_000)
        await accept(runtime, payment_id, **WORDS)
        assert await waiting_late_money(runtime, fresh_merchant, 10) == []
        assert await balances(runtime, fresh_merchant) == {"merchant": -1_000, "provider:simulator": 1_000}
        history = await runtime.reads.history(fresh_merchant, payment_id)
        assert (history[-1].actor, history[-1].evidence) == ("kim", '{"operator":{"reason":"ticket 7"}}')
        refund = await Client(runtime, fresh_merchant).refund("refund", payment_id)
        assert (refund.status, read(refund)["state"]) == (201, "succeeded")
        assert await balances(runtime, fresh_merchant) == {}
    [sent] = provider.effects_for(fresh_merchant)
    assert (sent.operation, sent.parent_reference, sent.amount) == ("refund", "ch_1", 1_000)
    assert await wrong(database, fresh_merchant) == []


async def test_two_operators_at_once_decide_once(
    database: Database, fresh_merchant: str, provider: BookedProvider
) -> None:
    async with runtime_of(database.app_url, provider) as runtime:
        payment_id = await late(runtime, fresh_merchant)
        acts = [give_back(runtime, payment_id, **WORDS), accept(runtime, payment_id, **WORDS)]
        acts += [give_back(runtime, payment_id, **WORDS), accept(runtime, payment_id, **WORDS)]
        done = await asyncio.gather(*acts, return_exceptions=True)
        assert sum(isinstance(each, Change) for each in done) == 1
        assert sum(isinstance(each, NoLateMoney) for each in done) == 3
        assert (await balances(runtime, fresh_merchant)).get("suspense:simulator", 0) == 0
    assert await wrong(database, fresh_merchant) == []


async def test_a_return_whose_answer_was_lost_is_finished_by_recovery(
    database: Database, fresh_merchant: str, provider: BookedProvider
) -> None:
    async def lost(call: ProviderCall) -> Verdict | None:
        return Unknown(reason="time-out") if call.operation == "refund" else None

    provider.after = lost
    async with runtime_of(database.app_url, provider, settings=HURRIED) as runtime:
        payment_id = await late(runtime, fresh_merchant)
        await give_back(runtime, payment_id, **WORDS)
        assert await balances(runtime, fresh_merchant) == {"provider:simulator": 1_000, "suspense:simulator": -1_000}
        assert await waiting_late_money(runtime, fresh_merchant, 10) == []
        await recover(runtime)
        assert await balances(runtime, fresh_merchant) == {}
    assert [call.operation for call in provider.effects_for(fresh_merchant)] == ["refund"]
    assert await wrong(database, fresh_merchant) == []
