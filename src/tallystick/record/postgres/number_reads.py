"""What the record says of the whole platform, for numbers and alerts: what waits, how much money, and since when."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

import asyncpg
from msgspec import Struct

from tallystick.kit.clock import Clock
from tallystick.record.postgres import sql
from tallystick.record.postgres.invariant_statements import as_list
from tallystick.record.postgres.structs import struct_of, structs_of

STATEMENTS: Final = sql.load("numbers.sql")


class UnknownOutcomes(Struct, frozen=True, kw_only=True):
    """Attempts in one currency whose outcome nobody knows. ``parked``: they wait for a person, and recovery does not
    ask any more. Amounts are in minor units; ``largest`` is that of one attempt."""

    currency: str
    parked: bool
    waiting: int
    amount: int
    oldest_at: datetime
    largest: int


class OpenItems(Struct, frozen=True, kw_only=True):
    """What keeps a clearing account of a provider from zero: how many, how much in minor units, and the oldest."""

    provider: str
    currency: str
    waiting: int
    amount: int
    oldest_at: datetime


class ClearingBalance(Struct, frozen=True, kw_only=True):
    """A clearing account over all merchants, in minor units: ``net`` is debits less credits, and ``gross`` adds up what
    merchants' accounts are away from zero, whichever way."""

    account: str
    currency: str
    merchants: int
    net: int
    gross: int


class WaitingCases(Struct, frozen=True, kw_only=True):
    """Cases of one category that are not resolved. ``unassigned``: those that nobody has taken for too long."""

    category: str
    waiting: int
    oldest_at: datetime
    unassigned: int


class DriftSum(Struct, frozen=True, kw_only=True):
    """How often a provider sent what is not read here as it was sent."""

    provider: str
    kind: str
    count: int


class Completeness(Struct, frozen=True, kw_only=True):
    """Final payments, and how many of them have all that must stand beside them."""

    final: int
    complete: int


class NumberReads:
    """Reads over a pool of connections. They raise what asyncpg raises."""

    def __init__(self, pool: asyncpg.Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    async def unknown_outcomes(self) -> Sequence[UnknownOutcomes]:
        """By currency and by who acts next."""
        return structs_of(await self._pool.fetch(STATEMENTS["unknown_outcomes"], self._clock.shift_ms), UnknownOutcomes)

    async def refunds_under_way(self) -> Sequence[OpenItems]:
        """Refunds without an outcome."""
        return structs_of(await self._pool.fetch(STATEMENTS["refunds_under_way"]), OpenItems)

    async def disputes_open(self) -> Sequence[OpenItems]:
        """Disputes that nobody has decided."""
        return structs_of(await self._pool.fetch(STATEMENTS["disputes_open"]), OpenItems)

    async def late_money_waiting(self) -> Sequence[OpenItems]:
        """Late money that nobody has decided on."""
        return structs_of(await self._pool.fetch(STATEMENTS["late_money_waiting"]), OpenItems)

    async def clearing_balances(self) -> Sequence[ClearingBalance]:
        """Every clearing account that is not at zero; reads all balances."""
        async with self._pool.acquire() as connection, connection.transaction(readonly=True):
            # Of all rows of a table it is the one good plan, and connections plan without it.
            await connection.execute("SET LOCAL enable_seqscan = on")
            return structs_of(await connection.fetch(STATEMENTS["clearing_balances"]), ClearingBalance)

    async def cases_waiting(self, unassigned_since: datetime) -> Sequence[WaitingCases]:
        """Cases that are not resolved, by category."""
        return structs_of(await self._pool.fetch(STATEMENTS["cases_waiting"], unassigned_since), WaitingCases)

    async def cases_closed(self, since: datetime) -> dict[str, int]:
        """How many cases were resolved from then on, by who closed them: rule or person."""
        rows = await self._pool.fetch(STATEMENTS["cases_closed"], since)
        return {row["closed_by"]: row["cases"] for row in rows}

    async def drift_since(self, since: datetime) -> Sequence[DriftSum]:
        """In the hours that begin from then on."""
        return structs_of(await self._pool.fetch(STATEMENTS["drift_since"], since), DriftSum)

    async def newest_settlement_files(self) -> Mapping[tuple[str, str], datetime]:
        """(provider, account) -> when its newest settlement file was imported."""
        rows = await self._pool.fetch(STATEMENTS["newest_settlement_files"])
        return {(row["provider"], row["account"]): row["imported_at"] for row in rows}

    async def payments_made(self, after: str, below: str, limit: int) -> list[tuple[str, str]]:
        """(merchant, payment) of the payments with such ids, oldest first."""
        rows = await self._pool.fetch(STATEMENTS["payments_made"], after, below, limit)
        return [(row["merchant_id"], row["payment_id"]) for row in rows]

    async def count_complete(self, minutes: Sequence[tuple[datetime, int, int]]) -> None:
        """Add (minute, final, complete) to the counts, and forget minutes that nobody asks for."""
        rows = sorted(minutes)
        await self._pool.execute(STATEMENTS["count_complete"], *zip(*rows, strict=True))

    async def forget_complete(self, before: datetime) -> None:
        """Delete the counts of minutes before that."""
        await self._pool.execute(STATEMENTS["forget_complete"], before)

    async def complete_since(self, since: datetime) -> Completeness:
        """Of the payments made from then on that have been examined."""
        row = await self._pool.fetchrow(STATEMENTS["complete_since"], since)
        assert row is not None, "an aggregate has a row"
        return struct_of(row, Completeness)

    async def examined_until(self) -> datetime | None:
        """The newest minute that was examined; None before the first."""
        newest: datetime | None = await self._pool.fetchval(STATEMENTS["examined_until"])
        return newest


async def words_beside(
    connection: asyncpg.Connection, merchant_id: str, subject_ids: Iterable[str]
) -> dict[str, list[str | None]]:
    """By change, what was said beside the steps of these subjects: of each word the event that it names, or None."""
    found: dict[str, list[str | None]] = {}
    for row in await connection.fetch(STATEMENTS["words"], merchant_id, *as_list(list(subject_ids))):
        found.setdefault(row["change_id"], []).append(row["event_id"])
    return found


async def events_routed(
    connection: asyncpg.Connection, merchant_id: str, payment_ids: Sequence[str]
) -> dict[str, set[str]]:
    """The events of providers that were routed to these payments, by payment."""
    found: dict[str, set[str]] = {}
    for row in await connection.fetch(STATEMENTS["events"], merchant_id, *as_list(payment_ids)):
        found.setdefault(row["payment_id"], set()).add(row["event_id"])
    return found


class Watch:
    """Who watches the record now: one process at a time holds the lease of that name."""

    def __init__(self, pool: asyncpg.Pool, clock: Clock, name: str, lease: str) -> None:
        self._pool = pool
        self._shift_ms = clock.shift_ms
        self._name = name
        self._lease = lease

    async def hold(self, for_ms: int) -> bool:
        """Take the lease, or renew it; False while another process has it. Raises what asyncpg raises."""
        held = await self._pool.fetchval(STATEMENTS["take_watch"], self._name, self._lease, for_ms, self._shift_ms)
        return held is not None

    async def held_until(self) -> datetime | None:
        """Until when the last holder had it, or has it; None where nobody ever had. Raises what asyncpg raises."""
        row = await self._pool.fetchrow(STATEMENTS["watched_until"], self._name)
        return None if row is None else row["lease_until"]

    async def leave(self) -> None:
        """Let another process take it at once. Raises what asyncpg raises."""
        await self._pool.execute(STATEMENTS["leave_watch"], self._name, self._lease, self._shift_ms)
