"""How often requests were repeated under their keys, of all processes together."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final, NamedTuple

import asyncpg

from tallystick.record.postgres import sql

STATEMENTS: Final = sql.load("trace.sql")

#: Merchant, idempotency key, and what the repetition got.
ReplayName = tuple[str, str, str]


class Repeated(NamedTuple):
    """How often, and from when to when."""

    number: int
    first_at: datetime
    last_at: datetime


class ReplayBook:
    """Writes over a pool of connections. It raises what asyncpg raises."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def add(self, counts: Mapping[ReplayName, Repeated]) -> None:
        """Add to the stored counts. Rows are in one order, so that processes wait for each other and do not
        deadlock."""
        rows = [(*name, *repeated) for name, repeated in sorted(counts.items())]
        await self._pool.execute(STATEMENTS["count_replays"], *zip(*rows, strict=True))
