"""What an endpoint gets: signed, whole, in order, as it was then, and nothing that is not for it."""

from __future__ import annotations

import asyncio
import time

import psycopg
import pytest
from aiohttp import web
from standardwebhooks import Webhook, WebhookVerificationError

from tallystick.record.postgres.message_bodies import stored_body
from tests.support.database import Database
from tests.support.outbox import deliveries, drain, pay, queues, register, runtime_for, tries, worker, worker_at
from tests.support.polling import eventually_async
from tests.support.receivers import Got, first, ok, receiving, status
from tests.support.runtime import Client, read
from tests.support.work import working


async def test_a_captured_payment_is_told_signed_and_once(database: Database, fresh_merchant: str) -> None:
    async with receiving() as receiver, runtime_for(database) as runtime, worker(runtime) as delivery:
        made = await register(runtime, fresh_merchant, receiver)
        payment_id = await pay(runtime, fresh_merchant, "k")
        await drain(delivery)
        (got,) = receiver.got
        body = got.verified(made.secret)
        assert (body["type"], body["payment_id"], body["data"]["state"]) == ("payment.captured", payment_id, "captured")
        assert got.message_id == body["id"]
        assert abs(int(got.headers["webhook-timestamp"]) - time.time()) < 60
        assert got.headers["content-type"] == "application/json"
        with pytest.raises(WebhookVerificationError):
            Webhook(made.secret).verify(got.body + b" ", dict(got.headers))
        (one,) = await deliveries(runtime, fresh_merchant)
        assert (one["state"], one["tries"]) == ("delivered", 1)
        (tried,) = await tries(runtime, fresh_merchant)
        assert (tried["result"], tried["status"], tried["number"]) == ("delivered", 200, 1)
        assert await queues(runtime, fresh_merchant) == 0


async def test_each_message_is_the_stored_bytes_of_its_own_version(database: Database, fresh_merchant: str) -> None:
    """All versions exist before the first message is sent: none of them shows a newer state, or an older one."""
    async with receiving() as receiver, runtime_for(database) as runtime, worker(runtime) as delivery:
        await register(runtime, fresh_merchant, receiver)
        payment_id = await pay(runtime, fresh_merchant, "k", captured_later=True)
        await Client(runtime, fresh_merchant).refund("r1", payment_id, 300)
        await Client(runtime, fresh_merchant).refund("r2", payment_id, 200)
        await drain(delivery)
        stored = await runtime.pool.fetch(
            "SELECT o.*, r.body AS answer FROM outbox o"
            " LEFT JOIN response r ON r.merchant_id = o.merchant_id AND r.idempotency_key = o.answer_key"
            " WHERE o.merchant_id = $1 ORDER BY o.version, o.subject_id",
            fresh_merchant,
        )
        assert [got.body for got in receiver.got] == [stored_body(row) for row in stored]
        assert [got.json["version"] for got in receiver.got] == [row["version"] for row in stored]
        told = {got.json["type"]: got.json["data"] for got in receiver.got}
        assert (told["payment.authorized"]["state"], told["payment.authorized"]["amount_captured"]) == ("authorized", 0)
        assert told["payment.captured"]["amount_refunded"] == 0
        for got in receiver.got:
            if got.json["data"]["object"] == "payment":
                assert got.json["data"]["version"] == got.json["version"]


async def test_a_later_message_waits_until_the_one_before_it_was_heard(database: Database, fresh_merchant: str) -> None:
    async with receiving() as receiver, runtime_for(database) as runtime:
        receiver.script = first(2)
        await register(runtime, fresh_merchant, receiver)
        payment_id = await pay(runtime, fresh_merchant, "k", captured_later=True)
        await Client(runtime, fresh_merchant).refund("r", payment_id)
        types = ["payment.authorized", "payment.captured", "refund.created", "refund.succeeded"]
        for shift_ms in (0, 7_000, 400_000, 800_000, 1_200_000, 1_600_000, 2_000_000, 2_400_000, 2_800_000, 3_200_000):
            async with worker_at(database, shift_ms) as delivery:
                await drain(delivery)
        assert receiver.types == [kind for kind in types for _ in range(3)]


async def test_what_is_given_up_lets_the_next_one_go(database: Database, fresh_merchant: str) -> None:
    async def never_authorized(got: Got) -> web.StreamResponse:
        return await (status(500) if got.json["type"] == "payment.authorized" else ok)(got)

    async with receiving() as receiver, runtime_for(database) as runtime, worker(runtime) as delivery:
        receiver.script = never_authorized
        await register(runtime, fresh_merchant, receiver)
        await pay(runtime, fresh_merchant, "k", captured_later=True)
        await drain(delivery)
        await runtime.pool.execute("UPDATE message_delivery SET tries = 9 WHERE merchant_id = $1", fresh_merchant)
        async with worker_at(database, 10_000) as later:
            await drain(later)
        assert receiver.types == ["payment.authorized", "payment.authorized", "payment.captured"]
        assert [one["state"] for one in await deliveries(runtime, fresh_merchant)] == ["exhausted", "delivered"]


async def test_one_payments_trouble_holds_up_no_other(database: Database, fresh_merchant: str) -> None:
    async with receiving() as receiver, runtime_for(database) as runtime, worker(runtime) as delivery:
        await register(runtime, fresh_merchant, receiver)
        stuck = await pay(runtime, fresh_merchant, "stuck", captured_later=True)

        async def script(got: Got) -> web.StreamResponse:
            return await (status(500) if got.json["payment_id"] == stuck else ok)(got)

        receiver.script = script
        others = [await pay(runtime, fresh_merchant, f"k{number}") for number in range(5)]
        await drain(delivery)
        heard = [got.json["payment_id"] for got in receiver.got]
        assert heard.count(stuck) == 1
        assert set(others) <= set(heard)


