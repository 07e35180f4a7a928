"""Whoever asks whether the database can serve has an answer within a second, whatever hangs."""

from __future__ import annotations

import asyncio
import socket
import time
from functools import partial

import asyncpg
import pytest

from tallystick.record.postgres.connections import connect_probe
from tallystick.record.postgres.outage import Outage
from tallystick.record.postgres.readiness import WORKER_SESSIONS, DatabaseReadiness
from tallystick.record.sealing import Sealer
from tests.support.database import NewDatabase
from tests.support.polling import eventually_async

WITHIN_S = 1.0

#: Its keys are those of the record: it refuses nothing.
SEALER = Sealer(lambda: [b"k" * 32])

#: Whoever asks at the same moment waits for the same question.
ASKERS = 20


async def no_name_server() -> asyncpg.Connection:
    """A name that nobody resolves, however long it takes."""
    await asyncio.Event().wait()
    raise AssertionError


async def assert_in_time(readiness: DatabaseReadiness) -> None:
    """A busy machine may be late with one answer, not with each of some."""
    took_s = []
    for _ in range(5):
        began = time.monotonic()
        found = await asyncio.gather(*(readiness.reason_not_ready() for _ in range(ASKERS)))
        took_s.append(time.monotonic() - began)
        assert set(found) == {"The database does not answer."}
        if took_s[-1] < WITHIN_S:
            return
    raise AssertionError(took_s)


async def test_a_host_that_swallows_everything() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        readiness = DatabaseReadiness(
            partial(connect_probe, f"postgresql://nobody@127.0.0.1:{port}/no"), Outage(), SEALER
        )
        await assert_in_time(readiness)
        await readiness.close()


async def test_a_name_that_is_not_resolved() -> None:
    asked = 0

    async def counted() -> asyncpg.Connection:
        nonlocal asked
        asked += 1
        return await no_name_server()

    readiness = DatabaseReadiness(counted, Outage(), SEALER)
    await assert_in_time(readiness)
    assert asked == 1, "one question at a time, however many ask"
    await readiness.close()


@pytest.mark.parametrize("runs", [True, False])
async def test_whether_a_worker_runs_is_said_and_changes_nothing(new_database: NewDatabase, runs: bool) -> None:
    database = new_database()
    name = WORKER_SESSIONS if runs else "psql"
    other = await asyncpg.connect(database.app_url, server_settings={"application_name": name})
    readiness = DatabaseReadiness(partial(connect_probe, database.app_url), Outage(), SEALER)
    await readiness.first()
    await eventually_async(readiness.check, until="ready".__eq__)
    assert readiness.worker_runs is runs
    await readiness.close()
    await other.close()


async def test_a_read_only_database_is_not_ready(new_database: NewDatabase) -> None:
    """As a standby is, and a primary that was fenced."""
    database = new_database()
    url = f"{database.app_url}&options=-c%20default_transaction_read_only%3Don"
    readiness = DatabaseReadiness(partial(connect_probe, url), Outage(), SEALER)
    await readiness.first()
    await eventually_async(readiness.reason_not_ready, until="The database is read-only.".__eq__)
    await readiness.close()


@pytest.mark.parametrize("table", ["contract_drift", "provider_pause", "provider_circuit", "process_clock"])
async def test_a_database_without_a_table_of_this_release_is_not_ready(new_database: NewDatabase, table: str) -> None:
    """Also one that no answer of the API needs: every process writes there."""
    database = new_database()
    owner = await asyncpg.connect(database.owner_url)
    await owner.execute(f"ALTER TABLE {table} RENAME TO gone")
    await owner.close()
    readiness = DatabaseReadiness(partial(connect_probe, database.app_url), Outage(), SEALER)
    await readiness.first()
    await eventually_async(readiness.check, until="other_schema".__eq__)
    await readiness.close()
