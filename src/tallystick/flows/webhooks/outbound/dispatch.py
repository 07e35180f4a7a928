"""From the outbox to endpoints: one delivery for each endpoint that subscribes to the message."""

from __future__ import annotations

import asyncpg

from tallystick.record.postgres.outbox import Outbox

#: Batches of a merchant's backlog that one registration dispatches; beyond it the client has to repeat the request.
FLUSH_BATCHES = 20


class Dispatch:
    """Any number of workers may dispatch: one of them marks each message, in the transaction that creates its
    deliveries, so a crash leaves nothing half done."""

    def __init__(self, book: Outbox, batch: int) -> None:
        self._book = book
        self._batch = batch

    async def round(self) -> int:
        """Dispatch one batch of the oldest messages. Returns how many."""
        return await self._dispatch(None)

    async def flush(self, merchant_id: str) -> bool:
        """Dispatch one merchant's backlog, so that an endpoint registered next does not receive it. False if the
        backlog is too long for one call; what was dispatched stays dispatched."""
        for _ in range(FLUSH_BATCHES):
            if await self._dispatch(merchant_id) == 0 and not await self._book.waiting(1, merchant_id):
                return True
        return False

    async def _dispatch(self, merchant_id: str | None) -> int:
        messages = await self._book.waiting(self._batch, merchant_id)
        if not messages:
            return 0
        # Subscribers are read after the messages: an endpoint that is missing here is younger than all of them.
        subscribers = await self._book.subscribers(message.merchant_id for message in messages)
        try:
            return await self._book.dispatch(messages, subscribers)
        except (asyncpg.DeadlockDetectedError, asyncpg.SerializationError):
            return 0  # another worker dispatches the same messages
