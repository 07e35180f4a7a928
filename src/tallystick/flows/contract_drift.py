"""What providers sent that is not read here as it was sent: an alert at once, and counts by hour."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from tallystick.flows.hourly_counts import WRITE_EVERY_MS, HourlyCounts
from tallystick.kit.clock import Clock
from tallystick.kit.log_sampling import SampledLines
from tallystick.kit.logs import get_logger
from tallystick.providers.contract_drift import Drift
from tallystick.providers.port import Provider
from tallystick.record.postgres.contract_drift import DriftCount, DriftCounts
from tallystick.record.postgres.hourly_counts import KEEP_HOURS

__all__ = ["KEEP_HOURS", "ContractDrift", "DriftCount"]

log = get_logger("tallystick.flows.contract_drift")

#: One alert of a field in this long: somebody has to write a release, and an hour wakes nobody twice.
ALERT_EVERY_S: Final = 3_600.0


class ContractDrift(HourlyCounts):
    """The counts of one process. Before each write it takes what the connectors counted, so that an alert of theirs is
    that late at most."""

    def __init__(
        self,
        book: DriftCounts,
        clock: Clock,
        providers: Mapping[str, Provider],
        *,
        write_every_ms: int = WRITE_EVERY_MS,
    ) -> None:
        super().__init__("contract drift", book, clock, write_every_ms=write_every_ms)
        self._providers = providers
        self._alerts = SampledLines(ALERT_EVERY_S)

    async def stop(self) -> None:
        """Write and log the rest."""
        await super().stop()
        self._alerts.flush()

    def note(self, provider: str, found: Iterable[Drift], count: int = 1) -> None:
        """Count differences, and alert of each field once."""
        for drift in found:
            self.add((provider, drift.field, drift.kind), count)
            self._alert(provider, drift)

    async def write(self) -> None:
        """Take what the connectors counted, and write."""
        for name, provider in self._providers.items():
            tally = provider.drift
            for drift, count in () if tally is None else tally.take():
                self.note(name, [drift], count)
        await super().write()

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
