"""Whose turn it is: endpoints do not stand in each other's way, however much one of them has to be told."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

import pytest

from tallystick.flows.runtime import Runtime
from tallystick.record.postgres.outbox import Outbox, QueueName
from tests.support.database import NewDatabase
from tests.support.outbox import register, runtime_for

#: Queues of the endpoint that has much to be told; they are older than all others.
FLOOD = 300


async def _fill(runtime: Runtime, merchant_id: str, endpoint_id: str, queues: int, age_ms: int) -> None:
    """Queues a millisecond apart, the oldest so old."""
    await runtime.pool.execute(
        "INSERT INTO message_lane (merchant_id, endpoint_id, payment_id, rung, next_try_at)"
        " SELECT $1, $2, 'pay_' || $2 || i, 1, now() - ($4::bigint - i) * interval '1 ms'"
        " FROM generate_series(1, $3::int) i",
        merchant_id,
        endpoint_id,
        queues,
        age_ms,
    )


def _of_each(queues: Sequence[QueueName]) -> Counter[str]:
    return Counter(queue.endpoint_id for queue in queues)


@pytest.mark.parametrize("merchants", [("m1", "m1", "m1"), ("m1", "m2", "m3")], ids=["one merchant", "three"])
async def test_every_endpoint_has_its_share_and_the_longest_wait_is_first(
    new_database: NewDatabase, merchants: Sequence[str]
) -> None:
    async with runtime_for(new_database()) as runtime:
        book = Outbox(runtime.pool, runtime.clock)
        assert await book.due(100, [], 4) == []
        flooded, failing, quiet = [
            (await register(runtime, merchant_id, f"http://127.0.0.1:9/{number}")).endpoint_id
            for number, merchant_id in enumerate(merchants)
        ]
        await _fill(runtime, merchants[0], flooded, FLOOD, age_ms=60_000)
        await _fill(runtime, merchants[1], failing, 20, age_ms=30_000)
        await _fill(runtime, merchants[2], quiet, 3, age_ms=10_000)
        await _fill(runtime, merchants[2], quiet + "later", 1, age_ms=-60_000)
        await runtime.pool.execute("UPDATE webhook_endpoint SET failing_since = now() WHERE endpoint_id = $1", failing)

        queues = await book.due(100, [], 4)
        assert _of_each(queues) == {flooded: 4, failing: 1, quiet: 3}
        of_flooded = [f"pay_{flooded}{i}" for i in range(1, 5)]
        of_quiet = [f"pay_{quiet}{i}" for i in range(1, 4)]
        if len(set(merchants)) == 1:
            expected = [*of_flooded, f"pay_{failing}1", *of_quiet]
        else:  # the first of each merchant, then the second
            expected = [of_flooded[0], f"pay_{failing}1", of_quiet[0], of_flooded[1], of_quiet[1], of_flooded[2]]
            expected += [of_quiet[2], of_flooded[3]]
        assert [queue.stream_id for queue in queues] == expected

        assert await book.due(5, [], 4) == queues[:5], "where there is room for few, they are the first of these"
        assert (await book.due(1, [], 4, [merchants[0]]))[:1] == [q for q in queues if q[0] != merchants[0]][:1]
        assert _of_each(await book.due(100, [flooded], 4)) == {failing: 1, quiet: 3}

        taken = await book.due(100, [], 4)
        await asyncio.gather(*(book._pool.fetch(_LEASE, *queue) for queue in taken))
        assert _of_each(await book.due(100, [quiet], 4)) == {flooded: 4, failing: 1}
        assert not set(await book.due(100, [], 4)) & set(taken), "what is under way is not looked at"

        await runtime.pool.execute("UPDATE webhook_endpoint SET state = 'disabled' WHERE endpoint_id = $1", flooded)
        assert flooded not in _of_each(await book.due(100, [], 4))


_LEASE = (
    "UPDATE message_lane SET lease = 'x', lease_until = now() + interval '1 min'"
    " WHERE merchant_id = $1 AND endpoint_id = $2 AND payment_id = $3"
)
