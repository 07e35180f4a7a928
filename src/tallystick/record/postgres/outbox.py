"""Messages on their way to merchants, in the record: what waits, which queue a worker holds, what each try came to.
Bookkeeping, no state of a payment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any, Final, NamedTuple

import asyncpg
from msgspec import Struct

from tallystick.kit.clock import Clock
from tallystick.record.postgres import sql

STATEMENTS: Final = sql.load("outbound.sql")

#: (merchant, endpoint).
EndpointName = tuple[str, str]


class MessageName(NamedTuple):
    """The primary key of an outbox row."""

    merchant_id: str
    stream_id: str
    version: int
    subject_id: str


class UndispatchedMessage(Struct, frozen=True):
    """A message that nobody has dispatched."""

    merchant_id: str
    stream_id: str
    version: int
    subject_id: str
    message_id: str
    type: str

    def name(self) -> MessageName:
        """Its primary key."""
        return MessageName(self.merchant_id, self.stream_id, self.version, self.subject_id)


class Subscriber(Struct, frozen=True):
    """An endpoint as the dispatcher sees it. ``event_types`` None: all."""

    merchant_id: str
    endpoint_id: str
    event_types: Sequence[str] | None
    state: str


class QueueName(NamedTuple):
    """One payment's messages to one endpoint: they are sent one after another."""

    merchant_id: str
    endpoint_id: str
    stream_id: str


class Held(Struct, frozen=True):
    """A queue leased to us. ``generation`` counts what had been put in when we took it (the column is ``rung``)."""

    queue: QueueName
    generation: int
    lease: str


class LeasedMessage(Struct, frozen=True, kw_only=True):
    """A message to send now. ``tries`` failed before it since it was dispatched or last asked for again."""

    held: Held
    version: int
    subject_id: str
    message_id: str
    tries: int
    resends: int
    body: bytes
    url: str
    failing_for_ms: int | None


class Tried(Struct, frozen=True, kw_only=True):
    """What one try came to. ``state`` is the delivery's from now on; ``next_try_in_ms`` is for one that stays open."""

    claimed: LeasedMessage
    try_id: str
    started_at: datetime
    duration_ms: int
    result: str
    status: int | None
    detail: str | None
    state: str
    next_try_in_ms: int


