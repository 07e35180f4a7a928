"""Counts by hour, kept in memory and added to the record every few seconds.

Nothing waits for the database: while it is unavailable counts are kept here and written later. A killed process loses
the counts of its last seconds; one whose connection is lost at the COMMIT may count them twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from tallystick.kit.clock import Clock
from tallystick.kit.log_sampling import SampledLines
from tallystick.kit.logs import get_logger
from tallystick.kit.rounds import Rounds
from tallystick.record.postgres.hourly_counts import KEEP_HOURS, HourBook, Slot

log = get_logger("tallystick.flows.hourly_counts")

#: Between two writes: a flood of any size is one small statement in this time.
WRITE_EVERY_MS: Final = 5_000

#: A database that takes longer is unavailable; the counts wait for the next write.
WRITE_TIMEOUT_S: Final = 5.0

#: So long after something was counted it is in the record, in every process whose database works.
BEHIND_MS: Final = WRITE_EVERY_MS + round(WRITE_TIMEOUT_S * 1_000)


def counted_until(clock: Clock) -> datetime:
    """What came until then is in the counts that are read now, unless a process could not write them."""
    return clock.now() - timedelta(milliseconds=BEHIND_MS)


class HourlyCounts:
    """The counts of one process. ``name``: of the counts, in the log. Make it inside a running event loop."""

    def __init__(self, name: str, book: HourBook[Any], clock: Clock, *, write_every_ms: int) -> None:
        self._name = name
        self._book = book
        self._clock = clock
        self._unwritten: dict[Slot, int] = {}
        self._lines = SampledLines()
        self._rounds = Rounds(name, write_every_ms, self.write, finish=self.write)
        self._stop = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start to write."""
        self._running = asyncio.create_task(self._rounds.run(self._stop), name=self._name.replace(" ", "-"))

    async def stop(self) -> None:
        """Write and log the rest."""
        self._stop.set()
        await (self._running or self.write())
        self._lines.flush()

    def add(self, what: tuple[str, str, str], number: int = 1) -> None:
        """Count something in this hour. No client may choose the names."""
        self._add((*what, self._clock.now().replace(minute=0, second=0, microsecond=0)), number)

    async def write(self) -> None:
        """Write the counts, and delete hours that are too old. Counts that cannot be written are kept."""
        counts, self._unwritten = self._unwritten, {}
        if not counts:
            return
        try:
            async with asyncio.timeout(WRITE_TIMEOUT_S):
                await self._book.add(counts)
        except Exception as error:
            self._keep(counts)
            self._failed(error)
            return
        try:
            async with asyncio.timeout(WRITE_TIMEOUT_S):
                await self._book.forget()
        except Exception as error:
            self._failed(error)

    def _keep(self, counts: Mapping[Slot, int]) -> None:
        """For the next write. Hours too old to be stored are dropped, so this is bounded."""
        oldest = self._clock.now() - timedelta(hours=KEEP_HOURS)
        for slot, number in counts.items():
            if slot[3] >= oldest:
                self._add(slot, number)

    def _add(self, slot: Slot, number: int) -> None:
        self._unwritten[slot] = self._unwritten.get(slot, 0) + number

    def _failed(self, error: Exception) -> None:
        name, slots = type(error).__name__, len(self._unwritten)

        def say(since_last_line: int) -> None:
            log.warning(
                "counts not written yet", of=self._name, error=name, counts=slots, since_last_line=since_last_line
            )

        self._lines.line(("not written", name), say)
