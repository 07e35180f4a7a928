"""How often things are repeated, by the minute and of all processes together: so that a worker sees a rate leave its
trend, although each process counts for itself.

What a process counted is added to the record every few seconds. A killed process loses its last seconds.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import Final

from tallystick.domain.measures import ARRIVALS, INSTRUCTIONS, SUBMISSIONS
from tallystick.domain.rates import RateName
from tallystick.kit.metrics import Labels, growth
from tallystick.record.postgres.rates import RateBook

#: A trend is seen over minutes; one small statement in this time costs nothing.
WRITE_EVERY_MS: Final = 5_000

#: A database that takes longer is unavailable: the counts wait for the next write.
WRITE_TIMEOUT_S: Final = 5.0

#: What a repeated instruction was answered -> how it is counted.
_REPEATS: Final[Mapping[str, RateName]] = {
    "replayed": "replays",
    "in_flight": "repeats_in_flight",
    "not_final": "repeats_not_final",
    "mismatch": "repeats_mismatched",
}

#: What of this process's counts is in the record already. One for the process, as the counts are.
_WRITTEN: Final[dict[str, dict[Labels, int]]] = {"instructions": {}, "arrivals": {}, "submissions": {}}


class Rates:
    """Writes what this process counted."""

    def __init__(self, book: RateBook) -> None:
        self._book = book

    async def write(self) -> None:
        """Add what is new. Raises what the database raises: then it is added the next time."""
        now = {"instructions": dict(INSTRUCTIONS), "arrivals": dict(ARRIVALS), "submissions": dict(SUBMISSIONS)}
        new = _rates({name: growth(counts, _WRITTEN[name]) for name, counts in now.items()})
        if new:
            async with asyncio.timeout(WRITE_TIMEOUT_S):
                await self._book.add(new)
                await self._book.forget()
        _WRITTEN.update(now)

    async def write_last(self) -> None:
        """The same when a process ends: a database that is away is no reason to wait."""
        try:
            await self.write()
        except Exception:  # rounds have said what the database lacks; these are the counts of seconds
            return


def _rates(new: Mapping[str, Mapping[Labels, int]]) -> dict[RateName, int]:
    found: Counter[RateName] = Counter()
    for (_, answer), number in new["instructions"].items():
        found["instructions"] += number
        if answer != "first":
            found["repeats"] += number
            found[_REPEATS[answer]] += number
    for (_, result), number in new["arrivals"].items():
        found["arrivals"] += number
        if result != "first":
            found["redeliveries"] += number
        if result == "other_bytes":
            found["other_bytes"] += number
    for (_, _, turn), number in new["submissions"].items():
        found["submissions"] += number
        if turn != "first":
            found["resubmissions"] += number
    return dict(found)