async def test_only_the_types_that_were_asked_for(database: Database, fresh_merchant: str) -> None:
    async with receiving() as receiver, runtime_for(database) as runtime, worker(runtime) as delivery:
        await register(runtime, fresh_merchant, receiver, ["refund.succeeded", "payment.authorized"])
        payment_id = await pay(runtime, fresh_merchant, "k", captured_later=True)
        await Client(runtime, fresh_merchant).refund("r", payment_id)
        await drain(delivery)
        assert receiver.types == ["payment.authorized", "refund.succeeded"]


async def test_a_new_endpoint_hears_nothing_of_before_and_everything_after(
    database: Database, fresh_merchant: str
) -> None:
    """No clock decides that: what was committed before is dispatched to the others first."""
    async with receiving() as early, receiving() as late, runtime_for(database) as runtime, worker(runtime) as delivery:
        await register(runtime, fresh_merchant, early)
        before = await pay(runtime, fresh_merchant, "before")  # nobody has dispatched it when the other one comes
        await register(runtime, fresh_merchant, late)
        after = await pay(runtime, fresh_merchant, "after")
        await drain(delivery)
        assert {got.json["payment_id"] for got in early.got} == {before, after}
        assert [got.json["payment_id"] for got in late.got] == [after]


async def test_a_clock_that_was_wrong_does_not_change_the_order(database: Database, fresh_merchant: str) -> None:
    """The later version says that it is older, and comes first into a batch of one: its payment's others come along."""
    async with receiving() as receiver, runtime_for(database, outbound_batch=1) as runtime, worker(runtime) as delivery:
        await register(runtime, fresh_merchant, receiver)
        await pay(runtime, fresh_merchant, "k", captured_later=True)
        async with await psycopg.AsyncConnection.connect(database.owner_url, autocommit=True) as owner:
            await owner.execute(
                "UPDATE outbox SET at = '2020-01-01' WHERE merchant_id = %s AND type = 'payment.captured'",
                (fresh_merchant,),
            )
        await drain(delivery)
        assert receiver.types == ["payment.authorized", "payment.captured"]


async def test_nobody_hears_of_another_merchants_payments(database: Database, fresh_merchant: str) -> None:
    async with receiving() as receiver, runtime_for(database) as runtime, worker(runtime) as delivery:
        await register(runtime, fresh_merchant, receiver)
        await pay(runtime, f"{fresh_merchant}x", "k")
        await drain(delivery)
        assert receiver.got == []


async def test_messages_of_merchants_without_endpoints_are_done_with_in_bulk(
    database: Database, fresh_merchant: str
) -> None:
    async with runtime_for(database) as runtime, worker(runtime) as delivery:
        client = Client(runtime, fresh_merchant)
        await asyncio.gather(*(client.create(f"k{number}") for number in range(50)))
        await drain(delivery)
        waiting = await runtime.pool.fetchval("SELECT count(*) FROM outbox WHERE dispatched_at IS NULL")
        assert waiting == 0
        assert await deliveries(runtime, fresh_merchant) == []


async def test_two_endpoints_get_the_same_message_with_their_own_signatures(
    database: Database, fresh_merchant: str
) -> None:
    async with receiving() as one, receiving() as other, runtime_for(database) as runtime, worker(runtime) as delivery:
        secrets = [(await register(runtime, fresh_merchant, receiver)).secret for receiver in (one, other)]
        await pay(runtime, fresh_merchant, "k")
        await drain(delivery)
        assert one.got[0].verified(secrets[0]) == other.got[0].verified(secrets[1])
        with pytest.raises(WebhookVerificationError):
            one.got[0].verified(secrets[1])


async def test_an_endpoint_that_is_slow_does_not_hold_up_another(database: Database, fresh_merchant: str) -> None:
    """The slow one has more messages waiting than may be on their way to it; they are also older."""

    go_on = asyncio.Event()

    async def slow(got: Got) -> web.StreamResponse:
        await go_on.wait()
        return await ok(got)

    async with (
        receiving() as sluggish,
        receiving() as quick,
        runtime_for(
            database,
            outbound_timeout_ms=60_000,
            outbound_lease_ms=180_000,
            outbound_concurrency=10,
            outbound_endpoint_concurrency=4,
        ) as runtime,
    ):
        sluggish.script = slow
        await register(runtime, fresh_merchant, sluggish)
        other = f"{fresh_merchant}x"
        await register(runtime, other, quick)
        for number in range(12):
            await pay(runtime, fresh_merchant, f"k{number}")
        for number in range(12):
            await pay(runtime, other, f"k{number}")
        async with working(runtime, "dispatch", "delivery"):
            # The slow one has answered nothing meanwhile.
            await eventually_async(lambda: len(quick.got) >= 12 and len(sluggish.got) >= 4)
            assert len(sluggish.got) == 4  # no more at once
            go_on.set()


async def test_a_payments_answer_is_the_same_whether_anybody_listens(database: Database, fresh_merchant: str) -> None:
    async with runtime_for(database) as runtime:
        await register(runtime, fresh_merchant, "http://127.0.0.1:9/nobody")
        reply = await Client(runtime, fresh_merchant).create("k")
        assert read(reply)["state"] == "captured"
