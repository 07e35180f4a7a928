"""How a writer of batches finds its rows: by key, on empty and on filled tables, by the plan that it keeps and by one
made for its values."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any, Final

import asyncpg
import psycopg
import pytest

from tallystick.kit.clock import Clock
from tallystick.lab.bench.workload import new_payment
from tallystick.record.journal import Journal, JournalLimits
from tallystick.record.postgres import sql
from tallystick.record.postgres.batch import Entry, run_batch
from tallystick.record.postgres.connections import KEEP_PLANS, OLDEST_PLAN_BATCHES, KeptPlans, connect, connect_journal
from tallystick.record.postgres.subject_rows import subject_writes
from tests.support.database import Database, NewDatabase
from tests.support.polling import eventually_async

WRITES: Final = {
    **{f"journal.sql {name}": statement for name, statement in sql.load("journal.sql").items()},
    **{f"subject_rows.py {write.name}": write.statement for write in subject_writes()},
    **{
        f"inbox.sql {name}": sql.load("inbox.sql")[name]
        for name in (
            "insert_events",
            "known_events",
            "insert_deliveries",
            "insert_missing_deliveries",
            "unrouted",
            "take_up",
            "record_act",
        )
    },
}

#: What the planner expects of a table that it knows nothing of has a partial index hold one row. Once there are
#: statistics, these find their rows by key too; the statistics come with the first fifty events.
UNKNOWN_TABLE: Final = {"inbox.sql unrouted", "inbox.sql take_up"}

#: A table's statistics make a scan look cheap or dear from some hundred rows on.
PAYMENTS: Final = 400

#: Ten times as many events: foreign, applied, and open; and as many that files told of.
EVENTS: Final = f"""
INSERT INTO inbox (provider, account, provider_event_id, event_id, type, received_at, charge_reference, digest, state,
                   turn, tries, replays, closed_at, next_try_at)
SELECT 'simulator', 'main', n::text, 'evt_' || n, 'charge.captured', now(), 'ch_' || n, ''::bytea,
       CASE n % 3 WHEN 0 THEN 'foreign' WHEN 1 THEN 'applied' ELSE 'received' END, n, 0, 0,
       CASE WHEN n % 3 < 2 THEN now() END, CASE WHEN n % 3 = 2 THEN now() END
FROM generate_series(1, 10 * {PAYMENTS}) AS n;
INSERT INTO settlement_news (file_id, position, provider, account, provider_event_id, told_at)
SELECT 'stl_' || n % 10, n, 'simulator', 'main', n::text, now() FROM generate_series(1, 10 * {PAYMENTS}) AS n
"""

#: The smallest batch, and a busy one.
BATCHES: Final = (1, 200)

LIMITS: Final = JournalLimits(
    connections=1,
    second_batch_changes=100,
    spacing_ms=10,
    batch_changes=400,
    batch_rows=4_000,
    batch_bytes=4_194_304,
    queue_limit=1_000,
    commit_timeout_ms=60_000,
)

_SAMPLES: Final[dict[str, Any]] = {
    "text": "a",
    "int2": 1,
    "int4": 1,
    "int8": 1,
    "bool": True,
    "bytea": b"a",
    "numeric": Decimal(1),
    "timestamptz": datetime(2026, 1, 1, tzinfo=UTC),
}


@pytest.fixture(scope="module", params=["empty", "filled"])
def tables(request: pytest.FixtureRequest, new_database: NewDatabase) -> tuple[Database, bool]:
    return new_database(), request.param == "filled"


@pytest.fixture(scope="module")
def url(tables: tuple[Database, bool]) -> str:
    database, filled = tables
    if filled:
        asyncio.run(_fill(database))
        with psycopg.connect(database.owner_url, autocommit=True) as owner:
            owner.execute(EVENTS)
            owner.execute("ANALYZE")
    return database.app_url


async def _fill(database: Database) -> None:
    connection = await connect_journal(database.app_url, command_timeout_ms=30_000)
    made = [new_payment() for _ in range(PAYMENTS)]
    for changes in zip(*made, strict=True):
        await run_batch(connection, [Entry(change) for change in changes], Clock(), after_loss=False)
    await connection.close()


@pytest.fixture
async def writer(url: str) -> AsyncIterator[asyncpg.Connection]:
    """Plans as a journal's connection does, and has what asyncpg knows of a statement."""
    connection = await connect(url, command_timeout_ms=10_000)
    for name, value in KEEP_PLANS.items():
        await connection.execute(f"SET {name} = {value}")
    yield connection
    await connection.close()


