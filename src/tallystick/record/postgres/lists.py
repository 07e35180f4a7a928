"""The lists of what belongs to a merchant, page by page. All from the primary, as other reads are."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, cast

import asyncpg
from msgspec import Struct

from tallystick.domain.kinds import REFUND_KIND
from tallystick.domain.list_filters import EventFilter, MemberFilter, MessageFilter
from tallystick.domain.subjects import Dispute, Refund
from tallystick.kit.clock import Clock
from tallystick.record.postgres import sql
from tallystick.record.postgres.list_pages import Page, Position, event_page, member_page, message_page
from tallystick.record.postgres.message_bodies import filled_bodies
from tallystick.record.postgres.reads import dispute_of, refund_of
from tallystick.record.postgres.structs import unchecked_structs

LISTS: Final = sql.load("lists.sql")


class ListedEvent(Struct, frozen=True, kw_only=True):
    """A provider's event in a list."""

    event_id: str
    provider: str
    type: str
    state: str
    detail: str | None
    received_at: datetime
    tries: int
    replays: int
    payment_id: str | None


class ListedMessage(Struct, frozen=True, kw_only=True):
    """A message that was dispatched. ``body``: the bytes that are sent, in the version ``api_version``, as stored."""

    message_id: str
    type: str
    stream_id: str
    version: int
    at: datetime
    body: bytes
    api_version: str | None


class Members(Struct, frozen=True, kw_only=True):
    """Ids of what belongs to a payment, newest first."""

    refunds: list[str]
    disputes: list[str]


_REFUND_ID: Final = f"{REFUND_KIND.id_prefix}_"


class Lists:
    """Pages over a pool of connections. They raise what asyncpg raises, and ValueError for a filter with faults."""

    def __init__(self, pool: asyncpg.Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    async def refunds(
        self, merchant_id: str, wanted: MemberFilter, *, before: Position | None, limit: int
    ) -> list[tuple[Refund, bool]]:
        """Refunds, newest first, each with whether it is in doubt."""
        found = await self._fetch(member_page("refunds", merchant_id, wanted, before, limit))
        refunds = [refund_of(row) for row in found]
        payments = sorted({refund.payment_id for refund in refunds})
        doubts = await self._pool.fetch(LISTS["refunds_in_doubt"], merchant_id, payments, self._clock.shift_ms)
        in_doubt = {row["refund_id"] for row in doubts}
        return [(refund, refund.refund_id in in_doubt) for refund in refunds]

    async def disputes(
        self, merchant_id: str, wanted: MemberFilter, *, before: Position | None, limit: int
    ) -> list[Dispute]:
        """Disputes, newest first."""
        return [
            dispute_of(row) for row in await self._fetch(member_page("disputes", merchant_id, wanted, before, limit))
        ]

    async def members(self, merchant_id: str, payment_ids: Sequence[str], limit: int) -> dict[str, Members]:
        """The newest ``limit`` refunds and disputes of each of these payments."""
        found = {payment_id: Members(refunds=[], disputes=[]) for payment_id in payment_ids}
        for payment_id, member_id in await self._pool.fetch(LISTS["members"], merchant_id, list(payment_ids), limit):
            of = found[payment_id]
            (of.refunds if member_id.startswith(_REFUND_ID) else of.disputes).append(member_id)
        return found

    async def events(
        self, merchant_id: str, wanted: EventFilter, *, before: Position | None, limit: int
    ) -> list[ListedEvent]:
        """Providers' events, newest first."""
        found = await self._fetch(event_page(merchant_id, wanted, before, limit))
        return unchecked_structs(found, ListedEvent)

    async def messages(
        self, merchant_id: str, wanted: MessageFilter, *, after: Position | None, limit: int
    ) -> list[ListedMessage]:
        """Messages that were dispatched, oldest first."""
        rows = await self._fetch(message_page(merchant_id, wanted, after, limit))
        bodies = await filled_bodies(self._pool, [(merchant_id, row) for row in rows])
        return [
            ListedMessage(
                message_id=row["message_id"],
                type=row["type"],
                stream_id=row["stream_id"],
                version=row["version"],
                at=row["at"],
                body=body,
                api_version=row["api_version"],
            )
            for row, body in zip(rows, bodies, strict=True)
        ]

    async def messages_as_of(self) -> datetime:
        """What was written until then was dispatched, whoever's it is. Ask before the list, which then has it all."""
        return cast("datetime", await self._pool.fetchval(LISTS["messages_as_of"], self._clock.shift_ms))

    async def events_as_of(self) -> datetime:
        """Events that came until then were processed once at least, whoever's they are. Ask before what they change."""
        return cast("datetime", await self._pool.fetchval(LISTS["events_as_of"], self._clock.shift_ms))

    async def _fetch(self, page: Page) -> list[asyncpg.Record]:
        statement, parameters = page
        return list(await self._pool.fetch(LISTS[statement], *parameters))
