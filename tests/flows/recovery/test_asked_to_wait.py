"""A provider that asks to wait: all processes heed it, no submission is spent meanwhile, and patience ends it.

Two runtimes on one database are two processes, with connectors of their own: one serves clients, one recovers.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import asyncpg
import pytest

from tallystick.flows.assembly import open_runtime
from tallystick.flows.recovery.worker import RecoveryWorker
from tallystick.flows.runtime import Runtime
from tallystick.kit.ids import new_id
from tallystick.lab.bench.providers import CONNECTORS
from tallystick.settings.load import Settings
from tests.support.asking_bank import A_DAY, AskingBank, asking_bank
from tests.support.database import NewDatabase
from tests.support.letters import new_letters
from tests.support.polling import eventually_async
from tests.support.runtime import SETTINGS, Client, read

#: Nobody's patience ends while a test runs.
PATIENT = replace(
    SETTINGS,
    simulator="on",
    provider_request_timeout_ms=20_000,
    send_window_ms=20_000,
    provider_circuit_patience_ms=3_600_000,
)

#: Everybody's has ended when recovery looks.
IMPATIENT = replace(PATIENT, provider_circuit_patience_ms=1)


class Site:
    """A bank, and processes of one installation that pay there."""

    def __init__(self, stack: AsyncExitStack, url: str, bank: AskingBank, name: str) -> None:
        self._stack = stack
        self._url = url
        self.bank = bank
        self.name = name
        self.merchant_id = f"m{new_letters(16)}"

    async def process(self, settings: Settings) -> Runtime:
        """A new one."""
        own = self.bank.settings(self.name, settings)
        return await self._stack.enter_async_context(open_runtime(own, self._url))

    async def pay(self, runtime: Runtime, key: str) -> Any:
        """A payment; returns its status and what it has come to."""
        client = Client(runtime, self.merchant_id)
        method = CONNECTORS[self.name].payment_method
        reply = await client.create(key, provider=self.name, payment_method=method)
        return reply.status, read(reply)

    async def attempts(self, runtime: Runtime) -> list[asyncpg.Record]:
        """Of this merchant, the oldest first; ``due_ms``: when recovery looks next."""
        return await runtime.pool.fetch(
            "SELECT *, extract(epoch FROM next_check_at - now()) * 1000 AS due_ms FROM attempt"
            " WHERE merchant_id = $1 ORDER BY attempt_id",
            self.merchant_id,
        )

    async def until_looked_at(self, runtime: Runtime, settings: Settings) -> asyncpg.Record:
        """Recovery looked at the one attempt, and waits for the provider or is done with it."""
        worker = RecoveryWorker(runtime, runtime.stores.schedule_book)
        longest = settings.recovery_backoff_cap_ms

        async def look() -> asyncpg.Record | None:
            await worker.round()
            [attempt] = await self.attempts(runtime)
            return attempt if attempt["due_ms"] is None or attempt["due_ms"] > longest else None

        found = await eventually_async(look)
        assert found is not None
        return found


@pytest.fixture(params=CONNECTORS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def url(new_database: NewDatabase) -> str:
    """A database of its own: an account that takes no calls would stop other tests."""
    return new_database().app_url


@pytest.fixture
async def site(url: str, name: str) -> AsyncIterator[Site]:
    async with asking_bank() as bank, AsyncExitStack() as stack:
        yield Site(stack, url, bank, name)
    connection = await asyncpg.connect(url)
    await connection.execute("UPDATE provider_pause SET until = now()")
    await connection.execute("UPDATE attempt SET next_check_at = NULL")  # no other test's recovery takes it up
    await connection.close()


async def test_no_process_calls_and_no_submission_is_spent(site: Site) -> None:
    serving, recovering = await site.process(PATIENT), await site.process(PATIENT)
    site.bank.says = [(429, A_DAY)]
    status, payment = await site.pay(serving, "first")
    assert (status, payment["state"]) == (202, "authorizing")
    [attempt] = await site.attempts(serving)
    assert attempt["due_ms"] > 50_000, "nothing can be done before"
    await serving.pool.execute("UPDATE attempt SET next_check_at = now() WHERE merchant_id = $1", site.merchant_id)
    attempt = await site.until_looked_at(recovering, PATIENT)
    assert (attempt["state"], attempt["submissions"], attempt["checks"]) == ("not_sent", 1, 0)
    assert 50_000 < attempt["due_ms"] <= 60_000 + PATIENT.recovery_backoff_cap_ms
    for process in (serving, recovering, await site.process(PATIENT)):
        status, payment = await site.pay(process, new_id("key"))
        assert (status, payment["state"]) == (202, "authorizing")
    assert len(site.bank.seen) == 1


async def test_an_instruction_waits_as_long_as_its_patience(site: Site) -> None:
    serving, recovering = await site.process(IMPATIENT), await site.process(IMPATIENT)
    site.bank.says = [(429, A_DAY)]
    await site.pay(serving, "key")
    attempt = await site.until_looked_at(recovering, IMPATIENT)
    assert (attempt["state"], attempt["submissions"]) == ("failed", 1)
    status, payment = await site.pay(serving, "key")
    assert (status, payment["state"]) == (201, "failed")
    assert payment["failure"] == {
        "code": "provider_unreachable",
        "message": "The provider did not execute the request; no money moved.",
        "retryable": True,
    }
    assert len(site.bank.seen) == 1


async def test_after_the_wait_it_is_carried_out(site: Site) -> None:
    settings = replace(PATIENT, provider_retry_after_limit_ms=300)
    serving, recovering = await site.process(settings), await site.process(settings)
    site.bank.says = [(429, A_DAY)]
    await site.pay(serving, "key")
    worker = RecoveryWorker(recovering, recovering.stores.schedule_book)

    async def closed() -> bool:
        await worker.round()
        [attempt] = await site.attempts(recovering)
        return str(attempt["state"]) == "approved"

    await eventually_async(closed)
    [attempt] = await site.attempts(recovering)
    assert attempt["submissions"] == 2 and len(site.bank.seen) == 2
    assert (await site.pay(serving, "key"))[1]["state"] == "captured"


async def test_one_in_doubt_waits_whatever_it_takes(site: Site) -> None:
    """503 with Retry-After: it may have been executed, so no patience ends it, and no look-up is spent on the wait."""
    serving, recovering = await site.process(IMPATIENT), await site.process(IMPATIENT)
    site.bank.says = [(503, A_DAY)]
    await site.pay(serving, "key")
    attempt = await site.until_looked_at(recovering, IMPATIENT)
    assert (attempt["state"], attempt["submissions"], attempt["checks"]) == ("unknown", 1, 0)
    assert attempt["parked_at"] is None
    assert len(site.bank.seen) == 1


async def test_after_the_wait_one_call_finds_out(site: Site) -> None:
    """The others of those that wait spend nothing where the provider asks for more."""
    settings = replace(PATIENT, provider_retry_after_limit_ms=60_000)
    serving, recovering = await site.process(settings), await site.process(settings)
    site.bank.says = [(429, A_DAY), (429, A_DAY)]
    for number in range(6):
        await site.pay(serving, f"key-{number}")
    assert len(site.bank.seen) == 1
    await recovering.pauses.learn()
    await recovering.pool.execute("UPDATE provider_pause SET until = now()")
    await recovering.pool.execute("UPDATE attempt SET next_check_at = now() WHERE merchant_id = $1", site.merchant_id)
    waiting = recovering.provider(site.name).pause
    assert waiting is not None
    waiting._until_ms = 0  # the minute is over
    assert await RecoveryWorker(recovering, recovering.stores.schedule_book).round() == 6
    assert len(site.bank.seen) == 2
    assert [row["submissions"] for row in await site.attempts(recovering)].count(1) == 5
