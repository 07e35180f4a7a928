"""A page of payments costs what is on it, whatever the tables hold: counted in rows read, under both kinds of plans."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Iterator
from typing import Any

import asyncpg
import psycopg
import pytest

from tallystick.kit.clock import Clock
from tallystick.lab.bench.fill import copy_chunk, prepare
from tallystick.lab.bench.fill_rows import MERCHANTS
from tallystick.lab.bench.workload import MERCHANT
from tallystick.record.postgres.connections import connect
from tallystick.record.postgres.payment_pages import page_statement
from tallystick.record.postgres.reads import READS, Reads
from tests.support.database import Database, NewDatabase

CHUNK = 600
LIMIT = 10

#: A page and the row that shows whether there is another one; a key is looked up first.
MOST_ROWS = LIMIT + 2

PLANS = ("force_generic_plan", "force_custom_plan")


@pytest.fixture(scope="module")
def filled(new_database: NewDatabase) -> Database:
    """Payments of many merchants; half are one merchant's, of which few are captured and few are authorized."""
    database = new_database()
    prepare(database.owner_url, database.app_url)
    for chunk in range(5):
        asyncio.run(copy_chunk(database.owner_url, chunk, CHUNK))
    with psycopg.connect(database.owner_url, autocommit=True) as connection:
        oldest = "SELECT payment_id FROM payment WHERE merchant_id = %(merchant)s ORDER BY payment_id LIMIT 5"
        others = f"merchant_id = %(merchant)s AND payment_id NOT IN ({oldest})"
        for statement in (
            f"UPDATE payment SET state = 'declined' WHERE {others}",
            f"UPDATE payment SET state = 'captured' WHERE merchant_id = %(merchant)s AND payment_id IN ({oldest})",
            "UPDATE payment SET state = 'authorized' WHERE merchant_id = %(merchant)s AND payment_id ="
            " (SELECT max(payment_id) FROM payment WHERE merchant_id = %(merchant)s AND state = 'captured')",
        ):
            connection.execute(statement, {"merchant": MERCHANT})
        connection.execute("VACUUM ANALYZE")
    return database


async def rows_read(connection: asyncpg.Connection, statement: str, parameters: list[Any]) -> int:
    """Rows that the scans of a statement touched, those that a filter dropped included."""
    given = ", ".join(map(literal, parameters))
    await connection.execute(f"PREPARE measured AS {READS[statement]}")  # what is not prepared has no generic plan
    explained = await connection.fetchval(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) EXECUTE measured ({given})")
    await connection.execute("DEALLOCATE measured")
    [plan] = json.loads(explained)
    return sum(
        (node["Actual Rows"] + node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0))
        * node["Actual Loops"]
        for node in nodes(plan["Plan"])
        if "Relation Name" in node  # of a bitmap, the scan of the table alone
    )


def literal(parameter: Any) -> str:
    """As SQL; ids and keys of this suite need no escape."""
    if isinstance(parameter, list):
        return f"'{{{','.join(parameter)}}}'"
    return "null" if parameter is None else f"'{parameter}'"


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


@pytest.mark.parametrize("plan", PLANS)
async def test_a_page_reads_what_is_on_it(filled: Database, plan: str) -> None:
    connection = await connect(filled.app_url, command_timeout_ms=10_000)
    try:
        await connection.execute(f"SET plan_cache_mode = {plan}")
        known = await connection.fetchrow(
            "SELECT p.payment_id, p.provider_reference, i.idempotency_key FROM payment p"
            " JOIN instruction i USING (merchant_id, payment_id)"
            " WHERE p.merchant_id = $1 ORDER BY p.payment_id DESC LIMIT 1 OFFSET 700",
            MERCHANT,
        )
        assert known is not None, "the middle of a long list"
        for state, reference, key, before, floor in itertools.product(
            (None, "captured", "authorized", "declined", "refunded"),
            (None, known["provider_reference"]),
            (None, known["idempotency_key"]),
            (None, known["payment_id"]),
            (None, known["payment_id"]),
        ):
            statement, parameters = page_statement(
                MERCHANT,
                state=state,
                floor_id=floor,
                provider_reference=reference,
                before_id=before,
                idempotency_key=key,
                limit=LIMIT + 1,
            )
            read = await rows_read(connection, statement, parameters)
            assert read <= MOST_ROWS, (statement, parameters, read)
    finally:
        await connection.close()


@pytest.mark.parametrize("plan", PLANS)
async def test_whether_a_page_is_in_doubt_reads_the_attempts_of_that_page(filled: Database, plan: str) -> None:
    connection = await connect(filled.app_url, command_timeout_ms=10_000)
    try:
        await connection.execute(f"SET plan_cache_mode = {plan}")
        statement, parameters = page_statement(
            MERCHANT,
            state=None,
            floor_id=None,
            provider_reference=None,
            before_id=None,
            idempotency_key=None,
            limit=LIMIT,
        )
        ids = [row["payment_id"] for row in await connection.fetch(READS[statement], *parameters)]
        assert len(ids) == LIMIT
        assert await rows_read(connection, "payments_in_doubt", [MERCHANT, ids, 0]) == LIMIT, "each has one attempt"
    finally:
        await connection.close()


@pytest.mark.parametrize(
    ("attempt", "in_doubt"),
    [
        ("state = 'unknown'", True),
        ("state = 'submitted', deadline = now() - interval '1 second'", True),
        ("state = 'submitted', deadline = now() + interval '1 minute'", False),
        ("state = 'not_found', parked_at = now()", True),
        ("state = 'not_found', parked_at = null", False),
        ("state = 'unknown', purpose = 'close'", False),
    ],
)
async def test_a_page_says_which_payments_are_in_doubt(filled: Database, attempt: str, in_doubt: bool) -> None:
    merchant = MERCHANTS[1]
    pool = await asyncpg.create_pool(filled.owner_url, min_size=1, max_size=1)
    try:
        one = await pool.fetchval("SELECT min(payment_id) FROM payment WHERE merchant_id = $1", merchant)
        await pool.execute(
            f"UPDATE attempt SET {attempt} WHERE merchant_id = $1 AND payment_id = $2",
            merchant,
            one,
        )
        reads = Reads(pool, Clock())
        page = await reads.payments(
            merchant,
            state=None,
            floor_id=None,
            provider_reference=None,
            before_id=None,
            idempotency_key=None,
            limit=1_000,
        )
        assert [payment.payment_id for payment, doubt in page if doubt] == ([one] if in_doubt else [])
        assert (await reads.payment(merchant, one) or (None, None))[1] is in_doubt, "as of the payment alone"
    finally:
        await pool.close()