async def plan(connection: asyncpg.Connection, statement: str, values: int | None) -> str:
    """The plan that is kept; with ``values``, the one for arrays of so many."""
    parameters = (await connection.prepare(statement)).get_parameters()
    if values is None:
        await connection.execute(f"PREPARE plan_of AS {statement}")
        rows = await connection.fetch(f"EXPLAIN EXECUTE plan_of ({', '.join(['null'] * len(parameters))})")
    else:
        arguments = [
            [_SAMPLES[each.name.removesuffix("[]")]] * values if each.kind == "array" else _SAMPLES[each.name]
            for each in parameters
        ]
        rows = await connection.fetch(f"EXPLAIN {statement}", *arguments)
    return "\n".join(row[0] for row in rows)


def whole_reads(found: str) -> list[str]:
    """The places in a plan that read more than the keys they are given."""
    lines = [line.strip().removeprefix("->").strip() for line in found.splitlines()]
    return [
        line
        for line, after in zip(lines, [*lines[1:], ""], strict=True)
        if re.match(r"(Parallel )?Seq Scan|Hash Join|Merge Join", line)
        or "hashed SubPlan" in line
        or (re.match(r"Index (Only )?Scan|Bitmap Index Scan", line) and not after.startswith("Index Cond:"))
    ]


@pytest.mark.parametrize("name", WRITES)
async def test_a_writer_finds_its_rows_by_key(
    tables: tuple[Database, bool], writer: asyncpg.Connection, name: str
) -> None:
    _, filled = tables
    for values in (None, *BATCHES):
        found = await plan(writer, WRITES[name], values)
        if name in UNKNOWN_TABLE and not filled:
            continue
        assert whole_reads(found) == [], f"for {values or 'any number of'} rows:\n{found}"


async def test_a_writer_keeps_its_plans(url: str) -> None:
    """Whatever the values: a small batch is not planned again at each execution."""
    journal = await connect_journal(url, command_timeout_ms=10_000)
    statement = WRITES["journal.sql claimed"]
    for _ in range(3):
        await journal.execute(statement, ["m"], ["key"])
    plans = "SELECT generic_plans, custom_plans FROM pg_prepared_statements WHERE statement = $1"
    assert await journal.fetch(plans, statement) == [(3, 0)]
    await journal.close()


async def test_plans_follow_tables_that_were_analyzed_while_they_were_empty(new_database: NewDatabase) -> None:
    """The first plan looks for keys by reading a whole index, which has nothing in it yet."""
    database, payments = new_database(), 100
    with psycopg.connect(database.owner_url, autocommit=True) as owner:
        owner.execute("ANALYZE")
        journal = Journal(lambda: connect_journal(database.app_url, command_timeout_ms=30_000), LIMITS, Clock())
        await journal.start()
        for _ in range(payments):
            for change in new_payment():
                await journal.commit(change)
        await journal.stop()
        await eventually_async(lambda: asyncio.to_thread(_sessions, owner), until=lambda number: not number)
        read = owner.execute("SELECT idx_tup_read FROM pg_stat_user_indexes WHERE indexrelname = 'instruction_pkey'")
        entries = read.fetchone()
    assert entries is not None and entries[0] < payments, "the entries of an index that were read"


def _sessions(owner: psycopg.Connection[Any]) -> int:
    found = owner.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()").fetchone()
    return int(found[0]) - 1 if found else 0


@pytest.mark.parametrize(("batches", "expected"), [(1, []), (2, [2]), (16, [2, 4, 8, 16])])
def test_plans_are_as_old_as_what_they_were_made_for(batches: int, expected: list[int]) -> None:
    plans = KeptPlans()
    assert [batch for batch in range(1, batches + 1) if plans.are_old()] == expected


def test_no_plan_is_kept_for_ever() -> None:
    plans = KeptPlans()
    again = [batch for batch in range(10 * OLDEST_PLAN_BATCHES) if plans.are_old()]
    assert max(after - one for one, after in pairwise(again)) == OLDEST_PLAN_BATCHES
