"""Counts by hour, of all processes together: what several tables have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import ClassVar, Final, Generic, TypeVar

import asyncpg
from msgspec import Struct

from tallystick.kit.clock import Clock
from tallystick.record.postgres.structs import structs_of

#: Counts are kept for 30 days: long enough to compare an attack, a forgotten secret or a provider's release with last
#: month.
KEEP_HOURS: Final = 30 * 24

#: Three names, and the hour in UTC.
Slot = tuple[str, str, str, datetime]

Row = TypeVar("Row", bound=Struct)


class HourBook(Generic[Row]):
    """Reads and writes over a pool of connections. They raise what asyncpg raises. A table's own class names its
    statements and the struct of its rows."""

    ADD: ClassVar[str]
    FORGET: ClassVar[str]
    READ: ClassVar[str]
    row: type[Row]

    def __init__(self, pool: asyncpg.Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    async def add(self, counts: Mapping[Slot, int]) -> None:
        """Add to the stored counts. Rows are in one order, so that processes wait for each other and do not
        deadlock."""
        rows = [(*slot, number) for slot, number in sorted(counts.items())]
        await self._pool.execute(self.ADD, *zip(*rows, strict=True))

    async def forget(self) -> None:
        """Delete counts older than KEEP_HOURS."""
        await self._pool.execute(self.FORGET, KEEP_HOURS, self._clock.shift_ms)

    async def of_last(self, hours: int) -> Sequence[Row]:
        """The counts of the last ``hours`` hours, newest first."""
        return structs_of(await self._pool.fetch(self.READ, hours, self._clock.shift_ms), self.row)
