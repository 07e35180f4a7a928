"""Workers die, freeze, and meet each other: every message still arrives, in order."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar, cast

import pytest
from aiohttp import web
from msgspec.structs import replace

from tallystick.flows.runtime import Runtime
from tallystick.flows.stores import stores_on
from tallystick.flows.webhooks.outbound.address_policy import AddressPolicy
from tallystick.flows.webhooks.outbound.client import EndpointClient
from tallystick.flows.webhooks.outbound.dispatch import Dispatch
from tallystick.kit.clock import Clock, monotonic_ms, utc_now
from tallystick.record.postgres.outbox import Outbox
from tests.support.database import DEEP, Database
from tests.support.outbox import (
    book_of,
    deliveries,
    drain,
    pay,
    queues,
    register,
    runtime_for,
    tries,
    worker,
    worker_at,
)
from tests.support.polling import eventually_async
from tests.support.receivers import Got, heard, ok, receiving, status
from tests.support.runtime import Client
from tests.support.slow_commits import SlowCommits
from tests.support.work import working

#: Whether a session of this database waits for a row that another transaction has written.
WAITS_FOR_A_ROW: Final = (
    "SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')"
)

Result = TypeVar("Result")


class MortalPool:
    """A pool whose process dies before or after its n-th statement, COMMIT among them: nothing goes on from there."""

    def __init__(self, pool: Any, at: int, *, after: bool) -> None:
        self._pool = pool
        self._at = at
        self._after = after
        self.statements = 0
        self.died = asyncio.Event()

    async def step(self, statement: Callable[..., Awaitable[Result]], *arguments: Any) -> Result:
        self.statements += 1
        if self.statements == self._at and not self._after:
            await self._die()
        result = await statement(*arguments)
        if self.statements == self._at and self._after:
            await self._die()
        return result

    async def _die(self) -> None:
        self.died.set()
        await asyncio.Event().wait()

    async def fetch(self, *arguments: Any) -> Any:
        return await self.step(self._pool.fetch, *arguments)

    async def fetchmany(self, *arguments: Any) -> Any:
        return await self.step(self._pool.fetchmany, *arguments)

    async def fetchval(self, *arguments: Any) -> Any:
        return await self.step(self._pool.fetchval, *arguments)

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[MortalConnection]:
        async with self._pool.acquire() as connection:
            yield MortalConnection(self, connection)


class MortalConnection:
    def __init__(self, pool: MortalPool, connection: Any) -> None:
        self._pool = pool
        self._connection = connection

    async def fetch(self, *arguments: Any) -> Any:
        return await self._pool.step(self._connection.fetch, *arguments)

    async def fetchval(self, *arguments: Any) -> Any:
        return await self._pool.step(self._connection.fetchval, *arguments)

    async def execute(self, *arguments: Any) -> Any:
        return await self._pool.step(self._connection.execute, *arguments)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        transaction = self._connection.transaction()
        await transaction.start()
        try:
            yield
            await self._pool.step(transaction.commit)
        except BaseException:
            if not self._pool.died.is_set() or self._connection.is_in_transaction():
                await transaction.rollback()
            raise


async def _live_and_die(runtime: Runtime, at: int, *, after: bool) -> bool:
    """A worker's life with death at one of its statements. False where it came to its end before that."""
    pool = MortalPool(runtime.pool, at, after=after)
    before = asyncio.all_tasks()
    stores = stores_on(cast(Any, pool), runtime.clock, runtime.settings, runtime.sealer)
    async with worker(replace(runtime, pool=pool, stores=stores)) as delivery:

        async def live() -> None:
            await drain(delivery)

        life = asyncio.create_task(live())
        death = asyncio.create_task(pool.died.wait())
        await asyncio.wait({life, death}, return_when=asyncio.FIRST_COMPLETED)
        died = pool.died.is_set()
        # A connection that is just given back may be that of a round of the process, which lives on.
        ours = [task for task in asyncio.all_tasks() - before if "Holder.release" not in repr(task.get_coro())]
        for task in ours:
            task.cancel()
        await asyncio.gather(*ours, return_exceptions=True)
    return died


