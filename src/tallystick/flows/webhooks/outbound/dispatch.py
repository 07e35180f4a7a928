"""From the outbox to endpoints: one delivery for each endpoint that wants the message."""

from __future__ import annotations

import asyncpg

from tallystick.record.postgres.outbox import Outbox

#: Batches of a merchant's backlog that a registration works off before it asks to be repeated.
FLUSH_BATCHES = 20


class Dispatch:
    """Any number of workers may dispatch: each message is marked by one of them, in the transaction that makes its
    deliveries, so that a crash leaves nothing half done and nothing to wait for."""

    def __init__(self, book: Outbox, batch: int) -> None:
        self._book = book
        self._batch = batch

    async def round(self) -> int:
        """One batch of the oldest. Returns how many were dispatched here."""
        return await self._dispatch(None)

    async def flush(self, merchant_id: str) -> bool:
        """Dispatch one merchant's backlog, so that an endpoint registered next does not receive it. False where that is
        too much to do at once; what was done stays done."""
        for _ in range(FLUSH_BATCHES):
            if await self._dispatch(merchant_id) == 0 and not await self._book.waiting(1, merchant_id):
                return True
        return False

    async def _dispatch(self, merchant_id: str | None) -> int:
        messages = await self._book.waiting(self._batch, merchant_id)
        if not messages:
            return 0
        # Who subscribes is asked after: an endpoint that is not seen here is younger than every one of the messages.
        subscribers = await self._book.subscribers(message.merchant_id for message in messages)
        try:
            return await self._book.dispatch(messages, subscribers)
        except (asyncpg.DeadlockDetectedError, asyncpg.SerializationError):
            return 0  # another worker is at the same messages
