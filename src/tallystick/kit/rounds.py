"""Periodic work: rounds, one after another, until the process stops."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Final, Protocol

from tallystick.kit.backoff import doubled_ms
from tallystick.kit.clock import monotonic_ms
from tallystick.kit.log_sampling import SAMPLE_EVERY_S, SampledLines
from tallystick.kit.logs import get_logger
from tallystick.kit.metrics import Counts, Spreads

log = get_logger("tallystick.kit.rounds")

#: A round that did any work is followed by the next one at once.
ANYTHING: Final = 1

#: Rounds that fail pause twice as long each time, up to this, where their own pause is not longer.
FAILING_PAUSE_MS: Final = 2_000


#: For the numbers of a process, by the names of its work.
ROUND_TIME: Final = Spreads("tallystick_round_seconds", "How long a round of periodic work took.", ("work",))
FAILED_ROUNDS: Final = Counts("tallystick_failed_rounds", "Rounds of periodic work that raised.", ("work",))


class Watch(Protocol):
    """Knows causes that several pieces of work meet at once, such as a database that is away, and says them once."""

    def failed(self, part: str, error: Exception) -> bool:
        """The work ``part`` met an error. Returns whether it is such a cause; else the work says it itself."""

    def worked(self, part: str) -> None:
        """A round of ``part`` has ended well."""


class Rounds:
    """One piece of periodic work.

    ``round`` does the work that is due and returns how much it did (None: no reason for another round at once). After
    less than ``full_round`` there is a pause of ``interval_ms``. A round that raises is logged at a bounded rate
    (``sample_every_s``, or by ``watch``), and the next one follows after a pause that grows with each failure. Setting
    ``wake`` during a round or a pause starts the next round at once. ``finish`` waits for work that rounds have
    started; it runs once, after the last round.
    """

    def __init__(
        self,
        name: str,
        interval_ms: int,
        round: Callable[[], Awaitable[int | None]],
        *,
        full_round: int = ANYTHING,
        wake: asyncio.Event | None = None,
        finish: Callable[[], Awaitable[None]] | None = None,
        sample_every_s: float = SAMPLE_EVERY_S,
        watch: Watch | None = None,
    ) -> None:
        self.name = name
        self._interval_ms = interval_ms
        self._round = round
        self._full_round = full_round
        self._wake = wake or asyncio.Event()
        self._finish = finish
        self._failures = SampledLines(sample_every_s)
        self._failed = 0  # in a row
        self._watch = watch

    async def run(self, stop: asyncio.Event) -> None:
        """Run rounds until ``stop``. A round in progress is finished; a pause ends at once."""
        waking = asyncio.create_task(self._wake_at(stop))
        try:
            while not stop.is_set():
                self._wake.clear()
                if await self._one() < self._full_round:
                    await self._pause()
            if self._finish is not None:
                await self._finish()
        finally:
            waking.cancel()
            self._failures.flush()

    async def _one(self) -> int:
        """How much the round did; 0 if it failed."""
        started_ms = monotonic_ms()
        try:
            done = await self._round() or 0
        except Exception as error:
            self._failed += 1
            FAILED_ROUNDS[self.name,] += 1
            if self._watch is None or not self._watch.failed(self.name, error):
                self._failures.line(type(error).__name__, partial(self._log_failure, repr(error)))
            return 0
        self._failed = 0
        ROUND_TIME.observe((self.name,), monotonic_ms() - started_ms)
        if self._watch is not None:
            self._watch.worked(self.name)
        return done

    def _log_failure(self, error: str, since_last_line: int) -> None:
        log.error("round failed", work=self.name, error=error, since_last_line=since_last_line)

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(self._pause_s()):
                await self._wake.wait()
        except TimeoutError:
            return

    def _pause_s(self) -> float:
        return max(self._interval_ms, doubled_ms(self._failed, self._interval_ms, FAILING_PAUSE_MS)) / 1000

    async def _wake_at(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._wake.set()


async def run_rounds(work: Iterable[Rounds], stop: asyncio.Event) -> None:
    """Run all of it concurrently until ``stop``, and finish the rounds in progress."""
    await asyncio.gather(*(each.run(stop) for each in work))
