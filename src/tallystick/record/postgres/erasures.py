"""Erasures: what was asked for, how far it is, and the statements that erase."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import asyncpg
from msgspec import Struct

from tallystick.domain.personal import places
from tallystick.record.postgres import sql
from tallystick.record.postgres.arrival_keys import ArrivalName
from tallystick.record.postgres.inbox_rows import EventName
from tallystick.record.postgres.personal import STATEMENTS
from tallystick.record.postgres.structs import structs_of

_FIND: Final = sql.load("trace_find.sql")


class Erasure(Struct, frozen=True, kw_only=True):
    """What is erased: one payment, or all payments of the merchant that were there at ``until``. ``after``: the last
    one that is erased. ``payments`` and ``events`` of providers: how many were erased."""

    merchant_id: str
    request_id: str
    payment_id: str | None
    until: datetime
    after: str
    payments: int
    events: int
    finished_at: datetime | None

    @property
    def of(self) -> str:
        """What is erased, for people."""
        return f"payment {self.payment_id} of {self.merchant_id}" if self.payment_id else f"merchant {self.merchant_id}"

    @property
    def progress(self) -> str:
        """How much of it, for people."""
        so_far = "" if self.finished_at is not None else " so far"
        return f"{self.payments:,} payments and {self.events:,} provider events{so_far}"


class KeptArrival(Struct, frozen=True, kw_only=True):
    """An arrival whose bytes can be opened, with the key of its event, and the request that erases its payment."""

    provider: str
    account: str
    provider_event_id: str
    delivery_id: str
    sealed: bytes
    raw_key: bytes | None
    erased_by: str

    @property
    def event(self) -> EventName:
        """Its event."""
        return (self.provider, self.account, self.provider_event_id)

    @property
    def name(self) -> ArrivalName:
        """Its key."""
        return (*self.event, self.delivery_id)


async def merchant_of(connection: Any, payment_id: str) -> str | None:
    """Whose a payment is."""
    found: str | None = await connection.fetchval(_FIND["merchant_of"], payment_id)
    return found


async def begin_erasure(
    connection: Any, merchant_id: str, request_id: str, payment_id: str | None, until: datetime
) -> Erasure:
    """Raises asyncpg.UniqueViolationError where it has begun."""
    await connection.execute(STATEMENTS["begin_erasure"], merchant_id, request_id, payment_id, until)
    return Erasure(
        merchant_id=merchant_id,
        request_id=request_id,
        payment_id=payment_id,
        until=until,
        after="",
        payments=0,
        events=0,
        finished_at=None,
    )


async def unfinished(connection: Any, limit: int) -> list[Erasure]:
    """The one that was approved first before the others."""
    return structs_of(await connection.fetch(STATEMENTS["unfinished"], limit), Erasure)


async def erasures(connection: Any, limit: int) -> list[Erasure]:
    """The one that was approved last first."""
    return structs_of(await connection.fetch(STATEMENTS["erasures"], limit), Erasure)


async def erasures_of(connection: Any, request_ids: Sequence[str]) -> dict[str, Erasure]:
    """Those of these requests that were approved, by request."""
    rows = await connection.fetch(STATEMENTS["erasures_of"], list(request_ids))
    return {each.request_id: each for each in structs_of(rows, Erasure)}


async def to_erase(connection: Any, of: Erasure, limit: int) -> list[str]:
    """The next payments."""
    if of.payment_id is not None:
        return [of.payment_id] if not of.after else []
    rows = await connection.fetch(STATEMENTS["to_erase"], of.merchant_id, of.after, of.until, limit)
    return [row["payment_id"] for row in rows]


async def not_moved(connection: Any, merchant_id: str, payment_ids: Sequence[str]) -> list[str]:
    """Those with rows that still have a personal value in clear."""
    rows = await connection.fetch(STATEMENTS["not_moved"], merchant_id, list(payment_ids), places().stands)
    return [row["payment_id"] for row in rows]


async def erase(connection: Any, merchant_id: str, payment_ids: Sequence[str], erased_by: str) -> int:
    """Empty the rows of these payments. Returns how many were not erased before."""
    return len(await connection.fetch(STATEMENTS["erase"], merchant_id, list(payment_ids), erased_by))


async def kept_arrivals(connection: Any, payments: Sequence[tuple[str, str, str]]) -> list[KeptArrival]:
    """What providers sent about payments: (merchant, payment, request that erases it)."""
    if not payments:
        return []
    columns = [list(column) for column in zip(*payments, strict=True)]
    return structs_of(await connection.fetch(STATEMENTS["kept_arrivals"], *columns), KeptArrival)


async def kept_unrouted(connection: Any, of: Erasure) -> list[KeptArrival]:
    """What providers sent about the merchant and no payment."""
    rows = await connection.fetch(STATEMENTS["kept_unrouted"], of.merchant_id, of.until, of.request_id)
    return structs_of(rows, KeptArrival)


async def erase_events(connection: Any, events: Mapping[EventName, str]) -> int:
    """Destroy the keys of their bytes, each with the request that erases it. Returns how many had not been."""
    if not events:
        return 0
    columns = [list(column) for column in zip(*((*name, by) for name, by in sorted(events.items())), strict=True)]
    done: str = await connection.execute(STATEMENTS["erase_events"], *columns)
    return int(done.split()[-1])


async def erase_answers(connection: Any, payments: Sequence[tuple[str, str, str]]) -> None:
    """Destroy the keys of what providers answered about payments: (merchant, payment, request that erases it)."""
    if payments:
        columns = [list(column) for column in zip(*payments, strict=True)]
        await connection.execute(STATEMENTS["erase_answers"], *columns)


async def go_on(
    connection: Any, of: Erasure, after: str, payments: int, events: int, finished_at: datetime | None
) -> bool:
    """Note how far it is. False where another process brought it further: then nothing else must be committed."""
    found = await connection.fetchval(
        STATEMENTS["go_on"], of.merchant_id, of.request_id, of.after, after, payments, events, finished_at
    )
    return found is not None


async def erased_payments(connection: asyncpg.Pool, after: tuple[str, str], limit: int) -> list[tuple[str, str, str]]:
    """(merchant, payment, request) of the next payments that are erased."""
    return [tuple(row) for row in await connection.fetch(STATEMENTS["erased_payments"], *after, limit)]
