"""Counts of what providers sent that is not read here as it was sent: by provider, field, kind and hour, of all
processes together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import asyncpg
from msgspec import Struct

from tallystick.kit.clock import Clock
from tallystick.record.postgres import sql

STATEMENTS: Final = sql.load("contract_drift.sql")

#: Counts are kept for 30 days: long enough to see with which release of a provider they began.
KEEP_HOURS: Final = 30 * 24

#: (provider, field, kind, hour in UTC)
DriftSlot = tuple[str, str, str, datetime]


class DriftCount(Struct, frozen=True, kw_only=True):
    """How often a field differed in one way in the hour that begins at ``hour``."""

    provider: str
    field: str
    kind: str
    hour: datetime
    count: int


class DriftCounts:
    """Reads and writes over a pool of connections. They raise what asyncpg raises."""

    def __init__(self, pool: asyncpg.Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    async def add(self, counts: Mapping[DriftSlot, int]) -> None:
        """Add to the stored counts. Rows are in one order, so that processes wait for each other and do not
        deadlock."""
        rows = [(*slot, number) for slot, number in sorted(counts.items())]
        await self._pool.execute(STATEMENTS["count_drift"], *zip(*rows, strict=True))

    async def forget(self) -> None:
        """Delete counts older than KEEP_HOURS."""
        await self._pool.execute(STATEMENTS["forget_drift"], KEEP_HOURS, self._clock.shift_ms)

    async def of_last(self, hours: int) -> Sequence[DriftCount]:
        """The counts of the last ``hours`` hours, newest first."""
        records = await self._pool.fetch(STATEMENTS["drift"], hours, self._clock.shift_ms)
        return [DriftCount(provider=row[0], field=row[1], kind=row[2], hour=row[3], count=row[4]) for row in records]
