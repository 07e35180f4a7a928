"""What each process tells of its circuits: two pools on one database are two processes, with a circuit each."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import asyncpg
import pytest

from tallystick.flows import circuits as circuits_module
from tallystick.flows.circuits import Circuits
from tallystick.providers.circuit import BoundedProvider
from tallystick.record.postgres.connections import open_pool
from tallystick.record.postgres.provider_circuits import GONE_AFTER_MS, AccountCircuits, read_circuits
from tests.support.circuit import LIMITS, Scripted, Time, call, circuit, fail
from tests.support.database import Database, NewDatabase
from tests.support.runtime import SETTINGS


class Process:
    """A process with one provider, whose circuit's clock the test moves."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self.pool = pool
        self.inner, self.time = Scripted(), Time()
        self.provider = BoundedProvider(self.inner, LIMITS, self.time)
        self.circuits = Circuits(pool, {"scripted": self.provider})

    async def open(self) -> None:
        """Its calls get no answer until its circuit opens."""
        await fail(self.provider, self.inner)
        assert circuit(self.provider) == "open"

    async def found(self) -> AccountCircuits | None:
        """What all processes have told."""
        rows = await read_circuits(self.pool, 5.0)
        return rows[0] if rows else None


@pytest.fixture(scope="module")
def database(new_database: NewDatabase) -> Database:
    return new_database()


@pytest.fixture
async def processes(database: Database) -> AsyncIterator[list[Process]]:
    async with AsyncExitStack() as stack:
        pools = [await stack.enter_async_context(await open_pool(database.app_url, SETTINGS)) for _ in range(3)]
        yield [Process(pool) for pool in pools]
        await pools[0].execute("DELETE FROM provider_circuit")


async def test_each_process_has_a_circuit_of_its_own(processes: list[Process]) -> None:
    first, second, third = processes
    for process in processes:
        await process.circuits.round()
    found = await first.found()
    assert found is not None and (found.provider, found.account) == ("scripted", "eu")
    assert (found.processes, found.open, found.half_open) == (3, 0, 0)
    began = found.since
    await second.open()
    await second.circuits.round()
    await third.open()
    await third.circuits.round()
    found = await first.found()
    assert found is not None and (found.processes, found.open, found.half_open) == (3, 2, 0)
    opened = found.since
    assert opened > began, "of those that are open the first one counts, and none that is closed"
    third.time.now_s += LIMITS.open_ms / 1_000
    await third.provider.authorize(call())
    assert circuit(third.provider) == "half_open"
    await third.circuits.round()
    found = await first.found()
    assert found is not None and (found.open, found.half_open) == (1, 1)
    await third.circuits.leave()
    found = await first.found()
    assert found is not None and (found.processes, found.open) == (2, 1)
    assert abs((found.since - opened).total_seconds()) < 0.1, "open since the same time, however often it is told"


async def test_what_has_not_changed_is_told_now_and_then(
    processes: list[Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = processes[0]
    await first.circuits.round()
    told_at = await first.pool.fetchval("SELECT told_at FROM provider_circuit")
    await first.circuits.round()
    assert await first.pool.fetchval("SELECT told_at FROM provider_circuit") == told_at
    monkeypatch.setattr(circuits_module, "TELL_EVERY_MS", 0)
    await first.open()
    await first.circuits.round()
    changed_at = await first.pool.fetchval("SELECT told_at FROM provider_circuit")
    assert changed_at > told_at
    await first.circuits.round()
    assert await first.pool.fetchval("SELECT told_at FROM provider_circuit") > changed_at


async def test_a_process_that_is_gone_counts_no_more_and_leaves_nothing(processes: list[Process]) -> None:
    first, killed, _ = processes
    await killed.open()
    await killed.circuits.round()
    found = await first.found()
    assert found is not None and found.age_ms < GONE_AFTER_MS
    await first.pool.execute(
        "UPDATE provider_circuit SET told_at = now() - $1::int * interval '1 ms'", GONE_AFTER_MS + 1
    )
    assert await first.found() is None, "an old report is no report"
    await first.circuits.round()
    found = await first.found()
    assert found is not None and (found.processes, found.open) == (1, 0)
    assert await first.pool.fetchval("SELECT count(*) FROM provider_circuit") == 1, "the rows do not grow"


async def test_a_database_that_is_away_is_told_later(processes: list[Process], database: Database) -> None:
    first = processes[0]
    owner = await asyncpg.connect(database.owner_url)
    await owner.execute("ALTER TABLE provider_circuit RENAME TO elsewhere")
    await first.circuits.round()
    await owner.execute("ALTER TABLE elsewhere RENAME TO provider_circuit")
    await owner.close()
    assert await first.found() is None
    await first.circuits.round()
    assert await first.found() is not None
