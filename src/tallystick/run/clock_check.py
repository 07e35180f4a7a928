"""A start is refused where the host's clock is far from the database's: what it signs would be refused by others."""

from __future__ import annotations

from typing import Final

from tallystick.domain.errors import TallystickError
from tallystick.kit.clock_skew import Skew

#: The tolerance of common signatures is 5 minutes; a clock that is off by twice that was never set.
START_LIMIT_MS: Final = 600_000


class ClockTooFarOff(TallystickError):
    """The host's clock is too far from the database's to start."""


def require_right_clock(skew: Skew | None) -> None:
    """Raises ClockTooFarOff where the host is certainly too far from the database. Only a start is refused: what runs
    goes on, whatever happens to its clock."""
    if skew is not None and skew.is_beyond(START_LIMIT_MS):
        where = "ahead of" if skew.skew_ms > 0 else "behind"
        raise ClockTooFarOff(
            f"this host's clock is {round(abs(skew.skew_ms) / 1000)} s {where} the database's; set it, then start again"
            f" (the limit is {START_LIMIT_MS // 1000} s)"
        )
