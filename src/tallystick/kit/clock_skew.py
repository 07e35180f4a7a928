"""How far this host's clock is from another one, as measured by asking the other for its time.

An answer came from within the round trip, so a measurement is an interval: an estimate and its uncertainty. A slow
answer says little, and never that a clock is wrong.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct

from tallystick.kit import clock

#: A measurement that says less than the last one replaces it after this: clocks drift by milliseconds in a minute.
REPLACED_AFTER_MS: Final = 60_000


class Skew(Struct, frozen=True, kw_only=True):
    """This host's clock minus the other, in ms, give or take ``uncertainty_ms``; above 0 where ours is ahead.
    ``measured_at_ms`` is on the monotonic clock."""

    skew_ms: int
    uncertainty_ms: int
    measured_at_ms: int

    def is_beyond(self, margin_ms: int) -> bool:
        """Whether the clocks are certainly further apart than this."""
        return abs(self.skew_ms) - self.uncertainty_ms > margin_ms

    def contradicts(self, other: Skew) -> bool:
        """Whether both cannot be true of clocks that run alike: one of them was set meanwhile."""
        return abs(self.skew_ms - other.skew_ms) > self.uncertainty_ms + other.uncertainty_ms


class Question(Struct, frozen=True, kw_only=True):
    """When another clock was asked, on both clocks of this host."""

    asked_at: datetime
    asked_at_ms: int


class SkewGauge:
    """The newest useful measurement of one other clock."""

    def __init__(self) -> None:
        self.current: Skew | None = None

    def ask(self) -> Question:
        """Call it right before the other is asked."""
        return Question(asked_at=clock.utc_now(), asked_at_ms=clock.monotonic_ms())

    def answered(self, question: Question, theirs: datetime, *, grain_ms: int = 0) -> None:
        """Call it right after. ``theirs`` is the other's time (aware), rounded down to its ``grain_ms``."""
        now_ms = clock.monotonic_ms()
        uncertainty_ms = (now_ms - question.asked_at_ms + grain_ms + 1) // 2
        middle = question.asked_at + timedelta(milliseconds=(now_ms - question.asked_at_ms - grain_ms) / 2)
        skew_ms = round((middle - theirs) / timedelta(milliseconds=1))
        self._keep(Skew(skew_ms=skew_ms, uncertainty_ms=uncertainty_ms, measured_at_ms=now_ms))

    def _keep(self, new: Skew) -> None:
        """One that says less than the last waits for that to grow old, unless a clock was set meanwhile."""
        last = self.current
        if (
            last is None
            or new.uncertainty_ms <= last.uncertainty_ms
            or new.contradicts(last)
            or new.measured_at_ms - last.measured_at_ms >= REPLACED_AFTER_MS
        ):
            self.current = new
