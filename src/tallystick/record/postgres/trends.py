"""What the platform did and what waited, by the minute; and the filters that operators keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import asyncpg
from msgspec import Struct

from tallystick.kit.clock import Clock
from tallystick.record.postgres import sql
from tallystick.record.postgres.structs import structs_of

STATEMENTS: Final = sql.load("trends.sql")

#: Minutes are kept for eight days: a week is shown with the day before it.
KEEP_MINUTES: Final = 8 * 24 * 60

#: The bound of what took longer than the last bound.
BEYOND: Final = 2**31 - 1

#: How often, by the longest time in milliseconds that it took.
ByBound = Mapping[int, int]


class Step(Struct, frozen=True, kw_only=True):
    """One value of a trend: ``step`` is when its span of time begins."""

    what: str
    step: datetime
    value: int


class SavedFilter(Struct, frozen=True, kw_only=True):
    """A filter of a list, as it stands in an address."""

    name: str
    query: str


class TrendBook:
    """Reads and writes over a pool of connections. They raise what asyncpg raises."""

    def __init__(self, pool: asyncpg.Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    async def add_latencies(self, counts: Mapping[tuple[str, int], int]) -> None:
        """Add to the counts of this minute, by (what, bound in ms). Rows are in one order, so that processes wait for
        each other and do not deadlock."""
        rows = sorted((what, bound, n) for (what, bound), n in counts.items())
        await self._pool.execute(STATEMENTS["add_latencies"], *zip(*rows, strict=True), self._minute())

    async def keep_samples(self, values: Mapping[str, int]) -> None:
        """How much waits in this minute; the first word of a minute stands. Forgets minutes older than KEEP_MINUTES."""
        rows = sorted(values.items())
        await self._pool.execute(STATEMENTS["keep_samples"], *zip(*rows, strict=True), self._minute())
        oldest = self._clock.now() - timedelta(minutes=KEEP_MINUTES)
        await self._pool.execute(STATEMENTS["forget_samples"], oldest)
        await self._pool.execute(STATEMENTS["forget_latencies"], oldest)

    async def latencies_since(self, since: datetime) -> dict[str, ByBound]:
        """What took how long, from then on."""
        found: dict[str, dict[int, int]] = {}
        for row in await self._pool.fetch(STATEMENTS["latencies_since"], since):
            found.setdefault(row["what"], {})[row["bound_ms"]] = row["n"]
        return dict(found)

    async def latency_steps(self, what: str, since: datetime, step_s: int) -> dict[datetime, ByBound]:
        """The same of one thing, step by step."""
        found: dict[datetime, dict[int, int]] = {}
        for row in await self._pool.fetch(STATEMENTS["latency_steps"], what, since, step_s):
            found.setdefault(row["step"], {})[row["bound_ms"]] = row["n"]
        return dict(found)

    async def samples(self, whats: Sequence[str], since: datetime, step_s: int) -> Sequence[Step]:
        """The most that waited in each step."""
        return structs_of(await self._pool.fetch(STATEMENTS["sample_steps"], list(whats), since, step_s), Step)

    async def rates(self, whats: Sequence[str], since: datetime, step_s: int) -> Sequence[Step]:
        """How often it happened in each step."""
        return structs_of(await self._pool.fetch(STATEMENTS["rate_steps"], list(whats), since, step_s), Step)

    async def filters(self, operator: str, of_list: str) -> Sequence[SavedFilter]:
        """What an operator keeps for a list, by name."""
        return structs_of(await self._pool.fetch(STATEMENTS["filters"], operator, of_list), SavedFilter)

    async def save_filter(self, operator: str, of_list: str, saved: SavedFilter) -> None:
        """Keep it; one of the same name is replaced."""
        values = (operator, of_list, saved.name, saved.query, self._clock.now())
        await self._pool.execute(STATEMENTS["save_filter"], *values)

    async def forget_filter(self, operator: str, of_list: str, name: str) -> None:
        """Delete it."""
        await self._pool.execute(STATEMENTS["forget_filter"], operator, of_list, name)

    def _minute(self) -> datetime:
        return self._clock.now().replace(second=0, microsecond=0)
