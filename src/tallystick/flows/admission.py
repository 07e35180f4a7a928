"""How many flows a process has in flight, and what is shed first."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from functools import partial
from typing import Any, TypeVar

from tallystick.kit.fair_shares import FairShares

Result = TypeVar("Result")


class InFlight:
    """Flows in flight, of all merchants: none of them can take the whole limit. Each runs in its own task: a client
    that disconnects cancels nothing."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._shares = FairShares(limit)
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def count(self) -> int:
        """How many are in flight."""
        return len(self._tasks)

    def has_room(self, share: float = 1.0) -> bool:
        """Whether anything may start that uses up to ``share``, a part of the limit."""
        return len(self._tasks) < self._limit * share

    def has_room_for(self, merchant_id: str, share: float) -> bool:
        """Whether a new flow of a merchant may start; ``share`` is the part of the limit that its kind may use."""
        return self._shares.has_room(merchant_id, part=share)

    async def run(self, merchant_id: str, flow: Coroutine[Any, Any, Result]) -> Result:
        """Run ``flow`` to its end, even if the caller goes away."""
        task = asyncio.create_task(flow)
        self._tasks.add(task)
        self._shares.add(merchant_id)
        task.add_done_callback(partial(self._done, merchant_id))
        return await asyncio.shield(task)

    def _done(self, merchant_id: str, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        self._shares.give_back(merchant_id)
        if not task.cancelled():
            task.exception()  # retrieved: the caller may have gone, and recovery has the attempt

    async def drain(self, timeout_ms: int) -> int:
        """Wait for all flows. Returns the number that did not end in time; recovery finishes them."""
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=timeout_ms / 1000)
        return len(self._tasks)
