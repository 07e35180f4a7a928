"""How many flows a process has in flight, and what is shed first."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


class InFlight:
    """Flows in flight. Each runs in its own task: a client that disconnects cancels nothing."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._tasks: set[asyncio.Task[Any]] = set()

    def has_room(self, share: float = 1.0) -> bool:
        """Whether a new flow may start; ``share`` is the part of the limit that it may use."""
        return len(self._tasks) < self._limit * share

    async def run(self, flow: Coroutine[Any, Any, Result]) -> Result:
        """Run ``flow`` to its end, even if the caller goes away."""
        task = asyncio.create_task(flow)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return await asyncio.shield(task)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # retrieved: the caller may have gone, and recovery has the attempt

    async def drain(self, timeout_ms: int) -> int:
        """Wait for all flows. Returns the number that did not end in time; recovery finishes them."""
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=timeout_ms / 1000)
        return len(self._tasks)
