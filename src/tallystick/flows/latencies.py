"""How long requests, calls and tries took, by the minute and of all processes together: what the console shows of the
platform, although each process counts for itself. Written as the rates are, and as lossy."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Final

from tallystick.domain.measures import EVENT_TIME, PROVIDER_CALLS, REQUEST_TIME
from tallystick.kit.metrics import Labels, Spreads
from tallystick.record.postgres.trends import BEYOND, TrendBook

#: A database that takes longer is unavailable: the counts wait for the next write.
WRITE_TIMEOUT_S: Final = 5.0

#: What of this process's counts is in the record already. One for the process, as the counts are.
_WRITTEN: Final[dict[tuple[str, int], int]] = {}


class Latencies:
    """Writes what this process counted."""

    def __init__(self, book: TrendBook) -> None:
        self._book = book

    async def write(self) -> None:
        """Add what is new. Raises what the database raises: then it is added the next time."""
        now = _counted()
        new = {key: grown for key, number in now.items() if (grown := number - _WRITTEN.get(key, 0))}
        if new:
            async with asyncio.timeout(WRITE_TIMEOUT_S):
                await self._book.add_latencies(new)
        _WRITTEN.update(now)

    async def write_last(self) -> None:
        """The same when a process ends: a database that is away is no reason to wait."""
        with suppress(Exception):  # rounds have said what the database lacks; these are the counts of seconds
            await self.write()


def call_name(provider: str, outcome: str) -> str:
    """What a provider's calls of one outcome are counted as."""
    return f"provider:{provider}:{outcome}"


def _counted() -> Mapping[tuple[str, int], int]:
    """(what, bound in ms) -> how often, since this process began."""
    found: Counter[tuple[str, int]] = Counter()
    for labels, bound, number in _by_bound(REQUEST_TIME):
        if labels[0] != "probe":
            found[labels[0], bound] += number
    for _, bound, number in _by_bound(EVENT_TIME):
        found["workers", bound] += number
    for (provider, _, outcome), bound, number in _by_bound(PROVIDER_CALLS):
        found[call_name(provider, outcome), bound] += number
    return found


def _by_bound(family: Spreads) -> Iterator[tuple[Labels, int, int]]:
    bounds = (*family.bounds, BEYOND)
    for labels, slots in list(family.items()):
        for bound, number in zip(bounds, slots[:-1], strict=True):
            if number:
                yield labels, bound, number
