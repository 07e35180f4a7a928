"""What each process says of the clocks that it compares with its host's. Told on the database's clock."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import asyncpg
from msgspec import Struct

from tallystick.record.postgres import sql
from tallystick.record.postgres.provider_circuits import GONE_AFTER_MS
from tallystick.record.postgres.structs import structs_of

_STATEMENTS: Final = sql.load("process_clocks.sql")


class ToldClock(Struct, frozen=True, kw_only=True):
    """One clock beside a process's own. ``skew_ms``: its own less theirs, give or take ``uncertainty_ms``."""

    clock: str
    skew_ms: int
    uncertainty_ms: int
    beyond_margin: bool


class ClockApart(Struct, frozen=True, kw_only=True):
    """One clock that is beyond the margin for a process on ``host``."""

    clock: str
    host: str
    skew_ms: int
    uncertainty_ms: int


async def tell_clocks(
    pool: asyncpg.Pool, process_id: str, host: str, told: Sequence[ToldClock], within_s: float
) -> None:
    """Keep what a process says, and forget processes that are gone. Raises TimeoutError, and what asyncpg raises."""
    columns = [[getattr(each, name) for each in told] for name in ToldClock.__struct_fields__]
    async with asyncio.timeout(within_s):
        await pool.execute(_STATEMENTS["tell_clocks"], process_id, host, *columns)
        await pool.execute(_STATEMENTS["forget_clocks"], GONE_AFTER_MS)


async def leave_clocks(pool: asyncpg.Pool, process_id: str, within_s: float) -> None:
    """Forget what a process said. Raises TimeoutError, and what asyncpg raises."""
    async with asyncio.timeout(within_s):
        await pool.execute(_STATEMENTS["leave_clocks"], process_id)


async def read_clocks_apart(pool: asyncpg.Pool, within_s: float) -> list[ClockApart]:
    """What processes that run find beyond the margin, by clock and host. Raises TimeoutError, and what asyncpg
    raises."""
    async with asyncio.timeout(within_s):
        return structs_of(await pool.fetch(_STATEMENTS["clocks_apart"], GONE_AFTER_MS), ClockApart)
