"""A message whose secret cannot be opened: every try is recorded, nothing is sent, and nothing hangs."""

from __future__ import annotations

import base64

import pytest
from structlog.testing import capture_logs

from tallystick.flows.webhooks.outbound.retries import SCHEDULE_MS
from tallystick.record.postgres.outbox import SECRET_UNREADABLE
from tallystick.record.postgres.sealed_rows import key_acts
from tallystick.record.sealing import KEY_BYTES
from tallystick.record.sealing_keys import active_of, retire
from tests.support.acts import retiring
from tests.support.database import Database, NewDatabase
from tests.support.outbox import (
    deliveries,
    drain,
    endpoint,
    endpoints_of,
    pay,
    queues,
    register,
    runtime_for,
    tries,
    worker,
    worker_at,
)
from tests.support.receivers import receiving

LOST = base64.b64encode(b"l" * KEY_BYTES).decode()


@pytest.fixture(scope="module")
def database(new_database: NewDatabase) -> Database:
    """One of its own: time passes here for every message there is."""
    return new_database()


async def test_a_try_is_recorded_on_schedule_until_it_is_given_up(database: Database, fresh_merchant: str) -> None:
    """Ten tries, as of any message that fails. The endpoint does not count as failing, and stays enabled."""
    async with receiving() as receiver, runtime_for(database) as runtime:
        made = await register(runtime, fresh_merchant, receiver)
        await runtime.pool.execute("UPDATE webhook_secret SET secret_id = 'x' WHERE endpoint_id = $1", made.endpoint_id)
        await pay(runtime, fresh_merchant, "k")
        shift_ms = 0
        with capture_logs() as lines:
            for wait_ms in SCHEDULE_MS:
                shift_ms += int(wait_ms * 1.3) + 60_000
                async with worker_at(database, shift_ms) as delivery:
                    await drain(delivery)
        made_tries = await tries(runtime, fresh_merchant)
        assert [each["result"] for each in made_tries] == [SECRET_UNREADABLE] * len(SCHEDULE_MS)
        assert {(each["status"], each["duration_ms"]) for each in made_tries} == {(None, 0)}
        assert "no secret of the endpoint could be opened" in made_tries[0]["detail"]
        [delivery_row] = await deliveries(runtime, fresh_merchant)
        assert (delivery_row["state"], delivery_row["tries"]) == ("exhausted", len(SCHEDULE_MS))
        assert await queues(runtime, fresh_merchant) == 0
        row = await endpoint(runtime, made.endpoint_id)
        assert (row["state"], row["failing_since"]) == ("enabled", None)
        assert receiver.got == []
    said = [line for line in lines if line["event"] == "webhook secret cannot be opened"]
    assert said[0]["alert"] and said[0]["endpoint_id"] == made.endpoint_id
    assert "rotate-secret" in said[0]["next"]


async def test_one_alert_for_all_messages_of_an_endpoint(database: Database, fresh_merchant: str) -> None:
    async with receiving() as receiver, runtime_for(database) as runtime, worker(runtime) as delivery:
        made = await register(runtime, fresh_merchant, receiver)
        await runtime.pool.execute("UPDATE webhook_secret SET sealed = '' WHERE endpoint_id = $1", made.endpoint_id)
        for number in range(5):
            await pay(runtime, fresh_merchant, f"k{number}")
        with capture_logs() as lines:
            await drain(delivery)
        assert len(await tries(runtime, fresh_merchant)) == 5
        assert [line["reason"] for line in lines if line.get("alert")] == ["it is not sealed"]


async def test_nothing_unsigned_is_sent(database: Database, fresh_merchant: str) -> None:
    async with receiving() as receiver, runtime_for(database) as runtime, worker(runtime) as delivery:
        made = await register(runtime, fresh_merchant, receiver)
        await runtime.pool.execute("DELETE FROM webhook_secret WHERE endpoint_id = $1", made.endpoint_id)
        await pay(runtime, fresh_merchant, "k")
        await drain(delivery)
        assert [each["result"] for each in await tries(runtime, fresh_merchant)] == [SECRET_UNREADABLE]
        assert receiver.got == []


async def test_after_a_lost_key_the_merchant_rotates_and_gets_everything(
    new_database: NewDatabase, fresh_merchant: str
) -> None:
    """The old secret, which nobody can open any more, does not keep the new one from signing."""
    database = new_database()
    async with receiving() as receiver:
        async with runtime_for(database, sealing_keys=LOST) as runtime:
            made = await register(runtime, fresh_merchant, receiver)
            await pay(runtime, fresh_merchant, "k")
            async with runtime.pool.acquire() as connection:
                [lost] = active_of(await key_acts(connection))
                await retire(connection, lost.key_id, retiring(lost.key_id, "lost"), shift_ms=0)
        async with runtime_for(database) as runtime, worker(runtime) as delivery:
            await drain(delivery)
            assert [each["result"] for each in await tries(runtime, fresh_merchant)] == [SECRET_UNREADABLE]
            rotated = await endpoints_of(runtime).rotate(fresh_merchant, made.endpoint_id, None, actor="key:test")
            await runtime.pool.execute("UPDATE message_lane SET next_try_at = now()")
            await runtime.pool.execute("UPDATE message_delivery SET next_try_at = now()")
            await drain(delivery)
            results = [each["result"] for each in await tries(runtime, fresh_merchant)]
            assert results == [SECRET_UNREADABLE, "delivered"]
            [got] = receiver.got
            assert got.verified(rotated.secret)["type"] == "payment.captured"
