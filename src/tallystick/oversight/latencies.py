"""Percentiles of times that were counted by bounds. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tallystick.kit.metrics import MILLISECONDS
from tallystick.record.postgres.trends import BEYOND

_BELOW: Final[Mapping[int, int]] = dict(zip((*MILLISECONDS, BEYOND), (0, *MILLISECONDS), strict=True))


def percentile_ms(counts: Mapping[int, int], share: float) -> float | None:
    """The time that this share of all took at most, in milliseconds, by straight lines between the bounds; of what is
    beyond the last bound, that bound. None where nothing was counted."""
    total = sum(counts.values())
    if total == 0:
        return None
    wanted, seen = share * total, 0
    for bound in sorted(counts):
        seen += counts[bound]
        if seen >= wanted:
            low = _BELOW.get(bound, 0)
            if bound == BEYOND:
                return float(low)
            return low + (bound - low) * (1 - (seen - wanted) / counts[bound])
    return None
