"""A page of payments costs what is on it, whatever the tables hold: counted in rows read, under both kinds of plans."""

from __future__ import annotations

import asyncio
import itertools
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import psycopg
import pytest
from msgspec.structs import replace

from tallystick.domain.payment_filter import PaymentFilter
from tallystick.kit.clock import Clock
from tallystick.lab.bench.fill import copy_chunk, prepare
from tallystick.lab.bench.fill_rows import MERCHANTS
from tallystick.lab.bench.workload import MERCHANT
from tallystick.record.postgres.connections import connect
from tallystick.record.postgres.payment_pages import page_statement
from tallystick.record.postgres.reads import READS, Reads
from tests.support.database import Database, NewDatabase
from tests.support.rows_read import PLANS, rows_read

CHUNK = 600
LIMIT = 10

#: A page and the row that shows whether there is another one; a key is looked up first.
MOST_ROWS = LIMIT + 2


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


@pytest.mark.parametrize("plan", PLANS)
async def test_a_page_reads_what_is_on_it(filled: Database, plan: str) -> None:
    connection = await connect(filled.app_url, command_timeout_ms=10_000)
    try:
        await connection.execute(f"SET plan_cache_mode = {plan}")
        known = await connection.fetchrow(
            "SELECT p.payment_id, p.provider_reference, p.created_at, i.idempotency_key FROM payment p"
            " JOIN instruction i USING (merchant_id, payment_id)"
            " WHERE p.merchant_id = $1 ORDER BY p.payment_id DESC LIMIT 1 OFFSET 700",
            MERCHANT,
        )
        assert known is not None, "the middle of a long list"
        day = timedelta(days=1)
        for state, reference, key, before, (since, until) in itertools.product(
            (None, "captured", "authorized", "declined", "refunded"),
            (None, known["provider_reference"], "unknown"),
            (None, known["idempotency_key"], "unknown"),
            (None, known["payment_id"]),
            (
                (None, None),
                (known["created_at"], None),
                (None, known["created_at"]),
                (known["created_at"] - day, known["created_at"]),
                (known["created_at"] + day, known["created_at"] + 2 * day),
            ),
        ):
            wanted = PaymentFilter(
                state=state,
                created_gte=since,
                created_lt=until,
                provider_reference=reference,
                idempotency_key=key,
            )
            statement, parameters = page_statement(MERCHANT, wanted, before_id=before, limit=LIMIT + 1)
            read = await rows_read(connection, READS[statement], parameters)
            assert read <= MOST_ROWS, (statement, parameters, read)
    finally:
        await connection.close()


@pytest.mark.parametrize("plan", PLANS)
async def test_a_reference_that_many_payments_share_is_read_by_page(filled: Database, plan: str) -> None:
    connection = await connect(filled.owner_url, command_timeout_ms=10_000)
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute(f"SET plan_cache_mode = {plan}")
        await connection.execute("UPDATE payment SET provider_reference = 'shared' WHERE merchant_id = $1", MERCHANT)
        for state in (None, "declined"):
            wanted = PaymentFilter(provider_reference="shared", state=state)
            statement, parameters = page_statement(MERCHANT, wanted, before_id=None, limit=LIMIT + 1)
            assert await rows_read(connection, READS[statement], parameters) <= MOST_ROWS
    finally:
        await transaction.rollback()
        await connection.close()


@pytest.mark.parametrize("plan", PLANS)
async def test_whether_a_page_is_in_doubt_reads_the_attempts_of_that_page(filled: Database, plan: str) -> None:
    connection = await connect(filled.app_url, command_timeout_ms=10_000)
    try:
        await connection.execute(f"SET plan_cache_mode = {plan}")
        statement, parameters = page_statement(MERCHANT, PaymentFilter(), before_id=None, limit=LIMIT)
        ids = [row["payment_id"] for row in await connection.fetch(READS[statement], *parameters)]
        assert len(ids) == LIMIT
        assert await rows_read(connection, READS["payments_in_doubt"], [MERCHANT, ids, 0]) == LIMIT, (
            "each has one attempt"
        )
    finally:
        await connection.close()


async def found(database: Database, wanted: PaymentFilter, merchant: str = MERCHANTS[2]) -> list[str]:
    async with asyncpg.create_pool(database.app_url, min_size=1, max_size=1) as pool:
        page = await Reads(pool, Clock()).payments(merchant, wanted, before_id=None, limit=1_000)
    return [payment.payment_id for payment, _ in page]


async def rows_of(database: Database, where: str, *values: object, merchant: str = MERCHANTS[2]) -> list[str]:
    """The ids that a plain statement finds, newest first."""
    connection = await asyncpg.connect(database.owner_url)
    try:
        statement = f"SELECT payment_id FROM payment WHERE merchant_id = $1 AND {where} ORDER BY payment_id DESC"
        return [row[0] for row in await connection.fetch(statement, merchant, *values)]
    finally:
        await connection.close()


