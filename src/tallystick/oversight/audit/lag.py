"""How far sealing, and copying heads, are behind: for numbers and alerts."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, cast

import asyncpg
from msgspec import Struct

from tallystick.kit.clock import Clock
from tallystick.oversight.audit.anchors import last_outside
from tallystick.oversight.audit.head_sender import place_names
from tallystick.record.postgres.audit_rows import AuditRows
from tallystick.settings.load import Settings

#: A sealer takes the oldest first, so what waits begins near the newest checkpoint, or a good way before it where it
#: catches up. Each look goes further back, and is needed only where the one before has something at its very beginning:
#: to ask for the leaf of each change of two minutes is a second of the database's where payments are many. What is
#: later than the last is not looked at, so that a look costs no more where sealing has stopped for long.
_LOOKED_BACK: Final = (timedelta(seconds=15), timedelta(minutes=2))
_AT_ITS_BEGINNING: Final = timedelta(seconds=5)
_LOOKED_FORWARD: Final = timedelta(minutes=2)


class SealingLag(Struct, frozen=True, kw_only=True):
    """In ms. ``sealing_ms``: the age of the oldest change that is not sealed. ``copying_ms``: since when a checkpoint
    is not outside, at the place that is furthest behind; None without one, -1 where a directory cannot be read."""

    sealing_ms: int
    copying_ms: int | None


async def read_lag(pool: asyncpg.Pool, clock: Clock, settings: Settings) -> SealingLag | None:
    """None where sealing is off, or has not begun. Raises what the database raises."""
    if not settings.audit_sealing:
        return None
    now = clock.now()
    async with pool.acquire() as proxy:
        rows = AuditRows(cast(asyncpg.Connection, proxy))
        newest = await rows.last_checkpoint()
        if newest is None:
            return None
        oldest = await _oldest_unsealed(rows, newest.sealed_at)
        copying_ms = await _copying_ms(rows, settings, now)
    return SealingLag(sealing_ms=0 if oldest is None else _ms(now - oldest), copying_ms=copying_ms)


async def _oldest_unsealed(rows: AuditRows, sealed_at: datetime) -> datetime | None:
    """The time of the oldest change near the newest checkpoint that is not sealed."""
    oldest: datetime | None = None
    for back in _LOOKED_BACK:
        begin = sealed_at - back
        oldest = await rows.oldest_unsealed(begin, sealed_at + _LOOKED_FORWARD)
        if oldest is None or oldest > begin + _AT_ITS_BEGINNING:
            break
    return oldest


async def _copying_ms(rows: AuditRows, settings: Settings, now: datetime) -> int | None:
    reached = [(await rows.anchored(name))[0] for name in place_names(settings)]
    if settings.audit_heads_directory is not None:
        directory = Path(settings.audit_heads_directory).expanduser()
        try:
            reached.append(await asyncio.to_thread(last_outside, directory))
        except OSError:
            return -1
    if not reached:
        return None
    waiting = await rows.checkpoint_after(min(reached))
    return 0 if waiting is None else _ms(now - waiting)


def _ms(age: timedelta) -> int:
    return max(0, int(age / timedelta(milliseconds=1)))
