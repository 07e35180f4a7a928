"""What an operator reads across all merchants."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from datetime import datetime
from typing import Final, Literal

import asyncpg
from msgspec import Struct

from tallystick.kit.clock import Clock
from tallystick.kit.ids import id_floor
from tallystick.record.postgres import sql
from tallystick.record.postgres.lists import ListedEvent
from tallystick.record.postgres.structs import struct_of, structs_of

STATEMENTS: Final = sql.load("operators.sql")

#: Before and after all ids of events, in every collation.
BELOW_EVERY_EVENT: Final = ""
ABOVE_EVERY_EVENT: Final = "evt_g"

#: Events read at a time.
PAGE: Final = 1_000

#: What has an owner, by the names of the statements.
Owned = Literal["payment", "refund", "dispute", "endpoint"]


class MerchantRow(Struct, frozen=True, kw_only=True):
    """A merchant. ``allowed_providers`` None: all. ``keys``: how many are not revoked. ``operator``: it has, or had,
    keys of operators, and stands for no merchant."""

    merchant_id: str
    default_provider: str | None
    allowed_providers: list[str] | None
    keys: int
    operator: bool
    created_at: datetime


class EventRow(ListedEvent, frozen=True, kw_only=True):
    """A provider's event of any merchant. ``merchant_id`` None: not known yet."""

    merchant_id: str | None


class Backlog(Struct, frozen=True, kw_only=True):
    """Work that waits. ``longest_ms``: how long the one that has waited longest has been due, negative before it is;
    or, where a person decides, how long it has waited. None where nothing waits, or no time is kept."""

    what: str
    waiting: int
    longest_ms: int | None


class EndpointCounts(Struct, frozen=True, kw_only=True):
    """Webhook endpoints of all merchants. ``failing``: enabled, and the last delivery failed. ``given_up``: disabled
    for one of the reasons that were asked for."""

    enabled: int
    failing: int
    given_up: int


class SilentEndpoint(Struct, frozen=True, kw_only=True):
    """A webhook endpoint that messages do not reach. ``disabled_reason``: None while it is enabled and fails."""

    merchant_id: str
    endpoint_id: str
    url: str
    state: str
    disabled_reason: str | None
    failing_since: datetime | None


class OperatorReads:
    """Reads over a pool of connections. They raise what asyncpg raises."""

    def __init__(self, pool: asyncpg.Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    async def merchants(self) -> list[MerchantRow]:
        """All of them, by id."""
        return structs_of(await self._pool.fetch(STATEMENTS["merchants"]), MerchantRow)

    async def silent_endpoints(
        self, reasons: Sequence[str], merchants: Collection[str] | None, limit: int
    ) -> list[SilentEndpoint]:
        """Those that fail, or were disabled for one of these reasons; of these merchants, None is all."""
        seen = None if merchants is None else sorted(merchants)
        rows = await self._pool.fetch(STATEMENTS["silent_endpoints"], list(reasons), seen, limit)
        return structs_of(rows, SilentEndpoint)

    async def owner_of(self, what: Owned, subject_id: str, merchants: Sequence[str]) -> str | None:
        """Which of these merchants has it, or None."""
        owner: str | None = await self._pool.fetchval(STATEMENTS[f"owner_of_{what}"], list(merchants), subject_id)
        return owner

    async def latest_events(
        self, since: datetime | None, until: datetime | None, limit: int, *, before: str | None = None
    ) -> list[EventRow]:
        """Events of all merchants and of none, newest first; those below the id ``before``."""
        until_id = ABOVE_EVERY_EVENT if until is None else id_floor("evt", until)
        bounds = (
            BELOW_EVERY_EVENT if since is None else id_floor("evt", since),
            until_id if before is None else min(until_id, before),
        )
        return structs_of(await self._pool.fetch(STATEMENTS["latest_events"], *bounds, limit), EventRow)

    async def events_after(self, after: str) -> AsyncIterator[EventRow]:
        """Every event with an id above this one, oldest first."""
        while True:
            rows = structs_of(await self._pool.fetch(STATEMENTS["events_after"], after, PAGE), EventRow)
            for row in rows:
                yield row
            if len(rows) < PAGE:
                return
            after = rows[-1].event_id

    async def backlog(self) -> list[Backlog]:
        """What waits, in the order of a payment's way."""
        return structs_of(await self._pool.fetch(STATEMENTS["backlog"], self._clock.shift_ms), Backlog)

    async def endpoints(self, reasons: Sequence[str]) -> EndpointCounts:
        """Counts of webhook endpoints; ``reasons`` are why one was given up."""
        row = await self._pool.fetchrow(STATEMENTS["endpoints"], list(reasons))
        assert row is not None, "an aggregate has a row"
        return struct_of(row, EndpointCounts)
