"""What providers sent that is not read here as it was sent: an alert at once, and counts that are written every few
seconds.

Nothing waits for the database: while it is unavailable counts are kept here and written later. A killed process loses
the counts of its last seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Final

from tallystick.kit.clock import Clock
from tallystick.kit.log_sampling import SampledLines
from tallystick.kit.logs import get_logger
from tallystick.kit.rounds import Rounds
from tallystick.providers.contract_drift import Drift
from tallystick.providers.port import Provider
from tallystick.record.postgres.contract_drift import KEEP_HOURS, DriftCount, DriftCounts, DriftSlot

__all__ = ["KEEP_HOURS", "ContractDrift", "DriftCount"]

log = get_logger("tallystick.flows.contract_drift")

#: Between two looks at the connectors and two writes: an alert is that late at most.
ROUND_MS: Final = 5_000

#: A database that takes longer is unavailable; the counts wait for the next write.
WRITE_TIMEOUT_S: Final = 5.0

#: One alert of a field in this long: somebody has to write a release, and an hour wakes nobody twice.
ALERT_EVERY_S: Final = 3_600.0


class ContractDrift:
    """The counts of one process. Make it inside a running event loop."""

    def __init__(
        self, book: DriftCounts, clock: Clock, providers: Mapping[str, Provider], *, round_ms: int = ROUND_MS
    ) -> None:
        self._book = book
        self._clock = clock
        self._providers = providers
        self._unwritten: dict[DriftSlot, int] = {}
        self._alerts = SampledLines(ALERT_EVERY_S)
        self._failures = SampledLines()
        self._rounds = Rounds("contract drift", round_ms, self.round, finish=self.round)
        self._stop = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start to look at the connectors, and to write."""
        self._running = asyncio.create_task(self._rounds.run(self._stop), name="contract-drift")

    async def stop(self) -> None:
        """Write the rest."""
        self._stop.set()
        await (self._running or self.round())
        self._alerts.flush()
        self._failures.flush()

    def note(self, provider: str, found: Iterable[Drift], count: int = 1) -> None:
        """Count differences, and alert of each field once."""
        for drift in found:
            hour = self._clock.now().replace(minute=0, second=0, microsecond=0)
            self._add((provider, drift.field, drift.kind, hour), count)
            self._alert(provider, drift)

    async def round(self) -> None:
        """Take what the connectors counted, and write. What cannot be written is kept."""
        for name, provider in self._providers.items():
            tally = provider.drift
            for drift, count in () if tally is None else tally.take():
                self.note(name, [drift], count)
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

    def _alert(self, provider: str, drift: Drift) -> None:
        def say(since_last_line: int) -> None:
            log.error(
                "provider_contract_drift",
                alert=True,
                provider=provider,
                field=drift.field,
                kind=drift.kind,
                value=drift.value,
                since_last_line=since_last_line,
                next="tallystick contract-drift",
            )

        self._alerts.line((provider, drift.field, drift.kind), say)

    def _keep(self, counts: Mapping[DriftSlot, int]) -> None:
        """For the next write. Hours too old to be stored are dropped, so this is bounded."""
        oldest = self._clock.now() - timedelta(hours=KEEP_HOURS)
        for slot, number in counts.items():
            if slot[3] >= oldest:
                self._add(slot, number)

    def _add(self, slot: DriftSlot, number: int) -> None:
        self._unwritten[slot] = self._unwritten.get(slot, 0) + number

    def _failed(self, error: Exception) -> None:
        name = type(error).__name__

        def say(since_last_line: int) -> None:
            log.warning("counts of contract drift not written yet", error=name, since_last_line=since_last_line)

        self._failures.line(name, say)