async def test_ranges_that_touch_have_each_payment_once(filled: Database) -> None:
    """Also where a payment's id is of another millisecond than its time."""
    merchant = MERCHANTS[2]
    everything = await rows_of(filled, "true")
    with psycopg.connect(filled.owner_url, autocommit=True) as owner:
        row = owner.execute(
            "UPDATE payment SET created_at = created_at - interval '30 milliseconds' WHERE merchant_id = %s AND"
            " payment_id = %s RETURNING created_at",
            (merchant, everything[20]),
        ).fetchone()
    assert row is not None
    created: datetime = row[0]
    for edge in (created, created + timedelta(microseconds=1), created + timedelta(milliseconds=15)):
        older, newer = PaymentFilter(created_lt=edge), PaymentFilter(created_gte=edge)
        assert await found(filled, older) == await rows_of(filled, "created_at < $2", edge)
        assert await found(filled, newer) == await rows_of(filled, "created_at >= $2", edge)
        assert sorted(await found(filled, older) + await found(filled, newer)) == sorted(everything)


async def test_payments_of_an_amount_or_with_a_value_of_metadata(filled: Database) -> None:
    one = (await rows_of(filled, "true"))[30]
    connection = await asyncpg.connect(filled.owner_url)
    payment = await connection.fetchrow(
        "SELECT * FROM payment WHERE merchant_id = $1 AND payment_id = $2", MERCHANTS[2], one
    )
    await connection.close()
    assert payment is not None
    since, order = payment["created_at"] - timedelta(days=15), json.loads(payment["metadata"])["order"]
    month = PaymentFilter(created_gte=since, created_lt=since + timedelta(days=31))
    assert await found(filled, replace(month, metadata=("order", order))) == [one]
    amount, currency = payment["amount"], payment["currency"]
    exactly: dict[str, Any] = {"amount_gte": amount, "amount_lte": amount, "currency": currency}
    assert await found(filled, replace(month, metadata=("order", order), **exactly)) == [one]
    more = replace(month, amount_gte=amount + 1, currency=currency)
    assert await found(filled, replace(more, metadata=("order", order))) == []
    assert await found(filled, replace(month, metadata=("order", f"{order}x"))) == []
    assert await found(filled, replace(month, metadata=("channel", "web"))) == await found(filled, month)
    in_currency = await rows_of(filled, "currency = $2", currency)
    assert len(in_currency) < len(await rows_of(filled, "true"))
    assert await found(filled, replace(month, currency=currency)) == in_currency
    same = await rows_of(filled, "amount = $2 AND currency = $3", amount, currency)
    assert one in same
    assert await found(filled, replace(month, **exactly)) == same
    assert await found(filled, replace(month, **exactly, state="declined")) == await rows_of(
        filled, "amount = $2 AND currency = $3 AND state = 'declined'", amount, currency
    )
    assert await found(filled, more) == await rows_of(filled, "amount > $2 AND currency = $3", amount, currency)
    less = replace(month, amount_lte=amount - 1, currency=currency)
    assert await found(filled, less) == await rows_of(filled, "amount < $2 AND currency = $3", amount, currency)


NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "unindexed", [{"amount_gte": 5, "currency": "EUR"}, {"currency": "EUR"}, {"metadata": ("order", "5")}]
)
def test_filters_without_an_index_need_a_range_of_a_month(unindexed: dict[str, Any]) -> None:
    day = timedelta(days=1)
    for refused in (
        PaymentFilter(**unindexed),
        PaymentFilter(**unindexed, state="captured", created_gte=NEW_YEAR),
        PaymentFilter(**unindexed, created_lt=NEW_YEAR),
        PaymentFilter(**unindexed, created_gte=NEW_YEAR, created_lt=NEW_YEAR + 31 * day + timedelta(microseconds=1)),
    ):
        with pytest.raises(ValueError, match="31 days"):
            page_statement(MERCHANT, refused, before_id=None, limit=LIMIT)
    others: tuple[dict[str, Any], ...] = ({"provider_reference": "ch_1"}, {"idempotency_key": "order-5"})
    for other in others:
        with pytest.raises(ValueError, match="without amounts"):
            page_statement(MERCHANT, PaymentFilter(**unindexed, **other), before_id=None, limit=LIMIT)
    month = PaymentFilter(**unindexed, created_gte=NEW_YEAR, created_lt=NEW_YEAR + 31 * day)
    page_statement(MERCHANT, month, before_id=None, limit=LIMIT)


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
        page = await reads.payments(merchant, PaymentFilter(), before_id=None, limit=1_000)
        assert [payment.payment_id for payment, doubt in page if doubt] == ([one] if in_doubt else [])
        assert (await reads.payment(merchant, one) or (None, None))[1] is in_doubt, "as of the payment alone"
    finally:
        await pool.close()
