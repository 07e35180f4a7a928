"""A page of a list costs what is on it, whatever the tables hold: counted in rows read, under both kinds of plans."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import asyncpg
import psycopg
import pytest

from tallystick.domain.list_filters import EventFilter, MemberFilter, MessageFilter
from tallystick.kit.clock import Clock
from tallystick.lab.bench.fill import copy_chunk, prepare
from tallystick.lab.bench.fill_rows import MERCHANTS
from tallystick.lab.bench.workload import MERCHANT
from tallystick.record.postgres.connections import FIND_BY_KEY, connect
from tallystick.record.postgres.list_pages import Page, Position, event_page, member_page, message_page
from tallystick.record.postgres.lists import LISTS, Lists
from tests.support.database import Database, NewDatabase
from tests.support.filled_members import fill_members
from tests.support.rows_read import PLANS, rows_read

LIMIT = 10

#: A page and the row that shows whether there is another one; of a message also the answer that is its data.
MOST_ROWS = LIMIT + 1
MOST_ROWS_OF_MESSAGES = 2 * MOST_ROWS

DAY = timedelta(days=1)

#: Of one state of two hundred refunds and disputes there are few.
RARE = 7


@pytest.fixture(scope="module")
def filled(new_database: NewDatabase) -> Database:
    """Payments of many merchants, each with a refund, a dispute and an event; half are one merchant's."""
    database = new_database()
    prepare(database.owner_url, database.app_url)
    asyncio.run(copy_chunk(database.owner_url, 0, 2_000))
    fill_members(database.owner_url)
    with psycopg.connect(database.owner_url, autocommit=True) as owner:
        for table, name, state in (("refund", "refund_id", "failed"), ("dispute", "dispute_id", "opened")):
            some = f"SELECT {name} FROM {table} WHERE merchant_id = %s ORDER BY created_at LIMIT {RARE}"
            owner.execute(f"UPDATE {table} SET state = %s WHERE merchant_id = %s AND {name} IN ({some})",
                          (state, MERCHANT, MERCHANT))  # fmt: skip
        owner.execute("VACUUM ANALYZE")
    return database


class Middle(NamedTuple):
    """A payment in the middle of the list, and positions in the middle of each list."""

    payment_id: str
    created_at: datetime
    position: dict[str, Position]


@pytest.fixture(scope="module")
def middle(filled: Database) -> Middle:
    with psycopg.connect(filled.owner_url) as owner:
        row = owner.execute(
            "SELECT p.payment_id, p.created_at, r.refund_id, d.dispute_id, e.event_id FROM payment p"
            " JOIN refund r USING (merchant_id, payment_id) JOIN dispute d USING (merchant_id, payment_id)"
            " JOIN inbox e USING (merchant_id, payment_id)"
            " WHERE p.merchant_id = %s ORDER BY p.payment_id LIMIT 1 OFFSET 500",
            (MERCHANT,),
        ).fetchone()
        told = owner.execute(
            "SELECT at, message_id FROM outbox WHERE merchant_id = %s ORDER BY at LIMIT 1 OFFSET 500", (MERCHANT,)
        ).fetchone()
    assert row is not None and told is not None
    payment_id, created_at, *ids = row
    at = {name: (created_at, one) for name, one in zip(("refunds", "disputes", "events"), ids, strict=True)}
    return Middle(payment_id, created_at, at | {"messages": told})


def ranges(middle: Middle) -> list[dict[str, Any]]:
    """Without a range, with each side of one, and with both."""
    at = middle.created_at
    return [{}, {"created_gte": at}, {"created_lt": at}, {"created_gte": at - DAY, "created_lt": at + DAY}]


def pages(middle: Middle) -> list[Page]:
    """Every statement with every filter, at the beginning and in the middle of its list."""
    found = []
    for between in ranges(middle):
        for payment_id in (None, middle.payment_id):
            for first in (True, False):
                at = {name: None if first else position for name, position in middle.position.items()}
                for kind, states in (("refunds", ("succeeded", "failed")), ("disputes", ("won", "opened"))):
                    for state in (None, *states):
                        members = MemberFilter(payment_id=payment_id, state=state, **between)
                        found.append(member_page(kind, MERCHANT, members, at[kind], LIMIT + 1))
                events = EventFilter(payment_id=payment_id, **between)
                found.append(event_page(MERCHANT, events, at["events"], LIMIT + 1))
                told = MessageFilter(payment_id=payment_id, **between)
                found.append(message_page(MERCHANT, told, at["messages"], LIMIT + 1))
    return found


@pytest.mark.parametrize("plan", PLANS)
async def test_a_page_reads_what_is_on_it(filled: Database, middle: Middle, plan: str) -> None:
    connection = await connect(filled.app_url, command_timeout_ms=10_000)
    try:
        await connection.execute(f"SET plan_cache_mode = {plan}")
        asked = set()
        for name, parameters in pages(middle):
            asked.add(name)
            read = await rows_read(connection, LISTS[name], parameters)
            most = MOST_ROWS_OF_MESSAGES if name.startswith("messages") else MOST_ROWS
            assert read <= most, (name, parameters, read)
        others = {"members", "refunds_in_doubt", "messages_as_of", "events_as_of"}
        assert asked == LISTS.keys() - others
    finally:
        await connection.close()


