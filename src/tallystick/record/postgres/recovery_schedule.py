"""Recovery's schedule: what is due, its leases, and when to look again. Bookkeeping only: the state of an attempt
changes only by the journal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import asyncpg
from msgspec import Struct

from tallystick.kit.clock import Clock
from tallystick.record.postgres import sql

STATEMENTS: Final = sql.load("recovery.sql")

#: Before everything.
_BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)


class DueAttempt(Struct, frozen=True):
    """A due attempt, leased to us. ``checks`` counts the lookups since its state last changed."""

    merchant_id: str
    payment_id: str
    attempt_id: str
    checks: int


class DueDeadline(Struct, frozen=True):
    """An authorization with a due deadline, leased to us."""

    merchant_id: str
    payment_id: str
    checks: int


class RecoverySchedule:
    """Leases over the database: any number of workers share it."""

    def __init__(self, pool: asyncpg.Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    async def lease_due(self, limit: int, lease_ms: int, accounts: Sequence[str] | None = None) -> list[DueAttempt]:
        """Lease up to ``limit`` due attempts of these accounts (``provider/account``; None: all); each belongs to one
        worker until its lease ends."""
        seen = await self._pool.fetch(STATEMENTS["due"], limit, self._clock.shift_ms, accounts)
        if not seen:
            return []
        columns = list(zip(*(tuple(record) for record in seen), strict=True))
        taken = await self._pool.fetch(STATEMENTS["lease"], *columns, lease_ms, self._clock.shift_ms)
        return [DueAttempt(*record) for record in taken]

    async def look_again(self, due: DueAttempt, version: int, in_ms: int) -> None:
        """Nothing new: look again later, and end the lease."""
        await self._later("look_again", due, version, in_ms)

    async def wait(self, due: DueAttempt, version: int, in_ms: int) -> None:
        """The provider may not be asked now: look later, and end the lease. It counts as no look-up."""
        await self._later("wait", due, version, in_ms)

    async def _later(self, statement: str, due: DueAttempt, version: int, in_ms: int) -> None:
        await self._pool.execute(
            STATEMENTS[statement],
            due.merchant_id,
            due.payment_id,
            due.attempt_id,
            version,
            in_ms,
            self._clock.shift_ms,
        )

    async def lease_deadlines(
        self, limit: int, lease_ms: int, accounts: Sequence[str] | None = None
    ) -> list[DueDeadline]:
        """Lease up to ``limit`` authorizations of these accounts (None: all) whose deadline is due."""
        seen = await self._pool.fetch(STATEMENTS["due_deadlines"], limit, self._clock.shift_ms, accounts)
        if not seen:
            return []
        columns = list(zip(*(tuple(record) for record in seen), strict=True))
        taken = await self._pool.fetch(STATEMENTS["lease_deadlines"], *columns, lease_ms, self._clock.shift_ms)
        return [DueDeadline(*tuple(record)[:3]) for record in taken]

    async def waiting(self, accounts: Sequence[str], due_for_ms: int) -> list[tuple[str, str, int]]:
        """(provider, account, count) of attempts and deadlines of other accounts that are due for so long."""
        records = await self._pool.fetch(STATEMENTS["waiting"], accounts, due_for_ms, self._clock.shift_ms)
        return [(record["provider"], record["account"], record["waiting"]) for record in records]

    async def move_deadline(self, due: DueDeadline, in_ms: int) -> None:
        """Look at the authorization again later."""
        await self._pool.execute(
            STATEMENTS["move_deadline"], due.merchant_id, due.payment_id, in_ms, self._clock.shift_ms
        )

    async def drop_deadline(self, due: DueDeadline) -> None:
        """The payment has moved on."""
        await self._pool.execute(STATEMENTS["drop_deadline"], due.merchant_id, due.payment_id, self._clock.shift_ms)

    async def parked(
        self, merchant_id: str | None, limit: int, after: tuple[datetime, str] | None = None
    ) -> Sequence[asyncpg.Record]:
        """The in-doubt list, oldest first, after a position: when an attempt was parked, and its id."""
        since = after or (_BEGINNING, "")
        return await self._pool.fetch(STATEMENTS["parked"], merchant_id, limit, self._clock.shift_ms, *since)

    async def attempt(self, attempt_id: str) -> asyncpg.Record | None:
        """One attempt by its id alone."""
        return await self._pool.fetchrow(STATEMENTS["attempt_by_id"], attempt_id)
