"""The watch over the whole platform: one worker at a time reads what the record says, keeps it for its listener, looks
for the conditions that a person has to know of, and sends their alerts."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final

import asyncpg

from tallystick.domain.alert import Alert, Found
from tallystick.flows.operations.alert_sending import AlertSender
from tallystick.flows.operations.alerts import clear, raise_alert
from tallystick.flows.runtime import Runtime
from tallystick.flows.webhooks.outbound.endpoints import FAILING, GONE
from tallystick.kit.ids import new_id
from tallystick.kit.logs import get_logger
from tallystick.kit.metrics import Reading
from tallystick.kit.rounds import Rounds
from tallystick.oversight.alerts.evidence import Evidence, OtherBytes, Samples, Trend
from tallystick.oversight.alerts.table import RULE, Look
from tallystick.oversight.completeness import AT_ONCE, Completeness, Incomplete
from tallystick.oversight.numbers import NumberReader, Numbers, samples_of, shown
from tallystick.record.postgres.failures import DATABASE_AWAY
from tallystick.record.postgres.number_reads import Watch
from tallystick.record.postgres.process_clocks import read_clocks_apart
from tallystick.record.postgres.provider_circuits import read_circuits

log = get_logger("tallystick.run.watch")

#: The name of the lease.
NAME: Final = "numbers"

#: A worker that died is followed by another one after this: three times as long as it takes to renew the lease.
LEASE_MS: Final = 15_000

#: How often the lease is renewed, or asked for.
HOLD_EVERY_MS: Final = 5_000

#: A release is compared with as long before it, and for as long after it.
COMPARED: Final = timedelta(hours=24)

#: How far back events that came again with other content are told.
LOOK_BACK: Final = timedelta(hours=1)

#: For the circuits and clocks of all processes: a row for each account, and for each clock, in each of them.
PROCESSES_TIMEOUT_S: Final = 2.0

#: Payments in one line of the log.
NAMED: Final = 10


class Watcher:
    """The watch of one worker. Make it inside a running event loop."""

    def __init__(self, runtime: Runtime) -> None:
        settings = runtime.settings
        self._runtime = runtime
        self._settings = settings
        self._watch = Watch(runtime.pool, runtime.clock, NAME, new_id("lse"))
        self._reader = NumberReader(runtime.pool, runtime.clock, settings, [GONE, FAILING])
        self._audit = Completeness(runtime.pool, runtime.clock, settings)
        self._sender = AlertSender(runtime)
        self._look = Look(settings)
        self._samples = Samples(settings.alert_rising_ms)
        self._trend: Trend | None = None
        self._other_bytes: OtherBytes | None = None
        self._incomplete: list[Incomplete] = []
        self._gap: tuple[datetime, datetime] | None = None
        self._holds_no_longer: dict[str, datetime] = {}  # alert -> since when its condition is gone
        self._sampled: datetime | None = None  # the minute whose samples are kept
        self.holds = False
        self.numbers: Numbers | None = None
        self.reading: Reading = shown(None, ())

    async def hold(self) -> None:
        """Take the watch, or keep it. What another worker has is not shown here. Raises what the database raises."""
        had = self.holds
        held_until = None if had else await self._watch.held_until()
        self.holds = await self._watch.hold(LEASE_MS)
        if self.holds and not had and held_until is not None:
            self._gap = (held_until, self._runtime.clock.now())

    async def read(self) -> None:
        """Read the numbers, while this worker has the watch. Raises what the database raises."""
        if not self.holds:
            self.numbers, self.reading = None, shown(None, ())
            return
        self.numbers = await self._reader.read()
        self._samples.add(self.numbers)
        now, rates = self._runtime.clock.now(), self._runtime.stores.rates
        newest = await rates.newest("other_bytes", now - LOOK_BACK)
        self._other_bytes = None if newest is None else await self._named(*newest)
        self._trend = await self._compared(now)
        alerts = await self._runtime.stores.alerts.all()
        self.reading = shown(self.numbers, alerts)
        if self._sampled != (minute := now.replace(second=0, microsecond=0)):
            await self._runtime.stores.trends.keep_samples(samples_of(self.numbers, alerts))
            self._sampled = minute

    async def _named(self, number: int, newest_at: datetime) -> OtherBytes:
        """Which event it was. Its arrival is committed before it is counted."""
        event_id = await self._runtime.stores.inbox.newest_other_bytes()
        return OtherBytes(number=number, newest_at=newest_at, event_id=event_id)

    async def audit(self) -> int:
        """Compare payments with what must stand beside them, while this worker has the watch. Returns how many were
        new. Raises what the database raises."""
        if not self.holds:
            return 0
        new, incomplete = await self._audit.round()
        if incomplete:
            named = {each.payment_id: (*each.missing, *each.broken) for each in incomplete[:NAMED]}
            log.error("final payments are incomplete", payments=named, number=len(incomplete))
            self._incomplete += incomplete
        return new

    async def look(self) -> None:
        """Look for every condition; open, clear and send alerts. Raises what the database and the journal raise."""
        if not self.holds or self.numbers is None:
            return
        evidence = await self._evidence(self.numbers)
        found = self._look.at(evidence)
        known = {(each.name, each.about): each for each in await self._runtime.stores.alerts.all()}
        for each in found:
            await raise_alert(self._runtime, known.get((each.name, each.about)), each)
        self._incomplete, self._gap = [], None
        await self._clear(list(known.values()), found, evidence.now)
        await self._sender.send(await self._runtime.stores.alerts.all())

    async def leave(self) -> None:
        """Leave the watch to another worker, as a process ends. A database that is away is no reason to wait: the
        lease ends by itself."""
        held, self.holds = self.holds, False
        if held:
            with suppress(*DATABASE_AWAY, asyncpg.PostgresError):
                await self._watch.leave()

    async def close(self) -> None:
        """Close what was opened for it."""
        await self._sender.close()

    def rounds(self) -> list[Rounds]:
        """What it does in rounds."""
        settings, outage = self._settings, self._runtime.outage
        return [
            Rounds("watch", HOLD_EVERY_MS, self.hold, watch=outage, finish=self.leave),
            Rounds("numbers", settings.numbers_interval_ms, self.read, watch=outage),
            Rounds("audit", settings.audit_interval_ms, self.audit, full_round=AT_ONCE, watch=outage),
            Rounds("alerts", settings.alert_interval_ms, self.look, watch=outage),
        ]

    async def _evidence(self, numbers: Numbers) -> Evidence:
        runtime = self._runtime
        return Evidence(
            now=runtime.clock.now(),
            numbers=numbers,
            samples=self._samples,
            cases=await runtime.stores.cases.groups(),
            clocks=await read_clocks_apart(runtime.pool, PROCESSES_TIMEOUT_S),
            circuits=await read_circuits(runtime.pool, PROCESSES_TIMEOUT_S),
            trend=self._trend,
            incomplete=tuple(self._incomplete),
            other_bytes=self._other_bytes,
            gap=self._gap,
        )

    async def _compared(self, now: datetime) -> Trend | None:
        """The rates since the newest release, and before it. The minute in which it began is of neither."""
        rates = self._runtime.stores.rates
        releases = await rates.releases(now - COMPARED, 1)
        if not releases:
            return None
        minute = releases[0].at.replace(second=0, microsecond=0)
        return Trend(
            release=releases[0],
            before=await rates.between(minute - COMPARED, minute),
            after=await rates.between(minute + timedelta(minutes=1), now),
        )

    async def _clear(self, known: Sequence[Alert], found: Sequence[Found], now: datetime) -> None:
        """Resolve alerts whose condition has not held for a while. One of another release, whose name is not known
        here, is left to a person."""
        holding = {(each.name, each.about) for each in found}
        gone = {
            each.alert_id: each
            for each in known
            if each.state != "resolved"
            and (each.name, each.about) not in holding
            and each.name in RULE
            and RULE[each.name].ends_by_itself
        }
        self._holds_no_longer = {id_: self._holds_no_longer.get(id_, now) for id_ in gone}
        for alert_id, since in self._holds_no_longer.items():
            if now - since >= timedelta(milliseconds=self._settings.alert_clear_ms):
                await clear(self._runtime, gone[alert_id])
