"""Goes through everything by pages, and reads the next page while the last one is sealed: the database works then, and
so does this process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final, cast

import asyncpg

from tallystick.record.postgres.audit_rows import KINDS, AuditRows, Thing

_Position = tuple[str, tuple[str, ...] | None]

_FIRST: Final[_Position] = (KINDS[0], None)


class PagesAhead:
    """All things, kind by kind, in the order of their keys; those that are sealed without all of their rows.
    ``rows_over``: makes what reads from a connection. Only
    the caller seals between two pages, and tells by ``sealed``."""

    def __init__(self, pool: asyncpg.Pool, rows_over: Callable[[asyncpg.Connection], AuditRows], at_once: int) -> None:
        self._pool = pool
        self._rows_over = rows_over
        self._at_once = at_once
        self._sealed: set[tuple[str, str, str]] = set()
        self._reading: asyncio.Task[tuple[list[Thing], _Position | None]] | None = self._read(_FIRST)

    def sealed(self, things: Iterable[Thing]) -> None:
        """These were sealed beside the pages: the page that is being read may not know."""
        self._sealed.update((each.kind, each.merchant_id, each.leaf_key) for each in things)

    async def next(self) -> tuple[int, list[Thing]] | None:
        """How many things the next page has, and those that are not sealed; None after the last page. Raises what the
        database raises."""
        if self._reading is None:
            return None
        things, following = await self._reading
        sealed, self._sealed = self._sealed, set()
        self._reading = None if following is None else self._read(following)
        unsealed = [
            each for each in things if each.place is None and (each.kind, each.merchant_id, each.leaf_key) not in sealed
        ]
        return len(things), unsealed

    async def stop(self) -> None:
        """Read no more."""
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await reading

    def _read(self, position: _Position) -> asyncio.Task[tuple[list[Thing], _Position | None]]:
        return asyncio.create_task(self._page(*position))

    async def _page(self, kind: str, after: tuple[str, ...] | None) -> tuple[list[Thing], _Position | None]:
        async with self._pool.acquire() as proxy, proxy.transaction():
            rows = self._rows_over(cast(asyncpg.Connection, proxy))
            await rows.in_utc()
            things, then = await rows.page(kind, after, self._at_once, None, True)
        if then is not None:
            return things, (kind, then)
        number = KINDS.index(kind) + 1
        return things, (KINDS[number], None) if number < len(KINDS) else None
