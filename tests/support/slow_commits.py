"""A pool whose commits a test holds back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any


class SlowCommits:
    """A pool whose transactions wait before COMMIT until they may go on."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self.waiting = asyncio.Event()
        self.go_on = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Any]:
        async with self._pool.acquire() as connection, connection.transaction():
            yield _InTransaction(connection)
            self.waiting.set()
            await self.go_on.wait()


class _InTransaction:
    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        yield
