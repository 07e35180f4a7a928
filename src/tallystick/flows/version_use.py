"""Which keys still send requests of an older version: counted by the hour."""

from __future__ import annotations

from collections import Counter
from typing import Final

from tallystick.domain.measures import OLDER_VERSIONS
from tallystick.flows.hourly_counts import WRITE_EVERY_MS, HourlyCounts
from tallystick.kit.clock import Clock
from tallystick.record.postgres.version_use import VersionUseCounts

#: Of the counts, in the log.
NAME: Final = "version use"


class VersionUse(HourlyCounts):
    """The counts of one process. A request counts in the hour in which it is written down, a few seconds later: it
    should cost next to nothing."""

    def __init__(self, book: VersionUseCounts, clock: Clock, *, write_every_ms: int = WRITE_EVERY_MS) -> None:
        super().__init__(NAME, book, clock, write_every_ms=write_every_ms)
        self._requests: Counter[tuple[str, str, str]] = Counter()

    def count(self, merchant_id: str, key_id: str, version: str) -> None:
        """Count one request of a key that was found."""
        self._requests[merchant_id, key_id, version] += 1
        OLDER_VERSIONS[version,] += 1

    async def write(self) -> None:
        """Write the counts, and delete hours that are too old."""
        requests, self._requests = self._requests, Counter()
        for what, number in requests.items():
            self.add(what, number)
        await super().write()