#: Nobody here is slow on purpose: no time-out ends what a busy machine takes long for, and leases end by the shift.
UNHURRIED: Final = {"outbound_timeout_ms": 60_000, "outbound_lease_ms": 180_000}
STEP_MS: Final = 200_000


@pytest.mark.timeout(600)  # sixty lives: seconds, unless others keep the machine busy
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_death_at_any_statement_loses_nothing_and_keeps_the_order(
    database: Database, fresh_merchant: str, after: bool
) -> None:
    async with (
        receiving() as receiver,
        runtime_for(database, **UNHURRIED) as runtime,
        runtime_for(database, **UNHURRIED) as heir,
    ):
        await register(runtime, fresh_merchant, receiver)
        step = 1 if DEEP else 3
        at, died = (1 if DEEP else 1 + after) - step, True
        while died:
            at += step
            receiver.got.clear()
            payment_id = await pay(runtime, fresh_merchant, f"k{at}", captured_later=True)
            died = await _live_and_die(runtime, at, after=after)
            heir.clock.shift_ms = STEP_MS * at
            async with worker(heir) as survivor:
                await drain(survivor)
            assert heard(receiver) == [(payment_id, "payment.authorized"), (payment_id, "payment.captured")], at
            assert len(receiver.got) <= 3, "at most the one message under way is sent twice"
            assert {one["state"] for one in await deliveries(runtime, fresh_merchant)} == {"delivered"}, at
            assert await queues(runtime, fresh_merchant) == 0, at
        assert at > 20, "the statements of two messages were all tried"


async def test_a_worker_that_dies_between_sending_and_recording_has_it_sent_again(
    database: Database, fresh_merchant: str
) -> None:
    async with receiving() as receiver, runtime_for(database, outbound_lease_ms=60_000) as runtime:
        made = await register(runtime, fresh_merchant, receiver)
        await pay(runtime, fresh_merchant, "k")
        before = asyncio.all_tasks()

        async def kills(got: Got) -> web.StreamResponse:
            for task in asyncio.all_tasks() - before:
                if "OutboxWorker" in repr(task.get_coro()):
                    task.cancel()
            return await ok(got)

        receiver.script = kills
        async with worker(runtime) as delivery:
            with pytest.raises(asyncio.CancelledError):
                await delivery.round()
        assert len(receiver.got) == 1
        assert await tries(runtime, fresh_merchant) == []
        receiver.script = ok
        async with worker(runtime) as other:
            await drain(other)
            assert len(receiver.got) == 1, "the lease still holds"
        async with worker_at(database, 61_000) as other:
            await drain(other)
        assert len(receiver.got) == 2
        assert receiver.got[0].message_id == receiver.got[1].message_id
        assert receiver.got[0].body == receiver.got[1].body
        receiver.got[0].verified(made.secret)


async def test_two_workers_share_the_work_and_send_nothing_twice(database: Database, fresh_merchant: str) -> None:
    patience = {"outbound_timeout_ms": 60_000, "outbound_lease_ms": 180_000}  # a time-out would be a second try
    async with (
        receiving() as receiver,
        runtime_for(database, **patience) as one,
        runtime_for(database, **patience) as other,
    ):
        await register(one, fresh_merchant, receiver)
        async with working(one, "dispatch", "delivery"), working(other, "dispatch", "delivery"):
            client = Client(one, fresh_merchant)

            async def story(number: int) -> None:
                payment_id = await pay(one, fresh_merchant, f"k{number}", captured_later=True)
                await client.refund(f"r{number}", payment_id)

            await asyncio.gather(*(story(number) for number in range(20)))
            await eventually_async(lambda: len(receiver.got), until=lambda got: got >= 80, within_s=150)
        assert len({got.message_id for got in receiver.got}) == len(receiver.got) == 80
        versions: dict[str, list[int]] = {}
        for got in receiver.got:
            versions.setdefault(got.json["payment_id"], []).append(got.json["version"])
        assert all(seen == sorted(seen) for seen in versions.values())
        assert await queues(one, fresh_merchant) == 0


