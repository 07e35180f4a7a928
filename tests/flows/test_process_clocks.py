"""What each process tells of the clocks beside its host's: two tellers on one database are two processes."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from tallystick.flows import process_clocks as process_clocks_module
from tallystick.flows.clocks import Clocks
from tallystick.flows.process_clocks import ProcessClocks
from tallystick.kit.clock import Clock
from tallystick.record.postgres.connections import open_pool
from tallystick.record.postgres.process_clocks import ClockApart, read_clocks_apart
from tallystick.record.postgres.provider_circuits import GONE_AFTER_MS
from tests.support.database import Database, NewDatabase
from tests.support.host_clock import set_host_clock
from tests.support.runtime import SETTINGS

MARGIN_MS = 2_000


@pytest.fixture(scope="module")
def database(new_database: NewDatabase) -> Database:
    return new_database()


@pytest.fixture
async def pool(database: Database) -> AsyncIterator[asyncpg.Pool]:
    async with await open_pool(database.app_url, SETTINGS) as pool:
        yield pool
        await pool.execute("DELETE FROM process_clock")


class Process:
    """A process that compares its clock with the database's."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self.clocks = Clocks(pool, Clock(), {}, margin_ms=MARGIN_MS)
        self.told = ProcessClocks(pool, self.clocks)

    async def round(self) -> None:
        """It measures, and tells."""
        await self.clocks.measure()
        await self.told.round()


async def apart(pool: asyncpg.Pool) -> list[ClockApart]:
    """What all processes have told."""
    return await read_clocks_apart(pool, 5.0)


async def test_each_process_tells_of_its_own_clock(pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    right, wrong = Process(pool), Process(pool)
    await right.round()
    assert await apart(pool) == []
    set_host_clock(monkeypatch, 60_000)
    await wrong.round()
    [found] = await apart(pool)
    assert (found.clock, found.host) == ("database", wrong.told._host)
    assert abs(found.skew_ms - 60_000) <= MARGIN_MS
    assert await pool.fetchval("SELECT count(*) FROM process_clock") == 2
    await wrong.told.leave()
    assert await apart(pool) == []
    assert await pool.fetchval("SELECT count(*) FROM process_clock") == 1, "the other one's stays"


async def test_what_has_not_changed_is_told_now_and_then(pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    process = Process(pool)
    await process.round()
    told_at = await pool.fetchval("SELECT told_at FROM process_clock")
    await process.told.round()
    assert await pool.fetchval("SELECT told_at FROM process_clock") == told_at
    set_host_clock(monkeypatch, 60_000)
    await process.round()
    changed_at = await pool.fetchval("SELECT told_at FROM process_clock")
    assert changed_at > told_at, "a clock that crosses the margin is told at once"
    monkeypatch.setattr(process_clocks_module, "TELL_EVERY_MS", 0)
    set_host_clock(monkeypatch, 0)
    await process.round()
    right_at = await pool.fetchval("SELECT told_at FROM process_clock")
    await process.told.round()
    assert await pool.fetchval("SELECT told_at FROM process_clock") > right_at > changed_at


async def test_a_process_that_is_gone_counts_no_more_and_leaves_nothing(
    pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed, right = Process(pool), Process(pool)
    set_host_clock(monkeypatch, 60_000)
    await killed.round()
    assert await apart(pool) != []
    await pool.execute("UPDATE process_clock SET told_at = now() - $1::int * interval '1 ms'", GONE_AFTER_MS + 1)
    assert await apart(pool) == [], "an old report is no report"
    set_host_clock(monkeypatch, 0)
    await right.round()
    assert await pool.fetchval("SELECT count(*) FROM process_clock") == 1, "the rows do not grow"


async def test_a_database_that_is_away_is_told_later(pool: asyncpg.Pool, database: Database) -> None:
    process = Process(pool)
    owner = await asyncpg.connect(database.owner_url)
    await owner.execute("ALTER TABLE process_clock RENAME TO elsewhere")
    await process.round()
    await owner.execute("ALTER TABLE elsewhere RENAME TO process_clock")
    await owner.close()
    assert await pool.fetchval("SELECT count(*) FROM process_clock") == 0
    await process.told.round()
    assert await pool.fetchval("SELECT count(*) FROM process_clock") == 1