@pytest.mark.parametrize("plan", PLANS)
async def test_what_a_page_of_payments_names_is_read_of_that_page(filled: Database, plan: str) -> None:
    connection = await connect(filled.app_url, command_timeout_ms=10_000)
    try:
        await connection.execute(f"SET plan_cache_mode = {plan}")
        rows = await connection.fetch("SELECT payment_id FROM payment WHERE merchant_id = $1 LIMIT 10", MERCHANT)
        ids = [row[0] for row in rows]
        assert await rows_read(connection, LISTS["members"], [MERCHANT, ids, 100]) == 20, "one of each"
        assert await rows_read(connection, LISTS["refunds_in_doubt"], [MERCHANT, ids, 0]) <= 10
    finally:
        await connection.close()


@pytest.mark.parametrize("plan", PLANS)
async def test_until_when_a_list_is_whole_is_one_look_at_an_index(filled: Database, plan: str) -> None:
    connection = await asyncpg.connect(filled.owner_url, server_settings={**FIND_BY_KEY, "plan_cache_mode": plan})
    waiting = connection.transaction()
    await waiting.start()
    try:
        await connection.execute("UPDATE outbox SET dispatched_at = NULL")
        await connection.execute("UPDATE inbox SET state = 'received', closed_at = NULL, next_try_at = now()")
        for name, oldest in (
            ("messages_as_of", "min(at) FROM outbox"),
            ("events_as_of", "min(received_at) FROM inbox"),
        ):
            assert await rows_read(connection, LISTS[name], [0]) == 1
            assert await connection.fetchval(LISTS[name], 0) == await connection.fetchval(f"SELECT {oldest}")
    finally:
        await waiting.rollback()
        await connection.close()


async def all_pages(fetch: Callable[[Any], Any], position: Callable[[Any], Position]) -> list[Any]:
    """Everything, three at a time."""
    found: list[Any] = []
    last = None
    while page := await fetch(last):
        found += page
        last = position(page[-1])
    return found


async def test_pages_have_everything_once_in_order_and_no_other_merchants(filled: Database) -> None:
    merchant = MERCHANTS[3]
    async with asyncpg.create_pool(filled.app_url, min_size=1, max_size=1) as pool:
        lists = Lists(pool, Clock())
        refunds = await all_pages(
            lambda at: lists.refunds(merchant, MemberFilter(), before=at, limit=3),
            lambda row: (row[0].created_at, row[0].refund_id),
        )
        disputes = await all_pages(
            lambda at: lists.disputes(merchant, MemberFilter(), before=at, limit=3),
            lambda row: (row.created_at, row.dispute_id),
        )
        events = await all_pages(
            lambda at: lists.events(merchant, EventFilter(), before=at, limit=3),
            lambda row: (row.received_at, row.event_id),
        )
        messages = await all_pages(
            lambda at: lists.messages(merchant, MessageFilter(), after=at, limit=3),
            lambda row: (row.at, row.message_id),
        )
        for table, name, order, found in (
            ("refund", "refund_id", "created_at DESC, refund_id DESC", [one.refund_id for one, _ in refunds]),
            ("dispute", "dispute_id", "created_at DESC, dispute_id DESC", [one.dispute_id for one in disputes]),
            ("inbox", "event_id", "received_at DESC, event_id DESC", [one.event_id for one in events]),
            ("outbox", "message_id", "at, message_id", [one.message_id for one in messages]),
        ):
            rows = await pool.fetch(f"SELECT {name} FROM {table} WHERE merchant_id = $1 ORDER BY {order}", merchant)
            assert found == [row[0] for row in rows], table
            assert len(found) > 3


async def test_a_type_without_payment_needs_a_range_of_a_month(filled: Database, middle: Middle) -> None:
    since = datetime(2025, 1, 1, tzinfo=UTC)
    for refused in (
        MessageFilter(type="payment.captured"),
        MessageFilter(type="payment.captured", created_gte=since),
        MessageFilter(type="payment.captured", created_gte=since, created_lt=since + 32 * DAY),
    ):
        with pytest.raises(ValueError, match="31 days"):
            message_page(MERCHANT, refused, None, LIMIT)
    month = MessageFilter(type="payment.declined", created_gte=since, created_lt=since + 31 * DAY)
    async with asyncpg.create_pool(filled.app_url, min_size=1, max_size=1) as pool:
        found = await Lists(pool, Clock()).messages(MERCHANT, month, after=None, limit=1_000)
        there = "SELECT count(*) FROM outbox WHERE merchant_id = $1 AND type = 'payment.declined'"
        assert len(found) == await pool.fetchval(there, MERCHANT) > 0
        assert {one.type for one in found} == {"payment.declined"}
        of_payment = MessageFilter(type="payment.captured", payment_id=middle.payment_id)
        assert len(await Lists(pool, Clock()).messages(MERCHANT, of_payment, after=None, limit=9)) <= 1
