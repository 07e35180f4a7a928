"""A file is withdrawn while its news is decided: one of the two is first, on a real database, by the rows that both
write. What was committed before the withdrawal stays; what was not is stale."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from tallystick.flows.reconciliation.worker import ReconciliationWorker
from tallystick.flows.runtime import Runtime
from tallystick.record.postgres.connections import connect
from tallystick.record.postgres.settlement_withdrawals import Withdrawing
from tests.flows.reconciliation.test_in_turns import WAITING
from tests.flows.reconciliation.test_news import tell_file, work
from tests.flows.reconciliation.test_news_waiting import file_of
from tests.flows.reconciliation.test_withdrawing import withdrawn
from tests.support.database import Database
from tests.support.inbox import assert_invariants, drain
from tests.support.letters import new_letters
from tests.support.news_files import Adyen, at_providers
from tests.support.polling import eventually_async
from tests.support.runtime import stored
from tests.support.settlement_days import paid


async def told(runtime: Runtime, merchant_id: str, where: Path) -> tuple[str, Adyen]:
    """A payment, and a file that told the inbox of a refund of 400 of it."""
    made = await paid(runtime, merchant_id, provider="adyen")
    file = Adyen(f"b{new_letters()}")
    file.row("refund", -400, charge=made["charge"], effect=f"mod{new_letters()}", movement="")
    await tell_file(runtime, file, where)
    await ReconciliationWorker(runtime).round()
    assert await event_of(runtime, made["id"]) == "received"
    return made["id"], file


async def event_of(runtime: Runtime, payment_id: str) -> str:
    found: str = await runtime.pool.fetchval("SELECT state FROM inbox WHERE payment_id = $1", payment_id)
    return found


async def until_waiting(runtime: Runtime, sessions: int) -> None:
    """So many sessions wait for what another one has written, and not committed."""

    async def waiting() -> int:
        found: int = await runtime.pool.fetchval(WAITING)
        return found

    await eventually_async(waiting, until=lambda count: count >= sessions)


async def test_a_withdrawal_that_is_first_makes_the_decision_stale(
    database: Database, fresh_merchant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file was not withdrawn when the worker looked, and is when its decision is committed."""
    async with at_providers(database) as (runtime, _):
        payment_id, file = await told(runtime, fresh_merchant, tmp_path)
        is_written, goes_on, really = asyncio.Event(), asyncio.Event(), Withdrawing.withdraw_news

        async def and_waits(self: Withdrawing, file_ids: Sequence[str]) -> None:
            await really(self, file_ids)
            is_written.set()
            await goes_on.wait()

        monkeypatch.setattr(Withdrawing, "withdraw_news", and_waits)
        withdrawing = asyncio.create_task(withdrawn(runtime, await file_of(runtime, file)))
        await is_written.wait()
        deciding = asyncio.create_task(drain(runtime, fresh_merchant))
        await until_waiting(runtime, 1)
        goes_on.set()
        await asyncio.gather(withdrawing, deciding)
        assert await event_of(runtime, payment_id) == "stale"
        assert (await stored(runtime, fresh_merchant, payment_id)).amount_refunded == 0
        await work(runtime, fresh_merchant)
        assert (await stored(runtime, fresh_merchant, payment_id)).amount_refunded == 0
    await assert_invariants(database, fresh_merchant)


async def test_a_withdrawal_waits_for_a_decision_that_is_first(
    database: Database, fresh_merchant: str, tmp_path: Path
) -> None:
    """The decision is written, and its transaction waits for a balance: the withdrawal is done after it."""
    async with at_providers(database) as (runtime, _):
        payment_id, file = await told(runtime, fresh_merchant, tmp_path)
        file_id = await file_of(runtime, file)
        holding = await connect(database.owner_url, command_timeout_ms=60_000)
        try:
            transaction = holding.transaction()
            await transaction.start()
            await holding.execute("UPDATE balance SET debits = debits WHERE merchant_id = $1", fresh_merchant)
            deciding = asyncio.create_task(drain(runtime, fresh_merchant))
            await until_waiting(runtime, 1)
            withdrawing = asyncio.create_task(withdrawn(runtime, file_id))
            await until_waiting(runtime, 2)
            assert not withdrawing.done()
            await transaction.commit()
        finally:
            await holding.close()
        await asyncio.gather(withdrawing, deciding)
        assert await event_of(runtime, payment_id) == "applied"
        assert (await stored(runtime, fresh_merchant, payment_id)).amount_refunded == 400
        state = await runtime.pool.fetchval("SELECT state FROM settlement_file WHERE file_id = $1", file_id)
        assert state == "withdrawn"
    await assert_invariants(database, fresh_merchant)
