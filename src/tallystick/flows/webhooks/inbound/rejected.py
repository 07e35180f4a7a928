"""Rejected deliveries: counted in memory, added to the record every few seconds, and sampled in the log.

No request waits for the record: while it is away, counts are kept here and written later. A process that is killed
takes the counts of its last seconds with it; one whose connection is lost at the COMMIT may count them twice.
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

#: Between two additions to the record: a flood of any size is then one small statement in this long.
FLUSH_INTERVAL_MS: Final = 5_000

#: A record that takes longer is away; the counts wait for the next time, and the end of a process for no longer.
FLUSH_TIMEOUT_S: Final = 5.0

#: In place of names from a path that no setting has: anyone can send any, and counts must not grow with them.
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
        """Write and log what is left."""
        self._stop.set()
        await (self._running or self.flush())
        self._lines.flush()

    def count(self, provider: str, account: str, reason: str) -> None:
        """One more, in this hour."""
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
        """Add what was counted to the record, and remove what is too old there. What cannot be written is kept."""
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
        """For the next time; hours that would be removed at once are let go, so that this is bounded."""
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
