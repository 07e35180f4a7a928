"""Merchants' webhook endpoints: their secrets, and the log of deliveries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any, Final, Literal, NamedTuple, get_args

import asyncpg
from msgspec import Struct

from tallystick.domain.operator_act import OperatorAct
from tallystick.kit.clock import Clock
from tallystick.kit.ids import new_id
from tallystick.record.postgres import sql
from tallystick.record.postgres.acts import insert_act
from tallystick.record.postgres.structs import struct_of, structs_of

STATEMENTS: Final = sql.load("outbound.sql")


#: open: on its way, or its next try is due at a time that is shown. canceled: given up because the endpoint was
#: disabled, or came while it was. exhausted: every try failed.
DeliveryState = Literal["open", "delivered", "exhausted", "canceled"]
DELIVERY_STATES: Final[tuple[DeliveryState, ...]] = get_args(DeliveryState)


class EndpointRow(Struct, frozen=True, kw_only=True):
    """A merchant's endpoint as it is stored. ``event_types`` None: all types. ``api_version``: the version
    that its messages are sent in, as stored."""

    endpoint_id: str
    url: str
    description: str | None
    event_types: list[str] | None
    state: str
    disabled_reason: str | None
    disabled_at: datetime | None
    failing_since: datetime | None
    created_at: datetime
    api_version: str | None = None


class DeliveryRow(Struct, frozen=True, kw_only=True):
    """One message to one endpoint."""

    message_id: str
    type: str
    stream_id: str
    version: int
    state: DeliveryState
    tries: int
    resends: int
    next_try_at: datetime | None
    dispatched_at: datetime
    closed_at: datetime | None


class UnheardMessage(NamedTuple):
    """A message that did not arrive."""

    message_id: str
    stream_id: str


class DeliveryTry(Struct, frozen=True, kw_only=True):
    """One try at a message, or a request to resend it."""

    message_id: str
    number: int
    started_at: datetime
    duration_ms: int
    result: str
    status: int | None
    detail: str | None
    actor: str | None


class EndpointStore:
    """A merchant's endpoints over a pool of connections. They raise what asyncpg raises."""

    def __init__(self, pool: asyncpg.Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    async def register(
        self,
        merchant_id: str,
        endpoint_id: str,
        *,
        url: str,
        description: str | None,
        event_types: Sequence[str] | None,
        secret: tuple[str, bytes],
        limit: int,
        api_version: str | None,
        actor: str,
    ) -> bool:
        """A new endpoint with its (secret id, sealed secret); False if the merchant has ``limit`` endpoints or one with
        this URL. Two concurrent requests for one URL make one endpoint."""
        name = (merchant_id, endpoint_id)
        async with self._pool.acquire() as connection, connection.transaction():
            made = await connection.fetchval(
                STATEMENTS["register"], *name, url, description, event_types, limit, self._clock.shift_ms, api_version
            )
            if made is None:
                return False
            await connection.execute(STATEMENTS["insert_secret"], *name, *secret, self._clock.shift_ms)
            await self._act(connection, name, "registered", None, actor)
        return True

    async def endpoint_at(self, merchant_id: str, url: str) -> str | None:
        """The id of the merchant's endpoint with this URL."""
        found: str | None = await self._pool.fetchval(STATEMENTS["endpoint_at"], merchant_id, url)
        return found

    async def endpoints(self, merchant_id: str, endpoint_id: str | None = None) -> list[EndpointRow]:
        """A merchant's endpoints, oldest first, or only the given one."""
        return structs_of(await self._pool.fetch(STATEMENTS["endpoints"], merchant_id, endpoint_id), EndpointRow)

    async def rotate(
        self, merchant_id: str, endpoint_id: str, secret: tuple[str, bytes], overlap_ms: int, *, actor: str
    ) -> datetime:
        """A new secret signs from now on, and the earlier ones for ``overlap_ms`` more. Returns the end of the
        overlap."""
        name = (merchant_id, endpoint_id)
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(STATEMENTS["drop_secrets"], *name, self._clock.shift_ms)
            ends = await connection.fetch(STATEMENTS["retire_secrets"], *name, overlap_ms, self._clock.shift_ms)
            await connection.execute(STATEMENTS["insert_secret"], *name, *secret, self._clock.shift_ms)
            await self._act(connection, name, "secret_rotated", None, actor)
        until: datetime = max(record[0] for record in ends)
        return until

    async def disable(self, merchant_id: str, endpoint_id: str, reason: str, *, actor: str) -> bool:
        """Stop sending, and give up open deliveries. False if it was not enabled."""
        return await self._close(merchant_id, endpoint_id, ["enabled"], "disabled", reason, actor)

    async def delete(self, merchant_id: str, endpoint_id: str, *, actor: str) -> bool:
        """Delete the endpoint and its secrets. False if it does not exist."""
        return await self._close(merchant_id, endpoint_id, ["enabled", "disabled"], "deleted", None, actor)

    async def enable(self, merchant_id: str, endpoint_id: str, *, actor: str) -> bool:
        """Resume sending. False if it was not disabled."""
        name = (merchant_id, endpoint_id)
        async with self._pool.acquire() as connection, connection.transaction():
            done = await connection.fetchval(
                STATEMENTS["set_state"], *name, ["disabled"], "enabled", None, self._clock.shift_ms
            )
            if done is not None:
                await self._act(connection, name, "enabled", None, actor)
        return done is not None

    async def note_test(self, merchant_id: str, endpoint_id: str, message_id: str, *, actor: str) -> None:
        """Who asked for a test message, and which one it is."""
        await self._act(self._pool, (merchant_id, endpoint_id), "tested", message_id, actor)

    async def log(
        self, merchant_id: str, endpoint_id: str, *, state: str | None, after: tuple[datetime, str] | None, limit: int
    ) -> list[DeliveryRow]:
        """A page of deliveries, newest first, after (dispatched at, message id)."""
        position = after or (None, None)
        records = await self._pool.fetch(STATEMENTS["log"], merchant_id, endpoint_id, state, *position, limit)
        return structs_of(records, DeliveryRow)

    async def delivery(self, merchant_id: str, endpoint_id: str, message_id: str) -> DeliveryRow | None:
        """One delivery."""
        record = await self._pool.fetchrow(STATEMENTS["delivery"], merchant_id, endpoint_id, message_id)
        return None if record is None else struct_of(record, DeliveryRow)

    async def tries(
        self, merchant_id: str, endpoint_id: str, message_ids: Sequence[str], limit: int
    ) -> dict[str, list[DeliveryTry]]:
        """The latest ``limit`` tries at each message, oldest first."""
        found: dict[str, list[DeliveryTry]] = {}
        asked = [(merchant_id, endpoint_id, message_id, limit) for message_id in message_ids]
        # One round trip for all: a join would have to read every try.
        records = list(await self._pool.fetchmany(STATEMENTS["tries"], asked)) if asked else []
        records.reverse()  # oldest first, also of those that started in the same moment
        for each in structs_of(sorted(records, key=itemgetter("started_at")), DeliveryTry):
            found.setdefault(each.message_id, []).append(each)
        return found

    async def resend(
        self,
        merchant_id: str,
        endpoint_id: str,
        message_ids: Sequence[str],
        *,
        actor: str,
        states: Sequence[str] = DELIVERY_STATES,
        act_of: Callable[[int], OperatorAct] | None = None,
    ) -> int:
        """Send deliveries in these states again now, with all their tries. Returns how many. ``act_of``: makes the
        operator's act of their number, which is recorded with them; UniqueViolationError where its key is taken."""
        name = (merchant_id, endpoint_id)
        async with self._pool.acquire() as connection, connection.transaction():
            done = await connection.fetch(
                STATEMENTS["reopen"], *name, sorted(message_ids), self._clock.shift_ms, states
            )
            if done:
                queues = sorted({(*name, record["stream_id"]) for record in done})
                await connection.execute(STATEMENTS["hasten"], *zip(*queues, strict=True), self._clock.shift_ms)
                acts = [(record["message_id"], new_id("try"), record["resends"]) for record in done]
                await connection.execute(
                    STATEMENTS["record_resend"], *name, *zip(*acts, strict=True), actor, self._clock.shift_ms
                )
            if act_of is not None:
                await insert_act(connection, act_of(len(done)))
        return len(done)

    async def unheard(self, merchant_id: str, endpoint_id: str, since: datetime, limit: int) -> list[UnheardMessage]:
        """Messages dispatched since then that the endpoint did not accept, or that came while it was disabled."""
        records = await self._pool.fetch(STATEMENTS["unheard"], merchant_id, endpoint_id, since, limit)
        return [UnheardMessage(*record) for record in records]

    async def waiting_since(
        self, merchant_id: str, endpoint_id: str, since: datetime, limit: int
    ) -> list[UnheardMessage]:
        """Open messages dispatched since then that wait for their next try, or behind one of their stream that does."""
        records = await self._pool.fetch(
            STATEMENTS["waiting_since"], merchant_id, endpoint_id, since, limit, self._clock.shift_ms
        )
        return [UnheardMessage(*record) for record in records]

    async def waiting_in_streams(self, merchant_id: str, endpoint_id: str, stream_ids: Sequence[str]) -> list[str]:
        """The messages of these streams that wait for their next try."""
        records = await self._pool.fetch(
            STATEMENTS["waiting_in_streams"], merchant_id, endpoint_id, stream_ids, self._clock.shift_ms
        )
        return [record[0] for record in records]

    async def _close(
        self, merchant_id: str, endpoint_id: str, states: list[str], state: str, reason: str | None, actor: str
    ) -> bool:
        name = (merchant_id, endpoint_id)
        # In the order in which workers write: deliveries, queues, then the endpoint.
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(STATEMENTS["cancel_open"], *name, self._clock.shift_ms)
            await connection.execute(STATEMENTS["drop_queues"], *name)
            done = await connection.fetchval(
                STATEMENTS["set_state"], *name, states, state, reason, self._clock.shift_ms
            )
            if done is not None:
                if state == "deleted":
                    await connection.execute(STATEMENTS["drop_all_secrets"], *name)
                await self._act(connection, name, state, reason, actor)
        return done is not None

    async def _act(self, connection: Any, name: tuple[str, str], act: str, detail: str | None, actor: str) -> None:
        await connection.execute(
            STATEMENTS["insert_act"], *name, new_id("act"), act, detail, actor, self._clock.shift_ms
        )
