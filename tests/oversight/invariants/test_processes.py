"""``verify`` in two processes finds what one finds: same violations in the same order, in one snapshot."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import asyncpg
import msgspec
import psycopg
import pytest
from msgspec.structs import replace

from tallystick.oversight.invariants import (
    InvariantReport,
    Progress,
    Source,
    parts,
    processes,
    verify,
    verify_in_processes,
)
from tallystick.record.postgres.connections import connect
from tallystick.settings.load import Settings
from tests.support.breaks import BREAKS
from tests.support.database import Database, NewDatabase
from tests.support.sample import SETTINGS, Sample, make_sample

TIMEOUT_MS = 30_000

#: Of statements about the platform and a merchant, and of looks at payments in several parts.
BROKEN = (
    "a balance",
    "one side",
    "a lost transfer",
    "no deadline",
    "too little",
    "an unreadable value",
    "shared",
    "no arrival",
)


@pytest.fixture(scope="module")
def broken(new_database: NewDatabase) -> tuple[Database, Sample]:
    """A database of its own with two merchants, of which one is broken in several ways."""
    database = new_database()
    sample = asyncio.run(make_sample(database.app_url, "m-broken"))
    asyncio.run(make_sample(database.app_url, "m-whole"))
    for each in BREAKS:
        if each.how in BROKEN:
            execute(database, each.statement.format(**msgspec.structs.asdict(sample)))
    return database, sample


def execute(database: Database, statement: str) -> None:
    with psycopg.connect(database.owner_url, autocommit=True) as owner:
        owner.execute(statement.encode())


@pytest.fixture
async def connection(broken: tuple[Database, Sample]) -> AsyncIterator[asyncpg.Connection]:
    connection = await connect(broken[0].app_url, command_timeout_ms=TIMEOUT_MS)
    yield connection
    await connection.close()


@pytest.fixture(autouse=True)
def many_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART_PAYMENTS", 2)
    monkeypatch.setattr(processes, "PARTS_FOR_A_HELPER", 1)


def by_the_helper(monkeypatch: pytest.MonkeyPatch, first: Callable[[], None] = lambda: None) -> list[int]:
    """This process examines only what the helper leaves: the numbers of these parts. ``first`` is called when the
    snapshot is taken and nothing is examined."""
    examine_all, left, started = processes._examine_all, list[int](), list[bool]()

    async def later(connection: asyncpg.Connection, settings: Settings, work: processes._Work) -> None:
        if started:
            left.extend(number for number, _ in work.to_do)
            await examine_all(connection, settings, work)
        else:
            started.append(True)
            first()

    monkeypatch.setattr(processes, "_examine_all", later)
    return left


async def in_two(connection: asyncpg.Connection, source: str, progress: Progress | None = None) -> InvariantReport:
    report = await verify_in_processes(
        connection, Source(source, TIMEOUT_MS), settings=SETTINGS, processes=2, progress=progress
    )
    return replace(report, elapsed_ms=0)


async def in_one(connection: asyncpg.Connection) -> InvariantReport:
    return replace(await verify(connection, settings=SETTINGS), elapsed_ms=0)


async def test_a_helper_finds_the_same_in_the_same_order(
    broken: tuple[Database, Sample], connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = await in_one(connection)
    assert len(one.broken()) > len(BROKEN)
    assert len({each.merchant_id for each in one.violations}) == 2, "of the platform and of a merchant"
    left = by_the_helper(monkeypatch)
    seen: list[tuple[int, int]] = []
    two = await in_two(connection, broken[0].app_url, lambda done, total: seen.append((done, total)))
    assert left == []
    assert two == one
    total = one.checked["payments"]
    assert seen[-1] == (total, total)


async def test_a_helper_sees_what_this_process_sees(
    broken: tuple[Database, Sample], connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is committed while ``verify`` runs is in no part of it."""
    database, _ = broken
    one = await in_one(connection)
    name = "WHERE merchant_id = 'm-whole' AND account = 'merchant'"
    left = by_the_helper(monkeypatch, lambda: execute(database, f"UPDATE balance SET debits = debits + 7 {name}"))
    try:
        two = await in_two(connection, database.app_url)
    finally:
        execute(database, f"UPDATE balance SET debits = debits - 7 {name}")
    assert left == []
    assert two == one


async def test_what_a_helper_leaves_is_examined_here(
    connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = await in_one(connection)
    left = by_the_helper(monkeypatch)
    two = await in_two(connection, "postgresql://nobody@127.0.0.1:1/nowhere")
    assert len(left) == len(await parts.planned(connection, None)), "it examined none"
    assert two == one


async def test_a_database_that_exports_no_snapshot_is_read_by_one_process(
    broken: tuple[Database, Sample], connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    database, _ = broken
    one = await in_one(connection)
    refused = "CREATE FUNCTION public.pg_export_snapshot() RETURNS text LANGUAGE sql AS 'SELECT (1 / 0)::text'"
    execute(database, refused)
    monkeypatch.delattr(processes, "_Helper")
    try:
        await connection.execute("SET search_path = public, pg_catalog")
        assert await in_two(connection, database.app_url) == one
    finally:
        execute(database, "DROP FUNCTION public.pg_export_snapshot()")