async def test_a_lease_that_was_lost_costs_a_repetition_and_no_order(database: Database, fresh_merchant: str) -> None:
    """The second worker's clock says that the first one's lease is over while the first still waits for its answer."""
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def waits(got: Got) -> web.StreamResponse:
        if not arrived.is_set():
            arrived.set()
            await go_on.wait()
        return await ok(got)

    async with (
        receiving() as receiver,
        runtime_for(database, outbound_timeout_ms=60_000, outbound_lease_ms=180_000) as runtime,
        worker(runtime) as first,
    ):
        receiver.script = waits
        await register(runtime, fresh_merchant, receiver)
        await pay(runtime, fresh_merchant, "k", captured_later=True)
        slow = asyncio.create_task(first.round())
        await arrived.wait()
        async with worker_at(database, 181_000) as second:
            await drain(second)
        go_on.set()
        await slow
        assert receiver.types == ["payment.authorized", "payment.authorized", "payment.captured"]
        assert [one["state"] for one in await deliveries(runtime, fresh_merchant)] == ["delivered", "delivered"]
        assert [one["number"] for one in await tries(runtime, fresh_merchant)] == [1, 1, 1]
        assert await queues(runtime, fresh_merchant) == 0


async def test_who_froze_past_the_lease_writes_nothing(database: Database, fresh_merchant: str) -> None:
    async with receiving() as receiver, runtime_for(database) as runtime:
        sending = EndpointClient(AddressPolicy(allow_private=True), timeout_ms=400, connections=1)
        try:
            answer = await sending.send(receiver.url, {}, b"{}", write_by_ms=monotonic_ms() - 1, now=utc_now())
            assert answer.result == "too_late"
        finally:
            await sending.close()
        await register(runtime, fresh_merchant, receiver)
        await pay(runtime, fresh_merchant, "k")
        # A lease as long as two time-outs leaves no time to begin.
        lease_ms = 2 * runtime.settings.outbound_timeout_ms
        async with worker(
            replace(runtime, settings=dataclasses.replace(runtime.settings, outbound_lease_ms=lease_ms))
        ) as frozen:
            await frozen.round()
        assert receiver.got == []
        assert await tries(runtime, fresh_merchant) == []
        async with worker(runtime) as delivery:
            await drain(delivery)
        assert len(receiver.got) == 1


async def test_what_is_put_in_while_the_last_message_is_under_way_is_not_overlooked(
    database: Database, fresh_merchant: str
) -> None:
    """The queue's worker finds it empty in the same moment: its generation is another, so it stays."""
    async with (
        receiving() as receiver,
        runtime_for(database) as runtime,
        worker(runtime) as sender,
        worker(runtime) as other,
    ):
        client = Client(runtime, fresh_merchant)

        async def refunds_meanwhile(got: Got) -> web.StreamResponse:
            if got.json["type"] == "payment.captured":
                await client.refund("r", got.json["payment_id"])
                await other._dispatch.round()
            return await ok(got)

        receiver.script = refunds_meanwhile
        await register(runtime, fresh_merchant, receiver)
        await pay(runtime, fresh_merchant, "k")
        await drain(sender)
        assert receiver.types == ["payment.captured", "refund.created", "refund.succeeded"]


