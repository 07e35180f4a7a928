"""A pool gives a connection back as it is: nothing is sent, and there is nothing to be reset."""

from __future__ import annotations

import ast
import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

import tallystick
from tallystick.lab.bench.before_after.wire import CountedWire
from tallystick.record.postgres import sql
from tallystick.record.postgres.connections import open_pool
from tallystick.settings.load import Settings
from tests.support.database import Database

SOURCE: Final = Path(tallystick.__file__).parent

ONE: Final = Settings(database_connections=1)

#: What a session keeps beyond its transaction. ``SET LOCAL`` and ``SET TRANSACTION`` end with it.
KEEPS: Final = re.compile(
    r"^\s*(SET\s+(?!LOCAL\b|TRANSACTION\b)|RESET\b|LISTEN\b|DISCARD\b|LOAD\b|PREPARE\b)"
    r"|set_config\s*\(|pg_(try_)?advisory_lock|WITH\s+HOLD|CREATE\s+TEMP"
)

#: Texts that match, and why no connection of a pool has them.
ELSEWHERE: Final = {
    "lab/bench/fill.py": "a connection of its own, which is closed",
    "lab/bench/settlement_ceiling.py": "a connection of its own, which is closed",
    "record/postgres/migration_lock.py": "a migration's own connection, which is closed",
    "record/postgres/connections.py": "plans of the journal's connections, which are in no pool",
    "oversight/audit/definitions.py": "in a transaction that is rolled back, and the views with it",
}


@pytest.mark.asyncio
async def test_a_statement_of_a_pool_is_one_round_trip(database: Database) -> None:
    with CountedWire(database.app_url) as wire:
        async with await open_pool(wire.url, ONE) as pool:
            await pool.fetchval("SELECT 1")  # prepared
            before = wire.counts()
            for _ in range(3):
                assert await pool.fetchval("SELECT 1") == 1
            async with pool.acquire() as connection:
                assert await connection.fetchval("SELECT 1") == 1
            now = wire.counts()
    assert (now.statements - before.statements, now.round_trips - before.round_trips) == (4, 4)


@pytest.mark.asyncio
async def test_a_transaction_that_is_left_open_is_rolled_back(database: Database) -> None:
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    state = "SELECT pg_backend_pid(), current_setting('enable_hashjoin'), pg_current_xact_id_if_assigned()"
    async with await open_pool(database.app_url, ONE) as pool:
        before = await pool.fetchrow(state)
        async with pool.acquire() as connection:
            await connection.execute("BEGIN; SET LOCAL enable_hashjoin = on; SELECT pg_current_xact_id()")
            assert await connection.fetchrow(state) != before
        assert await pool.fetchrow(state) == before
    assert ["active transaction" in each["message"] for each in told] == [True], "and the log says so"


def _texts() -> Iterator[tuple[str, str]]:
    """Module and text, of every constant in the product."""
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield path.relative_to(SOURCE).as_posix(), node.value


def test_nothing_that_the_product_sends_outlives_its_transaction() -> None:
    found = {module for module, text in _texts() if KEEPS.search(text)}
    assert found == set(ELSEWHERE), "a session of a pool has to stay what it was: SET LOCAL, in a transaction"
    statements = [text for path in Path(sql.__file__).parent.glob("*.sql") for text in sql.load(path.name).values()]
    assert not [text for text in statements if KEEPS.search(text)]
    assert KEEPS.search("SET work_mem = '64MB'") and not KEEPS.search("SET LOCAL work_mem = '64MB'")
