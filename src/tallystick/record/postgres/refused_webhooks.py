"""Counts of rejected deliveries: by provider, account, reason and hour, of all processes together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import asyncpg
from msgspec import Struct

from tallystick.kit.clock import Clock
from tallystick.record.postgres import sql

STATEMENTS: Final = sql.load("refusals.sql")

#: Counts are kept for 30 days: long enough to compare an attack, or a forgotten secret, with last month.
KEEP_HOURS: Final = 30 * 24

#: (provider, account, reason, hour in UTC)
RejectedDeliverySlot = tuple[str, str, str, datetime]


class RefusedWebhooks(Struct, frozen=True, kw_only=True):
    """How many deliveries were rejected for one reason in the hour that begins at ``hour``."""

    provider: str
    account: str
    reason: str
    hour: datetime
    count: int


class RejectedDeliveryCounts:
    """Reads and writes over a pool of connections. They raise what asyncpg raises."""

    def __init__(self, pool: asyncpg.Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    async def add(self, counts: Mapping[RejectedDeliverySlot, int]) -> None:
        """Add to the stored counts. Rows are in one order, so that processes wait for each other and do not
        deadlock."""
        rows = [(*slot, number) for slot, number in sorted(counts.items())]
        await self._pool.execute(STATEMENTS["count_refusals"], *zip(*rows, strict=True))

    async def forget(self) -> None:
        """Delete counts older than KEEP_HOURS."""
        await self._pool.execute(STATEMENTS["forget_refusals"], KEEP_HOURS, self._clock.shift_ms)

    async def of_last(self, hours: int) -> Sequence[RefusedWebhooks]:
        """The counts of the last ``hours`` hours, newest first."""
        records = await self._pool.fetch(STATEMENTS["refusals"], hours, self._clock.shift_ms)
        return [
            RefusedWebhooks(provider=row[0], account=row[1], reason=row[2], hour=row[3], count=row[4])
            for row in records
        ]
