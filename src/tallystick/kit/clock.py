"""Clocks: wall time for what people read, monotonic time for what a process measures.

Leases and deadlines use the database's clock, never these.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

#: CLOCK_BOOTTIME counts while the machine sleeps, so that a frozen sender notices. Where it does not exist
#: (macOS, Windows) the ordinary monotonic clock is used.
_BOOTTIME = getattr(time, "CLOCK_BOOTTIME", None)


def monotonic_ms() -> int:
    """Milliseconds on a clock of this machine that never goes back."""
    if _BOOTTIME is not None:
        return time.clock_gettime_ns(_BOOTTIME) // 1_000_000
    return time.monotonic_ns() // 1_000_000


def monotonic_ns() -> int:
    """The same clock in nanoseconds, for durations."""
    return time.clock_gettime_ns(_BOOTTIME) if _BOOTTIME is not None else time.monotonic_ns()


def utc_now() -> datetime:
    """Now, aware, in UTC."""
    return datetime.now(UTC)


class Clock:
    """Both clocks, with one shift that tests can set. ``skew_ms``: how far this host is known to be ahead of the
    database; people and signatures get the time without it."""

    def __init__(self, shift_ms: int = 0) -> None:
        self.shift_ms = shift_ms
        self.skew_ms = 0

    def now(self) -> datetime:
        """Now, shifted, aware, in UTC."""
        ahead_ms = self.shift_ms - self.skew_ms
        return utc_now() + timedelta(milliseconds=ahead_ms) if ahead_ms else utc_now()

    def monotonic_ms(self) -> int:
        """Milliseconds that never go back while the shift stays or grows."""
        return monotonic_ms() + self.shift_ms
