"""Everything since a time that did not arrive is sent now: also what waits for a try that is hours away."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from tallystick.flows.runtime import Runtime
from tallystick.flows.webhooks.outbound import endpoints as rules
from tests.support.database import Database, NewDatabase
from tests.support.outbox import (
    book_of,
    deliveries,
    drain,
    endpoint,
    endpoints_of,
    pay,
    register,
    runtime_for,
    tries,
    worker,
)
from tests.support.receivers import ok, receiving, status


@pytest.fixture(scope="module")
def database(new_database: NewDatabase) -> Database:
    """One of its own: what waits here is due for whatever worker comes next."""
    return new_database()


async def _resend(runtime: Runtime, merchant_id: str, endpoint_id: str, since: datetime) -> tuple[int, bool]:
    done = await endpoints_of(runtime).resend_since(merchant_id, endpoint_id, since, actor="key:test")
    return done.count, done.more


async def _wait_for_hours(runtime: Runtime, merchant_id: str) -> None:
    """Each message that has failed is tried next in five hours: as after its sixth try."""
    for table in ("message_delivery", "message_lane"):
        await runtime.pool.execute(
            f"UPDATE {table} SET next_try_at = now() + interval '5 hours' WHERE merchant_id = $1"
            + (" AND state = 'open' AND tries > 0" if table == "message_delivery" else ""),
            merchant_id,
        )


async def _states(runtime: Runtime, merchant_id: str) -> list[str]:
    return [one["state"] for one in await deliveries(runtime, merchant_id)]


async def test_what_waits_for_a_later_try_is_sent_now_in_order_and_once(
    database: Database, fresh_merchant: str
) -> None:
    async with receiving() as receiver, runtime_for(database) as runtime, worker(runtime) as delivery:
        made = await register(runtime, fresh_merchant, receiver)
        since = (await endpoint(runtime, made.endpoint_id))["created_at"]
        arrived = await pay(runtime, fresh_merchant, "arrives")
        await drain(delivery)
        receiver.script = status(500)
        await pay(runtime, fresh_merchant, "k1")
        two = await pay(runtime, fresh_merchant, "k2", captured_later=True)
        await drain(delivery)
        await _wait_for_hours(runtime, fresh_merchant)
        await drain(delivery)
        receiver.got.clear()
        receiver.script = ok
        await drain(delivery)
        assert receiver.got == [], "it waits for hours"

        assert await _resend(runtime, fresh_merchant, made.endpoint_id, since) == (3, False)
        assert await _resend(runtime, fresh_merchant, made.endpoint_id, since) == (0, False), "they are due already"
        await drain(delivery)
        assert set(await _states(runtime, fresh_merchant)) == {"delivered"}
        assert len(receiver.got) == 3
        assert arrived not in {got.json["payment_id"] for got in receiver.got}
        assert [got.json["type"] for got in receiver.got if got.json["payment_id"] == two] == [
            "payment.authorized",
            "payment.captured",
        ]
        asked = [each for each in await tries(runtime, fresh_merchant) if each["result"] == "resend_requested"]
        assert [each["actor"] for each in asked] == ["key:test"] * 3
        assert await _resend(runtime, fresh_merchant, made.endpoint_id, since) == (0, False)


async def test_an_earlier_message_that_the_others_wait_for_is_woken_too(
    database: Database, fresh_merchant: str
) -> None:
    """It was dispatched before ``since``; the next one of its payment cannot be sent without it."""
    async with receiving() as receiver, runtime_for(database) as runtime, worker(runtime) as delivery:
        receiver.script = status(500)
        made = await register(runtime, fresh_merchant, receiver)
        await pay(runtime, fresh_merchant, "k", captured_later=True)
        await drain(delivery)
        await _wait_for_hours(runtime, fresh_merchant)
        first, second = await deliveries(runtime, fresh_merchant)
        assert first["dispatched_at"] < second["dispatched_at"]
        receiver.script = ok
        assert await _resend(runtime, fresh_merchant, made.endpoint_id, second["dispatched_at"]) == (2, False)
        await drain(delivery)
        assert await _states(runtime, fresh_merchant) == ["delivered", "delivered"]
        later = second["dispatched_at"] + timedelta(seconds=1)
        assert await _resend(runtime, fresh_merchant, made.endpoint_id, later) == (0, False)


async def test_given_up_and_waiting_messages_come_in_pieces(
    database: Database, fresh_merchant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "RESEND_LIMIT", 2)
    async with receiving() as receiver, runtime_for(database) as runtime, worker(runtime) as delivery:
        receiver.script = status(500)
        made = await register(runtime, fresh_merchant, receiver)
        since = (await endpoint(runtime, made.endpoint_id))["created_at"]
        for number in range(5):
            await pay(runtime, fresh_merchant, f"k{number}")
            await drain(delivery)
        await _wait_for_hours(runtime, fresh_merchant)
        given_up = [one["message_id"] for one in await deliveries(runtime, fresh_merchant)][:1]
        await runtime.pool.execute(
            "UPDATE message_delivery SET state = 'exhausted', next_try_at = NULL WHERE message_id = $1", given_up[0]
        )
        counts = [await _resend(runtime, fresh_merchant, made.endpoint_id, since) for _ in range(4)]
        assert counts == [(2, True), (2, True), (1, False), (0, False)]


async def test_what_arrives_meanwhile_is_not_sent_again(
    database: Database, fresh_merchant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at what waits and the request to send it."""
    async with receiving() as receiver, runtime_for(database) as runtime, worker(runtime) as delivery:
        receiver.script = status(500)
        made = await register(runtime, fresh_merchant, receiver)
        since = (await endpoint(runtime, made.endpoint_id))["created_at"]
        await pay(runtime, fresh_merchant, "k")
        await drain(delivery)
        book = book_of(runtime)
        found = await book.waiting_since(fresh_merchant, made.endpoint_id, since, 10)
        assert len(found) == 1
        receiver.script = ok
        assert await _resend(runtime, fresh_merchant, made.endpoint_id, since) == (1, False)
        await drain(delivery)

        async def as_it_was(*_: Any) -> list[Any]:
            return found

        monkeypatch.setattr(type(book), "waiting_since", as_it_was)
        assert await _resend(runtime, fresh_merchant, made.endpoint_id, since) == (0, False)
        await drain(delivery)
        assert len(receiver.got) == 2
