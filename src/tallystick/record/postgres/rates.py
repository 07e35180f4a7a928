"""Counts by the minute, of all processes together; and when releases began to work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, cast

import asyncpg
from msgspec import Struct

from tallystick.domain.rates import RateName
from tallystick.kit.clock import Clock
from tallystick.record.postgres import sql
from tallystick.record.postgres.structs import structs_of

STATEMENTS: Final = sql.load("numbers.sql")

#: Minutes are kept for eight days: a day is compared with the one before, and the console shows a week.
KEEP_MINUTES: Final = 8 * 24 * 60


class Release(Struct, frozen=True, kw_only=True):
    """When a release began to work on this record: an operator marked it under a name (``version``), or a process of
    another one than before began."""

    kind: str
    version: str | None
    process_version: str
    at: datetime

    @property
    def name(self) -> str:
        """What people call it."""
        return self.version or self.process_version


class RateBook:
    """Reads and writes over a pool of connections. They raise what asyncpg raises."""

    def __init__(self, pool: asyncpg.Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    async def add(self, counts: Mapping[RateName, int]) -> None:
        """Add to the counts of this minute. Rows are in one order, so that processes wait for each other and do not
        deadlock."""
        rows = sorted(counts.items())
        minute = self._clock.now().replace(second=0, microsecond=0)
        await self._pool.execute(STATEMENTS["add_rates"], *zip(*rows, strict=True), minute)

    async def forget(self) -> None:
        """Delete minutes older than KEEP_MINUTES."""
        await self._pool.execute(STATEMENTS["forget_rates"], self._clock.now() - timedelta(minutes=KEEP_MINUTES))

    async def between(self, since: datetime, until: datetime) -> dict[RateName, int]:
        """The counts of the minutes that began from ``since`` on and before ``until``."""
        rows = await self._pool.fetch(STATEMENTS["rates_between"], since, until)
        return {cast(RateName, row["what"]): int(row["n"]) for row in rows}

    async def newest(self, what: RateName, since: datetime) -> tuple[int, datetime] | None:
        """How many of these were counted since then, and in which minute the newest; None where none were."""
        row = await self._pool.fetchrow(STATEMENTS["newest_rate"], what, since)
        return None if row is None or row["minute"] is None else (int(row["n"]), row["minute"])

    async def releases(self, since: datetime, limit: int) -> Sequence[Release]:
        """Releases from then on, the newest first."""
        return structs_of(await self._pool.fetch(STATEMENTS["releases"], since, limit), Release)
