"""The outbox: messages on their way to merchants, the queues that workers lease, and the result of each try.
Bookkeeping only, no state of a payment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any, Final, NamedTuple

import asyncpg
from msgspec import Struct

from tallystick.domain.api_keys import KIND_OF_LETTER
from tallystick.kit.clock import Clock
from tallystick.kit.fair_shares import in_turns
from tallystick.record.postgres import sql
from tallystick.record.postgres.message_bodies import filled_bodies
from tallystick.record.postgres.webhook_endpoints import DeliveryState

STATEMENTS: Final = sql.load("outbound.sql")

#: The result of a try that sent nothing, because no secret of the endpoint opens: the endpoint has no part in it, and
#: does not count as failing.
SECRET_UNREADABLE: Final = "secret_unreadable"

#: (merchant, endpoint).
EndpointName = tuple[str, str]


class MessageName(NamedTuple):
    """The primary key of an outbox row."""

    merchant_id: str
    stream_id: str
    version: int
    subject_id: str


class UndispatchedMessage(Struct, frozen=True):
    """A message that is not dispatched yet."""

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
    """An endpoint as the dispatcher sees it. ``event_types`` None: all types."""

    merchant_id: str
    endpoint_id: str
    event_types: Sequence[str] | None
    state: str


class QueueName(NamedTuple):
    """One payment's messages to one endpoint: they are sent one after another."""

    merchant_id: str
    endpoint_id: str
    stream_id: str


class LeasedQueue(Struct, frozen=True):
    """A queue leased to us. ``generation`` counts the messages added up to the lease (the column is ``rung``)."""

    queue: QueueName
    generation: int
    lease: str


class FirstMessage(NamedTuple):
    """The first open message of a queue, as its lease names it: all as text. ``due_us``: since 1970."""

    version: str
    subject_id: str
    message_id: str
    tries: str
    resends: str
    due_us: str


class LeasedMessage(Struct, frozen=True, kw_only=True):
    """A message to send now. ``tries``: failed tries since it was dispatched or last resent. ``written_in`` and
    ``api_version``: the versions of its body, and of its endpoint, as stored. ``key_kind`` and ``traceparent``: of the
    request that led to it, if there was one."""

    held: LeasedQueue
    version: int
    subject_id: str
    message_id: str
    type: str
    tries: int
    resends: int
    body: bytes
    written_in: str | None
    url: str
    api_version: str | None
    key_kind: str | None
    traceparent: str | None
    failing_for_ms: int | None


class FinishedTry(Struct, frozen=True, kw_only=True):
    """The result of one try. ``state`` is the delivery's new state; ``next_try_in_ms`` is for one that stays open."""

    leased: LeasedMessage
    try_id: str
    started_at: datetime
    duration_ms: int
    result: str
    status: int | None
    detail: str | None
    state: DeliveryState
    next_try_in_ms: int