async def test_what_waits_for_its_next_try_is_not_sent_sooner_because_more_is_put_in(
    database: Database, fresh_merchant: str
) -> None:
    """The queue's generation is another, so it is looked at again at once: its first message is not due."""
    async with (
        receiving() as receiver,
        runtime_for(database) as runtime,
        worker(runtime) as sender,
        worker(runtime) as other,
    ):
        client = Client(runtime, fresh_merchant)

        async def refunds_meanwhile(got: Got) -> web.StreamResponse:
            if len(receiver.got) == 1:
                await client.refund("r", got.json["payment_id"])
                await other._dispatch.round()
            return await status(500)(got)

        receiver.script = refunds_meanwhile
        await register(runtime, fresh_merchant, receiver)
        await pay(runtime, fresh_merchant, "k")
        await drain(sender)
        assert receiver.types == ["payment.captured"]
        receiver.script = ok
        async with worker_at(database, 10_000) as later:
            await drain(later)
        assert receiver.types == ["payment.captured", "payment.captured", "refund.created", "refund.succeeded"]


async def test_what_is_put_in_by_a_transaction_that_nobody_sees_yet_is_not_overlooked(
    database: Database, fresh_merchant: str
) -> None:
    """The queue looks empty to the worker that would end it, and is not: that is what generations are for."""
    async with receiving() as receiver, runtime_for(database) as runtime, worker(runtime) as sender:
        client, pool = Client(runtime, fresh_merchant), SlowCommits(runtime.pool)
        dispatching: list[asyncio.Task[int]] = []

        async def refunds_meanwhile(got: Got) -> web.StreamResponse:
            if got.json["type"] == "payment.captured":
                await client.refund("r", got.json["payment_id"])
                other = Dispatch(Outbox(cast(Any, pool), Clock()), batch=100)
                dispatching.append(asyncio.create_task(other.round()))
                await pool.waiting.wait()
            return await ok(got)

        receiver.script = refunds_meanwhile
        await register(runtime, fresh_merchant, receiver)
        await pay(runtime, fresh_merchant, "k")
        sending = asyncio.create_task(sender.round())
        await pool.waiting.wait()
        await eventually_async(
            lambda: runtime.pool.fetchval(WAITS_FOR_A_ROW)
        )  # where the result of the first is written
        assert not sending.done()
        pool.go_on.set()
        await asyncio.gather(sending, *dispatching)
        await drain(sender)
        assert receiver.types == ["payment.captured", "refund.created", "refund.succeeded"]


async def test_what_is_asked_for_again_while_it_is_under_way_is_sent_again(
    database: Database, fresh_merchant: str
) -> None:
    async with receiving() as receiver, runtime_for(database) as runtime, worker(runtime) as delivery:
        made = await register(runtime, fresh_merchant, receiver)

        async def asks_again(got: Got) -> web.StreamResponse:
            if len(receiver.got) == 1:
                await book_of(runtime).resend(fresh_merchant, made.endpoint_id, [got.message_id], actor="key:test")
            return await ok(got)

        receiver.script = asks_again
        await pay(runtime, fresh_merchant, "k")
        await drain(delivery)
        assert len(receiver.got) == 2
        (one,) = await deliveries(runtime, fresh_merchant)
        assert (one["state"], one["resends"], one["tries"]) == ("delivered", 1, 1)
        assert await queues(runtime, fresh_merchant) == 0


async def test_the_database_may_be_away_for_a_moment_when_a_result_is_written(
    database: Database, fresh_merchant: str
) -> None:
    async with receiving() as receiver, runtime_for(database) as runtime, worker(runtime) as delivery:
        await register(runtime, fresh_merchant, receiver)
        await pay(runtime, fresh_merchant, "k")
        record, failures = delivery.book.record, 2

        async def fails_at_first(tried: Any) -> None:
            nonlocal failures
            if failures:
                failures -= 1
                raise OSError("the database is away")
            await record(tried)

        delivery.book.record = fails_at_first  # type: ignore[method-assign]  # the fault
        await drain(delivery)
        assert len(receiver.got) == 1
        assert [one["state"] for one in await deliveries(runtime, fresh_merchant)] == ["delivered"]
