"""Rejected deliveries: counted by hour, and sampled in the log."""

from __future__ import annotations

from typing import Final

from tallystick.flows.hourly_counts import WRITE_EVERY_MS, HourlyCounts
from tallystick.kit.clock import Clock
from tallystick.kit.logs import get_logger
from tallystick.record.postgres.hourly_counts import KEEP_HOURS
from tallystick.record.postgres.refused_webhooks import RefusedWebhooks, RejectedDeliveryCounts

__all__ = ["KEEP_HOURS", "UNKNOWN", "RefusedWebhooks", "RejectedDeliveries"]

log = get_logger("tallystick.flows.webhooks.inbound.rejected")

#: Replaces unknown names from the path: anyone can send any name, and counts must not grow with them.
UNKNOWN: Final = "(unknown)"


class RejectedDeliveries(HourlyCounts):
    """The counts of one process. ``count`` only with providers and accounts that are set up, or UNKNOWN."""

    def __init__(self, book: RejectedDeliveryCounts, clock: Clock, *, write_every_ms: int = WRITE_EVERY_MS) -> None:
        super().__init__("rejected deliveries", book, clock, write_every_ms=write_every_ms)

    def count(self, provider: str, account: str, reason: str) -> None:
        """Count one delivery in this hour."""
        self.add((provider, account, reason))

        def say(since_last_line: int) -> None:
            log.warning(
                "webhook deliveries rejected",
                provider=provider,
                account=account,
                code=reason,
                since_last_line=since_last_line,
            )

        self._lines.line((provider, account, reason), say)