class Outbox:
    """Reads and leases over a pool of connections. They raise what asyncpg raises."""

    def __init__(self, pool: asyncpg.Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    async def waiting(self, limit: int, merchant_id: str | None = None) -> list[UndispatchedMessage]:
        """About ``limit`` undispatched messages, of all merchants or one, never a payment's later message without its
        earlier ones; in the order in which a payment's messages are sent."""
        name, of = ("waiting", ()) if merchant_id is None else ("waiting_of", (merchant_id,))
        records = await self._pool.fetch(STATEMENTS[name], limit, *of)
        return sorted((UndispatchedMessage(*record) for record in records), key=UndispatchedMessage.name)

    async def subscribers(self, merchant_ids: Iterable[str]) -> Mapping[str, Sequence[Subscriber]]:
        """The endpoints of these merchants, by merchant."""
        found: dict[str, list[Subscriber]] = {}
        for record in await self._pool.fetch(STATEMENTS["subscribers"], sorted(set(merchant_ids))):
            found.setdefault(record["merchant_id"], []).append(Subscriber(*record))
        return found

    async def dispatch(
        self, messages: Sequence[UndispatchedMessage], subscribers: Mapping[str, Sequence[Subscriber]]
    ) -> int:
        """Mark the messages, with one delivery for each endpoint that wants one, in one transaction. Returns how many
        were not marked by another worker before."""
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

    async def due(self, limit: int, busy: Sequence[str], of_each: int, without: Sequence[str] = ()) -> list[QueueName]:
        """Due queues: at most ``of_each`` for an endpoint, one for a failing endpoint, and none for ``busy`` endpoints
        or the merchants ``without``. Each merchant's longest-due queue comes first, then the second of each. So
        neither an endpoint nor a merchant that is slow or has a backlog delays another."""
        shift = self._clock.shift_ms
        ready = await self._pool.fetch(STATEMENTS["ready"], limit, list(busy), shift, list(without))
        if not ready:
            return []
        # One round trip for all endpoints' first queues: a join would have to read every queue.
        asked = [
            (merchant_id, endpoint_id, 1 if failing else of_each, shift) for merchant_id, endpoint_id, failing in ready
        ]
        queues = await self._pool.fetchmany(STATEMENTS["due"], asked)
        longest_wait_first = sorted(queues, key=itemgetter("next_try_at"))
        return in_turns([QueueName(*queue[:3]) for queue in longest_wait_first], itemgetter(0))[:limit]

    async def lease(self, queues: Sequence[QueueName], lease: str, lease_ms: int) -> list[LeasedMessage]:
        """Lease the queues that are still free, and return the first message of each. A queue without a due message is
        released."""
        shift = self._clock.shift_ms
        taken = await self._pool.fetch(STATEMENTS["lease"], *_columns(sorted(queues)), lease, lease_ms, shift)
        held = {QueueName(*record[:3]): LeasedQueue(QueueName(*record[:3]), record[3], lease) for record in taken}
        if not held:
            return []
        first = {QueueName(*record[:3]): FirstMessage(*record[4]) for record in taken if record[4] is not None}
        leased = []
        heads = await self._heads(first)
        bodies = await filled_bodies(self._pool, [(head["merchant_id"], head) for head in heads])
        for head, body in zip(heads, bodies, strict=True):
            queue = QueueName(*head[:3])
            message = first[queue]
            leased.append(
                LeasedMessage(
                    held=held.pop(queue),
                    version=int(message.version),
                    subject_id=message.subject_id,
                    message_id=message.message_id,
                    type=head["type"],
                    tries=int(message.tries),
                    resends=int(message.resends),
                    body=body,
                    written_in=head["written_in"],
                    url=head["url"],
                    api_version=head["api_version"],
                    key_kind=KIND_OF_LETTER.get(head["key_kind"]),
                    traceparent=head["traceparent"],
                    failing_for_ms=head["failing_for_ms"],
                )
            )
        if held:
            async with self._pool.acquire() as connection, connection.transaction():
                await _let_go(connection, list(held.values()))
        return leased

    async def _heads(self, first: Mapping[QueueName, FirstMessage]) -> list[asyncpg.Record]:
        """Of the messages that are due, what is sent, and where."""
        if not first:
            return []
        rows = sorted((*queue, int(one.version), one.subject_id, int(one.due_us)) for queue, one in first.items())
        return list(await self._pool.fetch(STATEMENTS["heads"], *_columns(rows), self._clock.shift_ms))

    async def signing_secrets(self, names: Iterable[EndpointName]) -> Mapping[EndpointName, list[tuple[str, bytes]]]:
        """(secret id, sealed secret) of every secret that signs now, newest first."""
        found: dict[EndpointName, list[tuple[str, bytes]]] = {}
        keys = sorted(set(names))
        if keys:
            for record in await self._pool.fetch(STATEMENTS["signing_secrets"], *_columns(keys), self._clock.shift_ms):
                found.setdefault((record[0], record[1]), []).append((record[2], record[3]))
        return found

    async def record(self, tried: Sequence[FinishedTry]) -> None:
        """Store the results of tries, and release their queues. Repeating it has no further effect."""
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(STATEMENTS["insert_tries"], *_columns(sorted(map(_try_row, tried))))
            settled = _columns(sorted(map(_settled_row, tried)))
            await connection.execute(STATEMENTS["settle_deliveries"], *settled, self._clock.shift_ms)
            await _let_go(connection, [one.leased.held for one in tried])
            well = {name for name, _ in _by_endpoint([one for one in tried if one.state == "delivered"])}
            recovered = {name for name, one in _by_endpoint(tried) if name in well and one.failing_for_ms is not None}
            if recovered:
                await connection.execute(STATEMENTS["recovered"], *_columns(sorted(recovered)))
            sent = [one for one in tried if one.result != SECRET_UNREADABLE]
            failing = {name for name, one in _by_endpoint(sent) if name not in well and one.failing_for_ms is None}
            if failing:
                await connection.execute(STATEMENTS["failing"], *_columns(sorted(failing)), self._clock.shift_ms)

    async def release(self, held: LeasedQueue) -> None:
        """Release a queue whose message was not tried."""
        async with self._pool.acquire() as connection, connection.transaction():
            await _let_go(connection, [held])


async def _let_go(connection: Any, held: Sequence[LeasedQueue]) -> None:
    """An empty queue is deleted; the others wait for the time of their first message."""
    rows = _columns(sorted((*one.queue, one.generation, one.lease) for one in held))
    await connection.execute(STATEMENTS["leave_empty"], *rows)
    await connection.execute(STATEMENTS["release"], *rows)


def _by_endpoint(tried: Sequence[FinishedTry]) -> list[tuple[EndpointName, LeasedMessage]]:
    return [((one.leased.held.queue.merchant_id, one.leased.held.queue.endpoint_id), one.leased) for one in tried]


def _state(subscriber: Subscriber) -> str:
    """Messages for a disabled endpoint are kept, and can be resent."""
    return "open" if subscriber.state == "enabled" else "canceled"


def _try_row(one: FinishedTry) -> tuple[Any, ...]:
    queue, leased = one.leased.held.queue, one.leased
    return (queue.merchant_id, queue.endpoint_id, leased.message_id, one.try_id, leased.tries + 1, leased.resends,
            one.started_at, one.duration_ms, one.result, one.status, one.detail)  # fmt: skip


def _settled_row(one: FinishedTry) -> tuple[Any, ...]:
    leased = one.leased
    return (*leased.held.queue, leased.version, leased.subject_id, one.state, leased.tries, leased.resends,
            one.next_try_in_ms)  # fmt: skip


def _columns(rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return list(zip(*rows, strict=True))
