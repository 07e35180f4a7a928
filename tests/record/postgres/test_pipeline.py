"""The journal's connection: statements sent together, and what becomes of it when something goes wrong on the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import asyncpg
import pytest

from tallystick.record.postgres.connections import connect, connect_journal
from tallystick.record.postgres.failures import DATABASE_AWAY, may_run_again
from tallystick.record.postgres.parameters import parameter_types
from tallystick.record.postgres.pipeline import Call, PipelineConnection
from tests.support.database import Database
from tests.support.polling import eventually_async, one_turn

AT: Final = datetime(2026, 11, 26, 8, 30, 0, 123_456, tzinfo=UTC)

SLEEPS: Final = "SELECT pg_sleep($1::int)::text"


@pytest.fixture
async def journal(database: Database) -> AsyncIterator[PipelineConnection]:
    opened = await connect_journal(database.app_url, command_timeout_ms=30_000)
    yield opened
    await opened.close()


@pytest.fixture
async def other(database: Database) -> AsyncIterator[asyncpg.Connection]:
    opened = await asyncpg.connect(database.owner_url)
    yield opened
    await opened.close()


COLUMNS: Final[dict[str, list[list[Any]]]] = {
    "text": [
        ["one"],
        ["same", "same", "same"],
        ["ab", "cd", "ef"],
        ["ab", "é1", "zz"],
        ["a", "bc", ""],
        [None, None],
        ["a", None, "a"],
        ["x" * 127, "y" * 127],
        ["x" * 128, "y" * 128],
        ["\x7f", "{"],
    ],
    "int": [[1, -(2**31), 2**31 - 1], [7, 7], [None, 3]],
    "smallint": [[1, -1], [None]],
    "bigint": [[2**63 - 1, -(2**63), 0]],
    "boolean": [[True, False, None], [True, True]],
    "bytea": [[b"", b"\x00\xff"], [b"ab", b"cd"], [None, b"a"]],
    "timestamptz": [[AT, AT + timedelta(microseconds=1), datetime(1999, 1, 1, tzinfo=UTC)], [AT, AT], [None, AT]],
}


@pytest.mark.parametrize("name", COLUMNS)
async def test_a_column_arrives_as_it_was_sent(journal: PipelineConnection, name: str) -> None:
    for column in COLUMNS[name]:
        found = await journal.fetch(f"SELECT unnest($1::{name}[])", tuple(column))
        assert [row[0] for row in found] == column


async def test_numbers_of_any_size_and_single_values_arrive(journal: PipelineConnection) -> None:
    total = "SELECT unnest($1::numeric[])::text"
    assert await journal.fetch(total, (Decimal(10**30), None, Decimal("-1"))) == [(str(10**30),), (None,), ("-1",)]
    values = "SELECT $1::bigint, $2::text, $3::boolean, $4::timestamptz, $5::bytea, $6::smallint"
    assert await journal.fetch(values, 2**40, "a", None, AT, b"b", 3) == [(2**40, "a", None, AT, b"b", 3)]


def test_a_type_that_cannot_be_sent_is_a_defect_of_the_statement() -> None:
    with pytest.raises(ValueError, match="json"):
        parameter_types("SELECT $1::json")


async def test_it_is_the_application_and_keeps_its_plans(journal: PipelineConnection) -> None:
    asked = "SELECT current_user::text, current_setting('plan_cache_mode'), current_setting('enable_seqscan')"
    assert await journal.fetch(asked) == [("tallystick_app", "force_generic_plan", "off")]
    assert await journal.fetch("SELECT current_setting('application_name')") == [("tallystick",)]


async def test_statements_after_one_that_is_refused_are_not_run(journal: PipelineConnection) -> None:
    new = "SELECT $1::text"
    calls = [Call("BEGIN"), Call("SELECT unnest($1::int[])", [(1, 2)]), Call("SELECT 1/$1::int", [0]), Call(new, ["a"])]
    done, refusal = await journal.exchange(calls)
    assert [answer.count for answer in done] == [0, 2] and done[1].rows() == [(1,), (2,)]
    assert isinstance(refusal, asyncpg.DivisionByZeroError)
    with pytest.raises(asyncpg.InFailedSQLTransactionError):
        await journal.fetch(new, "a")
    await journal.execute("ROLLBACK")
    assert await journal.fetch(new, "a") == [("a",)], "it was not prepared before"


async def test_a_refusal_says_what_asyncpg_says(database: Database, journal: PipelineConnection) -> None:
    with pytest.raises(asyncpg.NotNullViolationError) as refused:
        await journal.execute("INSERT INTO payment (merchant_id) VALUES ($1::text)", "x")
    asked = await connect(database.app_url, command_timeout_ms=5_000)
    with pytest.raises(type(refused.value)) as expected:
        await asked.execute("INSERT INTO payment (merchant_id) VALUES ($1::text)", "x")
    await asked.close()
    assert refused.value.as_dict().items() <= expected.value.as_dict().items()


@pytest.mark.parametrize("argument", [2**70, "text", 1.5])
async def test_an_argument_that_cannot_be_sent_is_about_the_rows(
    journal: PipelineConnection, other: asyncpg.Connection, argument: Any
) -> None:
    with pytest.raises(asyncpg.DataError) as refused:
        await journal.exchange([Call("BEGIN"), Call("SELECT unnest($1::bigint[])", [(1, argument)])])
    assert not may_run_again(refused.value)
    assert await journal.fetch("SELECT 1") == [(1,)]
    state = await other.fetchval("SELECT state FROM pg_stat_activity WHERE pid = $1", journal.server_pid)
    assert state == "idle", "BEGIN was not sent either"


async def test_more_is_sent_and_answered_at_once_than_fits_between(journal: PipelineConnection) -> None:
    """The server reads on only while its answers are read."""
    column = tuple(f"{number:0>1000}" for number in range(2_000))
    calls = [Call("SELECT unnest($1::text[])", [column])] * 5
    async with asyncio.timeout(30):
        done, _ = await journal.exchange(calls)
    assert [answer.count for answer in done] == [2_000] * 5 and done[4].rows()[-1] == (column[-1],)


async def test_it_does_one_thing_at_a_time(journal: PipelineConnection) -> None:
    first = asyncio.create_task(journal.fetch("SELECT 1"))
    await one_turn()
    with pytest.raises(asyncpg.InterfaceError, match="in use"):
        await journal.fetch("SELECT 2")
    assert await first == [(1,)]


async def is_gone(other: asyncpg.Connection, server_pid: int) -> bool:
    return not await other.fetchval("SELECT count(*) FROM pg_stat_activity WHERE pid = $1", server_pid)


async def test_a_cancelled_exchange_ends_the_connection_and_the_statement(
    journal: PipelineConnection, other: asyncpg.Connection
) -> None:
    """It may hold locks: nobody waits for them as long as it would have run."""
    exchange = asyncio.create_task(journal.exchange([Call("BEGIN"), Call(SLEEPS, [600])]))
    active = "SELECT count(*) FROM pg_stat_activity WHERE pid = $1 AND query LIKE 'SELECT pg_sleep%'"
    await eventually_async(lambda: other.fetchval(active, journal.server_pid))
    exchange.cancel()
    with pytest.raises(asyncio.CancelledError):
        await exchange
    assert journal.is_closed()
    with pytest.raises(asyncpg.InterfaceError, match="closed"):
        await journal.fetch("SELECT 1")
    await eventually_async(lambda: is_gone(other, journal.server_pid))


async def test_an_exchange_out_of_time_ends_them_too(database: Database, other: asyncpg.Connection) -> None:
    journal = await connect_journal(database.app_url, command_timeout_ms=100)
    with pytest.raises(TimeoutError):
        await journal.exchange([Call("BEGIN"), Call(SLEEPS, [600])])
    assert journal.is_closed()
    await eventually_async(lambda: is_gone(other, journal.server_pid))


async def test_a_server_that_ends_the_session_says_why(journal: PipelineConnection, other: asyncpg.Connection) -> None:
    exchange = asyncio.create_task(journal.exchange([Call("BEGIN"), Call(SLEEPS, [600]), Call("SELECT 1")]))
    active = "SELECT count(*) FROM pg_stat_activity WHERE pid = $1 AND query LIKE 'SELECT pg_sleep%'"
    await eventually_async(lambda: other.fetchval(active, journal.server_pid))
    await other.execute("SELECT pg_terminate_backend($1)", journal.server_pid)
    with pytest.raises(asyncpg.AdminShutdownError) as ended:
        await exchange
    assert journal.is_closed() and isinstance(ended.value, DATABASE_AWAY)


async def test_a_session_that_ended_between_exchanges_is_noticed(
    journal: PipelineConnection, other: asyncpg.Connection
) -> None:
    await other.execute("SELECT pg_terminate_backend($1)", journal.server_pid)
    await eventually_async(journal.is_closed)
    with pytest.raises(DATABASE_AWAY):
        await journal.fetch("SELECT 1")


async def test_a_refused_login_is_said_as_asyncpg_says_it(database: Database) -> None:
    nobody = database.app_url.replace("//tallystick_app@", "//nobody@")
    with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError):
        await connect_journal(nobody, command_timeout_ms=5_000)
