"""Results of tries, written in batches: while one batch is being written the next one collects."""

from __future__ import annotations

import asyncio
from typing import Final

from tallystick.kit.logs import get_logger
from tallystick.record.postgres.outage import Outage
from tallystick.record.postgres.outbox import FinishedTry, Outbox

log = get_logger("tallystick.flows.webhooks.outbound.results")

#: Rows in one transaction: larger ones gain little and take longer.
BATCH: Final = 200

#: A message whose result cannot be written is sent again, so it is worth waiting for a database that restarts.
PAUSES_S: Final = (0.2, 1.0, 3.0)


class ResultWriter:
    """Writes results. Each caller waits until its own is durable."""

    def __init__(self, book: Outbox, outage: Outage) -> None:
        self._book = book
        self._outage = outage
        self._waiting: list[tuple[FinishedTry, asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None

    async def record(self, tried: FinishedTry) -> None:
        """Write one result. Raises what the database raises; the queue's lease then expires."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((tried, future))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write())
        await future

    async def _write(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
            error: Exception | None = None
            try:
                await self._persist([tried for tried, _ in batch])
            except Exception as raised:
                error = raised
            for _, future in batch:
                if future.done():  # its caller was cancelled
                    continue
                if error is None:
                    future.set_result(None)
                else:
                    future.set_exception(error)

    async def _persist(self, tried: list[FinishedTry]) -> None:
        for pause_s in PAUSES_S:
            try:
                return await self._book.record(tried)
            except Exception as error:  # database unavailable, or a deadlock: writing again is idempotent
                if not self._outage.failed("results of webhooks", error):
                    log.warning("results of webhooks not written yet", error=type(error).__name__, results=len(tried))
                await asyncio.sleep(pause_s)
        return await self._book.record(tried)
