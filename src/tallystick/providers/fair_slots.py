"""Connections that merchants share, and wait for."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tallystick.kit.fair_shares import FairShares


class FairSlots:
    """Slots that callers wait for. Make it inside a running event loop.

    A slot that becomes free goes to the waiting merchant that holds the fewest; among equals, and within a merchant, to
    the caller that waits longest.
    """

    def __init__(self, slots: int) -> None:
        self._shares = FairShares(slots)
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}  # in the order in which they began to wait

    @asynccontextmanager
    async def slot(self, merchant_id: str) -> AsyncIterator[None]:
        """Hold a slot; waits until there is one."""
        await self._acquire(merchant_id)
        try:
            yield
        finally:
            self._release(merchant_id)

    async def _acquire(self, merchant_id: str) -> None:
        if self._shares.take(merchant_id):  # whoever waits holds at least as many, or it would not wait
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(merchant_id, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._leave(merchant_id, turn)
            else:  # it was given the slot in the same moment
                self._release(merchant_id)
            raise

    def _leave(self, merchant_id: str, turn: asyncio.Future[None]) -> None:
        queue = self._waiting.get(merchant_id)
        if queue is not None and turn in queue:  # else a release has passed it over already
            queue.remove(turn)
            if not queue:
                del self._waiting[merchant_id]

    def _release(self, merchant_id: str) -> None:
        self._shares.give_back(merchant_id)
        while self._waiting:
            # The one that holds the fewest: where the rule refuses it, it refuses all.
            least = min(self._waiting, key=self._shares.held)
            if not self._shares.take(least):
                return
            turn = self._waiting[least].popleft()
            if not self._waiting[least]:
                del self._waiting[least]
            if turn.cancelled():  # its caller has given up, and has not run since
                self._shares.give_back(least)
            else:
                turn.set_result(None)
