"""The watch over the whole platform: one worker at a time reads what the record says, and keeps it for its listener."""

from __future__ import annotations

from typing import Final

from msgspec.structs import asdict

from tallystick.flows.runtime import Runtime
from tallystick.flows.webhooks.outbound.endpoints import FAILING, GONE
from tallystick.kit.ids import new_id
from tallystick.kit.logs import get_logger
from tallystick.kit.metrics import Reading
from tallystick.kit.rounds import Rounds
from tallystick.oversight.completeness import AT_ONCE, Completeness
from tallystick.oversight.numbers import NumberReader, Numbers, shown
from tallystick.record.postgres.number_reads import Watch

log = get_logger("tallystick.run.watch")

#: The name of the lease.
NAME: Final = "numbers"

#: A worker that died is followed by another one after this: three times as long as it takes to renew the lease.
LEASE_MS: Final = 15_000

#: How often the lease is renewed, or asked for.
HOLD_EVERY_MS: Final = 5_000


class Watcher:
    """The watch of one worker. Make it inside a running event loop."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._watch = Watch(runtime.pool, runtime.clock, NAME, new_id("lse"))
        self._reader = NumberReader(runtime.pool, runtime.clock, runtime.settings, [GONE, FAILING])
        self._audit = Completeness(runtime.pool, runtime.clock, runtime.settings)
        self.holds = False
        self.numbers: Numbers | None = None
        self.reading: Reading = shown(None)

    async def hold(self) -> None:
        """Take the watch, or keep it. What another worker has is not shown here. Raises what the database raises."""
        self.holds = await self._watch.hold(LEASE_MS)
        if not self.holds:
            self._show(None)

    async def read(self) -> None:
        """Read the numbers, while this worker has the watch. Raises what the database raises."""
        if self.holds:
            self._show(await self._reader.read())

    async def audit(self) -> int:
        """Compare payments with what must stand beside them, while this worker has the watch. Returns how many were
        new. Raises what the database raises."""
        if not self.holds:
            return 0
        new, incomplete = await self._audit.round()
        for each in incomplete:
            log.error("payment is incomplete", **asdict(each))
        return new

    async def leave(self) -> None:
        """Leave the watch to another worker. Raises what the database raises."""
        self.holds = False
        await self._watch.leave()

    def rounds(self) -> list[Rounds]:
        """What it does in rounds."""
        settings, outage = self._runtime.settings, self._runtime.outage
        return [
            Rounds("watch", HOLD_EVERY_MS, self.hold, watch=outage, finish=self.leave),
            Rounds("numbers", settings.numbers_interval_ms, self.read, watch=outage),
            Rounds("audit", settings.audit_interval_ms, self.audit, full_round=AT_ONCE, watch=outage),
        ]

    def _show(self, numbers: Numbers | None) -> None:
        self.numbers = numbers
        self.reading = shown(numbers)
