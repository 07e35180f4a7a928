"""What tries at providers' events came to, counted by hour: how often events are stale, or repeat an effect."""

from __future__ import annotations

from tallystick.flows.hourly_counts import WRITE_EVERY_MS, HourlyCounts
from tallystick.kit.clock import Clock
from tallystick.record.postgres.cases import EventResultCount, EventResultCounts
from tallystick.record.postgres.hourly_counts import KEEP_HOURS

__all__ = ["KEEP_HOURS", "EventResultCount", "EventResults"]


class EventResults(HourlyCounts):
    """The counts of one process: "at least" so many, since a killed process loses those of its last seconds."""

    def __init__(self, book: EventResultCounts, clock: Clock, *, write_every_ms: int = WRITE_EVERY_MS) -> None:
        super().__init__("event results", book, clock, write_every_ms=write_every_ms)

    def count(self, provider: str, event_type: str, result: str) -> None:
        """One try at an event of this type had this result."""
        self.add((provider, event_type, result))
