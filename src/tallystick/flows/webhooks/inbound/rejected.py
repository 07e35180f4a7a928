"""Rejected deliveries: counted in memory, added to the record every few seconds, and sampled in the log.

No request waits for the database: while it is unavailable, counts are kept here and written later. A killed process
loses the counts of its last seconds; one whose connection is lost at the COMMIT may count them twice.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final

from tallystick.kit.clock import Clock
from tallystick.kit.log_sampling import SampledLines
from tallystick.kit.logs import get_logger
from tallystick.kit.rounds import Rounds
from tallystick.record.postgres.refused_webhooks import (
    KEEP_HOURS,
    RefusedWebhooks,
    RejectedDeliveryCounts,
    RejectedDeliverySlot,
)

__all__ = ["FLUSH_TIMEOUT_S", "KEEP_HOURS", "UNKNOWN", "RefusedWebhooks", "RejectedDeliveries"]

log = get_logger("tallystick.flows.webhooks.inbound.rejected")

#: Between two writes: a flood of any size is one small statement in this time.
FLUSH_INTERVAL_MS: Final = 5_000

#: A database that takes longer is unavailable; the counts wait for the next write.
FLUSH_TIMEOUT_S: Final = 5.0

#: Replaces unknown names from the path: anyone can send any name, and counts must not grow with them.
UNKNOWN: Final = "(unknown)"


class RejectedDeliveries:
    """The counts of one process. ``count`` only with providers and accounts that are set up, or UNKNOWN."""

    def __init__(
        self, book: RejectedDeliveryCounts, clock: Clock, *, flush_interval_ms: int = FLUSH_INTERVAL_MS
    ) -> None:
        self._book = book
        self._clock = clock
        self._unwritten: dict[RejectedDeliverySlot, int] = {}
        self._lines = SampledLines()
        self._rounds = Rounds("rejected deliveries", flush_interval_ms, self.flush, finish=self.flush)
        self._stop = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start to write."""
        self._running = asyncio.create_task(self._rounds.run(self._stop), name="rejected-deliveries")

    async def stop(self) -> None:
        """Write and log the rest."""
        self._stop.set()
        await (self._running or self.flush())
        self._lines.flush()

    def count(self, provider: str, account: str, reason: str) -> None:
        """Count one delivery in this hour."""
        hour = self._clock.now().replace(minute=0, second=0, microsecond=0)
        self._add((provider, account, reason, hour), 1)

        def say(since_last_line: int) -> None:
            log.warning(
                "webhook deliveries rejected",
                provider=provider,
                account=account,
                code=reason,
                since_last_line=since_last_line,
            )

        self._lines.line((provider, account, reason), say)

    async def flush(self) -> None:
        """Write the counts, and delete hours that are too old. Counts that cannot be written are kept."""
        counts, self._unwritten = self._unwritten, {}
        if not counts:
            return
        try:
            async with asyncio.timeout(FLUSH_TIMEOUT_S):
                await self._book.add(counts)
        except Exception as error:
            self._keep(counts)
            self._failed(error)
            return
        try:
            async with asyncio.timeout(FLUSH_TIMEOUT_S):
                await self._book.forget()
        except Exception as error:
            self._failed(error)

    def _keep(self, counts: dict[RejectedDeliverySlot, int]) -> None:
        """Keep counts for the next write. Hours too old to be stored are dropped, so this is bounded."""
        oldest = self._clock.now() - timedelta(hours=KEEP_HOURS)
        for slot, number in counts.items():
            if slot[3] >= oldest:
                self._add(slot, number)

    def _add(self, slot: RejectedDeliverySlot, number: int) -> None:
        self._unwritten[slot] = self._unwritten.get(slot, 0) + number

    def _failed(self, error: Exception) -> None:
        name, slots = type(error).__name__, len(self._unwritten)

        def say(since_last_line: int) -> None:
            log.warning(
                "counts of rejected deliveries not written yet",
                error=name,
                counts=slots,
                since_last_line=since_last_line,
            )

        self._lines.line(name, say)