class OutboundBook:
    """Reads and leases over a pool of connections. They raise what asyncpg raises."""

    def __init__(self, pool: asyncpg.Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    async def waiting(self, limit: int, merchant_id: str | None = None) -> list[UndispatchedMessage]:
        """About ``limit`` messages that nobody has dispatched, of all merchants or one, never a payment's later one
        without its earlier ones; in the order in which a payment's are sent."""
        name, of = ("waiting", ()) if merchant_id is None else ("waiting_of", (merchant_id,))
        records = await self._pool.fetch(STATEMENTS[name], limit, *of)
        return sorted((UndispatchedMessage(*record) for record in records), key=UndispatchedMessage.name)

    async def subscribers(self, merchant_ids: Iterable[str]) -> Mapping[str, Sequence[Subscriber]]:
        """Who wants to hear of these merchants, by merchant."""
        found: dict[str, list[Subscriber]] = {}
        for record in await self._pool.fetch(STATEMENTS["subscribers"], sorted(set(merchant_ids))):
            found.setdefault(record["merchant_id"], []).append(Subscriber(*record))
        return found

    async def dispatch(
        self, messages: Sequence[UndispatchedMessage], subscribers: Mapping[str, Sequence[Subscriber]]
    ) -> int:
        """Mark the messages, with one delivery for each endpoint that wants one, in one transaction. Returns how many
        no other worker had marked before."""
        keys = _columns([message.name() for message in messages])
        if not any(message.merchant_id in subscribers for message in messages):
            return len(await self._pool.fetch(STATEMENTS["mark"], *keys, self._clock.shift_ms))
        async with self._pool.acquire() as connection, connection.transaction():
            ours = {MessageName(*r) for r in await connection.fetch(STATEMENTS["mark"], *keys, self._clock.shift_ms)}
            deliveries = sorted(
                (m.merchant_id, s.endpoint_id, m.stream_id, m.version, m.subject_id, m.message_id, m.type, _state(s))
                for m in messages
                if m.name() in ours
                for s in subscribers.get(m.merchant_id, ())
                if s.event_types is None or m.type in s.event_types
            )
            if deliveries:
                await connection.execute(STATEMENTS["insert_deliveries"], *_columns(deliveries), self._clock.shift_ms)
            queues = sorted({row[:3] for row in deliveries if row[7] == "open"})
            if queues:
                await connection.execute(STATEMENTS["bump_generations"], *_columns(queues), self._clock.shift_ms)
        return len(ours)

    async def due(self, limit: int, busy: Sequence[str], of_each: int) -> list[QueueName]:
        """The queues that are due for longest, at most ``of_each`` of an endpoint, one of an endpoint that is failing,
        and none of those that are ``busy``: none that is slow, or has much to be told, stands in another's way."""
        shift = self._clock.shift_ms
        ready = await self._pool.fetch(STATEMENTS["ready"], limit, list(busy), shift)
        if not ready:
            return []
        # One round trip for all: the endpoints' own first queues, which a join could only find by looking at every one.
        asked = [
            (merchant_id, endpoint_id, 1 if failing else of_each, shift) for merchant_id, endpoint_id, failing in ready
        ]
        queues = await self._pool.fetchmany(STATEMENTS["due"], asked)
        return [QueueName(*queue[:3]) for queue in sorted(queues, key=itemgetter("next_try_at"))[:limit]]

    async def claim(self, queues: Sequence[QueueName], lease: str, lease_ms: int) -> list[LeasedMessage]:
        """Take those queues that nobody else took, and their first message each. Where none is due after all, the queue
        is let go."""
        shift = self._clock.shift_ms
        taken = await self._pool.fetch(STATEMENTS["lease"], *_columns(sorted(queues)), lease, lease_ms, shift)
        held = {QueueName(*record[:3]): Held(QueueName(*record[:3]), record[3], lease) for record in taken}
        if not held:
            return []
        heads = await self._pool.fetch(STATEMENTS["heads"], *_columns(sorted(held)), shift)
        claimed = [
            LeasedMessage(
                held=held.pop(QueueName(head["merchant_id"], head["endpoint_id"], head["stream_id"])),
                **{name: head[name] for name in _OF_HEAD},
            )
            for head in heads
        ]
        if held:
            async with self._pool.acquire() as connection, connection.transaction():
                await _let_go(connection, list(held.values()))
        return claimed

    async def signing_secrets(self, names: Iterable[EndpointName]) -> Mapping[EndpointName, list[tuple[str, bytes]]]:
        """(secret id, sealed) of everything that signs now, newest first."""
        found: dict[EndpointName, list[tuple[str, bytes]]] = {}
        keys = sorted(set(names))
        if keys:
            for record in await self._pool.fetch(STATEMENTS["signing_secrets"], *_columns(keys), self._clock.shift_ms):
                found.setdefault((record[0], record[1]), []).append((record[2], record[3]))
        return found

    async def record(self, tried: Sequence[Tried]) -> None:
        """What these tries came to, and their queues let go. Doing it twice does nothing more."""
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(STATEMENTS["insert_tries"], *_columns(sorted(map(_try_row, tried))))
            settled = _columns(sorted(map(_settled_row, tried)))
            await connection.execute(STATEMENTS["settle_deliveries"], *settled, self._clock.shift_ms)
            await _let_go(connection, [one.claimed.held for one in tried])
            well = {name for name, _ in _by_endpoint([one for one in tried if one.state == "delivered"])}
            recovered = {name for name, one in _by_endpoint(tried) if name in well and one.failing_for_ms is not None}
            if recovered:
                await connection.execute(STATEMENTS["recovered"], *_columns(sorted(recovered)))
            failing = {name for name, one in _by_endpoint(tried) if name not in well and one.failing_for_ms is None}
            if failing:
                await connection.execute(STATEMENTS["failing"], *_columns(sorted(failing)), self._clock.shift_ms)

    async def release(self, held: Held) -> None:
        """Let go of a queue whose message was not tried."""
        async with self._pool.acquire() as connection, connection.transaction():
            await _let_go(connection, [held])


_OF_HEAD: Final = ("version", "subject_id", "message_id", "tries", "resends", "body", "url", "failing_for_ms")


async def _let_go(connection: Any, held: Sequence[Held]) -> None:
    """A queue with nothing left to tell ends; the others wait for their first message's time."""
    rows = _columns(sorted((*one.queue, one.generation, one.lease) for one in held))
    await connection.execute(STATEMENTS["leave_empty"], *rows)
    await connection.execute(STATEMENTS["release"], *rows)


def _by_endpoint(tried: Sequence[Tried]) -> list[tuple[EndpointName, LeasedMessage]]:
    return [((one.claimed.held.queue.merchant_id, one.claimed.held.queue.endpoint_id), one.claimed) for one in tried]


def _state(subscriber: Subscriber) -> str:
    """Messages that come while an endpoint is disabled are kept for it, to be asked for."""
    return "open" if subscriber.state == "enabled" else "canceled"


def _try_row(one: Tried) -> tuple[Any, ...]:
    queue, claimed = one.claimed.held.queue, one.claimed
    return (queue.merchant_id, queue.endpoint_id, claimed.message_id, one.try_id, claimed.tries + 1, claimed.resends,
            one.started_at, one.duration_ms, one.result, one.status, one.detail)  # fmt: skip


def _settled_row(one: Tried) -> tuple[Any, ...]:
    claimed = one.claimed
    return (*claimed.held.queue, claimed.version, claimed.subject_id, one.state, claimed.tries, claimed.resends,
            one.next_try_in_ms)  # fmt: skip


def _columns(rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return list(zip(*rows, strict=True))
