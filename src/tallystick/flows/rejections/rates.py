"""How often events of providers were stale, or repeated an effect that the record had: counts and rates by hour."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from tallystick.domain.operator_views import EventResultView
from tallystick.flows.stores import Stores

#: Results of tries without an effect: harmless one by one, and telling in number.
REPEATED: Final = ("stale", "duplicate_effect")

_HOUR: Final = timedelta(hours=1)


async def results_of_events(stores: Stores, now: datetime, hours: int) -> Sequence[EventResultView]:
    """The counts of the last ``hours`` hours, the newest first."""
    return [
        EventResultView(
            provider=row.provider,
            type=row.type,
            result=row.result,
            hour=row.hour,
            count=row.count,
            per_minute=rate_of(row.count, row.hour, now),
        )
        for row in await stores.event_results.of_last(hours)
        if row.result in REPEATED
    ]


def rate_of(count: int, hour: datetime, now: datetime) -> float:
    """How many a minute: of the whole hour, or of what has passed of it."""
    passed = min(max(now - hour, timedelta(minutes=1)), _HOUR)
    return round(count / (passed.total_seconds() / 60), 3)
