"""A payment is found by each of its names, in few round trips, and no table of it is read whole."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import timedelta

import asyncpg
import pytest
import pytest_asyncio

from tallystick.access.key_store import create_key
from tallystick.kit.ids import new_id
from tallystick.lab.bench.before_after.wire import CountedWire
from tallystick.lab.bench.trace import most_round_trips
from tallystick.oversight.trace.payment import traced_payment
from tallystick.record.postgres import sql, trace_find
from tallystick.record.postgres.connections import connect, connect_journal, open_pool
from tallystick.record.postgres.pipeline import PipelineConnection
from tallystick.record.postgres.trace_find import find_payments
from tallystick.record.postgres.trace_rows import piped_trace_rows, trace_rows
from tallystick.settings.load import Settings
from tests.support.database import Database, NewDatabase
from tests.support.letters import new_letters
from tests.support.sample import Sample, make_sample

ACCOUNTS = [("simulator", "main"), ("stripe", "main")]

#: What one payment may cost: a network of 1 ms and a server beside it leave nothing of 100 ms to fear.
ROUND_TRIPS = 4


@pytest.fixture(scope="module")
def own_database(new_database: NewDatabase) -> Database:
    return new_database()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sample(own_database: Database) -> Sample:
    merchant = "m" + new_letters()
    await create_key(own_database.app_url, merchant, "simulator")
    return await make_sample(own_database.app_url, merchant)


@pytest_asyncio.fixture(loop_scope="module")
async def piped(own_database: Database) -> AsyncIterator[PipelineConnection]:
    connection = await connect_journal(own_database.app_url, command_timeout_ms=10_000)
    yield connection
    await connection.close()


async def names(owner_url: str, sample: Sample) -> dict[str, tuple[str, str]]:
    """What is named -> a name of it, and its payment."""
    owner = await asyncpg.connect(owner_url)

    async def one(statement: str) -> tuple[str, str]:
        row = await owner.fetchrow(statement, sample.merchant)
        assert row is not None, statement
        return row[0], row[1]

    try:
        return {
            "payment": (sample.captured, sample.captured),
            "refund": (sample.refund, sample.refunded),
            "dispute": (sample.dispute, sample.disputed),
            "key": ("captured", sample.captured),
            "key of a refund": (f"refund-{sample.refunded}", sample.refunded),
            "attempt": await one("SELECT attempt_id, payment_id FROM attempt WHERE merchant_id = $1 LIMIT 1"),
            "event": await one(
                "SELECT event_id, payment_id FROM inbox WHERE merchant_id = $1 AND payment_id IS NOT NULL LIMIT 1"
            ),
            "the provider's event": await one(
                "SELECT provider_event_id, payment_id FROM inbox"
                " WHERE merchant_id = $1 AND payment_id IS NOT NULL LIMIT 1"
            ),
            "message that waits": await one("SELECT message_id, stream_id FROM outbox WHERE merchant_id = $1 LIMIT 1"),
            "charge": await one(
                "SELECT provider_reference, payment_id FROM payment"
                " WHERE merchant_id = $1 AND provider_reference IS NOT NULL LIMIT 1"
            ),
            "refund's reference": await one(
                "SELECT provider_reference, payment_id FROM attempt"
                " WHERE merchant_id = $1 AND operation = 'refund' AND provider_reference IS NOT NULL LIMIT 1"
            ),
            "capture's reference": await one(
                "SELECT provider_reference, payment_id FROM attempt"
                " WHERE merchant_id = $1 AND operation = 'capture' AND provider_reference IS NOT NULL LIMIT 1"
            ),
            "case": await one(
                "SELECT case_id, from_stream_id FROM rejected_case"
                " WHERE merchant_id = $1 AND from_stream_id LIKE 'pay%' LIMIT 1"
            ),
            "dispute's reference": ("dispute_lost", sample.dispute_lost),
            "reference of a refund made at the provider": ("dashboard", sample.dashboard),
        }
    finally:
        await owner.close()


@pytest.mark.asyncio(loop_scope="module")
async def test_each_name_finds_its_payment(own_database: Database, sample: Sample, piped: PipelineConnection) -> None:
    for what, (name, payment_id) in (await names(own_database.owner_url, sample)).items():
        for merchant in (None, sample.merchant):
            found = await find_payments(piped, name, merchant, ACCOUNTS)
            assert [each.payment_id for each in found] == [payment_id], (what, name)
        assert await find_payments(piped, name, "another", ACCOUNTS) == [], what
    assert await find_payments(piped, "nothing", None, ACCOUNTS) == []


@pytest.mark.asyncio(loop_scope="module")
async def test_a_message_that_was_dispatched_is_found_by_its_deliveries(
    own_database: Database, sample: Sample, piped: PipelineConnection
) -> None:
    owner, endpoint = await asyncpg.connect(own_database.owner_url), new_id("we")
    try:
        message_id, payment_id = await owner.fetchrow(
            "SELECT message_id, stream_id FROM outbox WHERE merchant_id = $1 LIMIT 1", sample.merchant
        ) or ("", "")
        await owner.execute(
            "INSERT INTO webhook_endpoint (merchant_id, endpoint_id, url, state, created_at)"
            " VALUES ($1, $2, 'https://hooks.example', 'deleted', now())",
            sample.merchant,
            endpoint,
        )
        await owner.execute(
            "INSERT INTO message_delivery (merchant_id, endpoint_id, payment_id, version, subject_id, message_id, type,"
            " state, tries, resends, dispatched_at) SELECT merchant_id, $2, stream_id, version, subject_id, message_id,"
            " type, 'delivered', 1, 0, now() FROM outbox WHERE merchant_id = $1 AND message_id = $3",
            sample.merchant,
            endpoint,
            message_id,
        )
        await owner.execute("UPDATE outbox SET dispatched_at = now() WHERE message_id = $1", message_id)
    finally:
        await owner.close()
    found = await find_payments(piped, message_id, None, ACCOUNTS)
    assert [each.payment_id for each in found] == [payment_id]


@pytest.mark.asyncio(loop_scope="module")
async def test_each_name_takes_two_round_trips_of_a_new_connection(own_database: Database, sample: Sample) -> None:
    """Counted on the wire."""
    for what, name in (await names(own_database.owner_url, sample)).items():
        assert await most_round_trips(Settings(), own_database.app_url, [name]) == 2 <= ROUND_TRIPS, what


@pytest.mark.asyncio(loop_scope="module")
async def test_an_act_takes_one_more_since_what_it_is_about_is_looked_for(
    own_database: Database, sample: Sample
) -> None:
    owner, act = await asyncpg.connect(own_database.owner_url), new_id("act")
    try:
        await owner.execute(
            "INSERT INTO operator_act (operator, idempotency_key, act_id, act, target, arguments, fingerprint, reason,"
            " result, at) VALUES ('op', $1, $1, 'annotate', $2, '{}', 'x', 'asked', '{}', now())",
            act,
            sample.refund,
        )
    finally:
        await owner.close()
    assert await most_round_trips(Settings(), own_database.app_url, [(act, sample.refunded)]) == 3 <= ROUND_TRIPS


async def round_trips(pool: asyncpg.Pool, wire: CountedWire, merchant_id: str | None, payment_id: str) -> int:
    """Of one trace as the API reads it."""
    before = wire.counts().round_trips
    assert await traced_payment(pool, merchant_id, payment_id, Settings()) is not None
    return wire.counts().round_trips - before


@pytest.mark.asyncio(loop_scope="module")
async def test_the_api_takes_two_and_three_where_it_looks_for_the_merchant(
    own_database: Database, sample: Sample
) -> None:
    """Counted on the wire. A connection that does not know a statement takes one round trip more for each, once."""
    with CountedWire(own_database.app_url) as wire:
        pool = await open_pool(wire.url, Settings(database_connections=1))
        try:
            assert await round_trips(pool, wire, sample.merchant, sample.refunded) == 2 * 2
            assert await round_trips(pool, wire, sample.merchant, sample.disputed) == 2 <= ROUND_TRIPS
            assert await round_trips(pool, wire, None, sample.refunded) == 3 + 1
            assert await round_trips(pool, wire, None, sample.disputed) == 3 <= ROUND_TRIPS
        finally:
            await pool.close()


@pytest.mark.asyncio(loop_scope="module")
async def test_both_ways_of_reading_see_the_same(
    own_database: Database, sample: Sample, piped: PipelineConnection
) -> None:
    connection = await connect(own_database.app_url, command_timeout_ms=10_000)
    try:
        one = await trace_rows(connection, sample.merchant, sample.disputed)
        other = await piped_trace_rows(piped, sample.merchant, sample.disputed)
        assert one is not None and other is not None
        assert one.steps == other.steps and one.tries == other.tries and one.transfers == other.transfers
        assert one.record.answers == other.record.answers and one.record.messages == other.record.messages
        assert one.record.head == other.record.head and one.record.others == other.record.others
    finally:
        await connection.close()


FIND = {f"trace_find.sql {name}": statement for name, statement in sql.load("trace_find.sql").items()}


@pytest.mark.parametrize("name", FIND)
async def test_names_are_looked_up_by_index(database: Database, name: str) -> None:
    """Every merchant is asked for, and each of their tables by key; the tables are empty, as in test_plans."""
    connection = await connect(database.app_url, command_timeout_ms=10_000)
    try:
        await connection.execute("SET plan_cache_mode = force_generic_plan")
        count = len((await connection.prepare(FIND[name])).get_parameters())
        await connection.execute(f"PREPARE plan_of AS {FIND[name]}")
        plan = "\n".join(
            row[0] for row in await connection.fetch(f"EXPLAIN EXECUTE plan_of ({', '.join(['null'] * count)})")
        )
        assert set(re.findall(r"Seq Scan on (\w+)", plan)) <= {"merchant", "webhook_endpoint"}, plan
    finally:
        await connection.close()


def test_what_arrived_and_what_is_sealed_is_not_read() -> None:
    statements = " ".join([*sql.load("trace.sql").values(), *trace_find.STATEMENTS.values()])
    assert "sealed" not in statements and "webhook_secret" not in statements


@pytest.mark.asyncio(loop_scope="module")
async def test_now_is_by_the_clock_of_the_process(
    own_database: Database, sample: Sample, piped: PipelineConnection
) -> None:
    """Ages and waits are counted until then: a shifted process wrote the times that they are counted from."""
    shift_ms = 3_600_000
    connection = await connect(own_database.app_url, command_timeout_ms=10_000)
    try:
        before = await connection.fetchval("SELECT now()")
        one = await trace_rows(connection, sample.merchant, sample.disputed, shift_ms)
        other = await piped_trace_rows(piped, sample.merchant, sample.disputed, shift_ms)
        after = await connection.fetchval("SELECT now()")
    finally:
        await connection.close()
    for rows in (one, other):
        assert rows is not None
        assert before + timedelta(milliseconds=shift_ms) <= rows.now <= after + timedelta(milliseconds=shift_ms)
