"""Whether this host's clock agrees with the database's and the providers'.

A clock is evidence only when it is checked. While the host and the database, or the host and a provider, are further
apart than ``clock_margin_ms``, an alert was raised and "no such charge" proves nothing. Nothing else changes: payments,
webhooks and recovery go on, with the process's clock set to the database's by what was measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Final

import asyncpg
from msgspec import Struct

from tallystick.decisions.lookups import Asked, asked_between, clocks_agree
from tallystick.domain.json_types import described
from tallystick.kit.clock import Clock, monotonic_ms
from tallystick.kit.clock_skew import Skew, SkewGauge
from tallystick.kit.logs import get_logger
from tallystick.providers.port import Provider
from tallystick.record.postgres.database_clock import database_time
from tallystick.record.postgres.failures import DATABASE_AWAY
from tallystick.record.postgres.outage import Outage

log = get_logger("tallystick.flows.clocks")

#: How often the database's clock is read: a clock that is set is noticed before the settling time of an attempt ends.
MEASURE_EVERY_MS: Final = 5_000

#: A reading that takes longer says nothing.
_READ_TIMEOUT_S: Final = 2.0

#: The name of the database's clock among the readings; the others have their provider's name.
DATABASE: Final = "database"


class ClockReading(Struct, frozen=True, kw_only=True):
    """One clock beside this host's."""

    clock: Annotated[str, described("Whose: `database`, or a provider's name.", DATABASE)]
    skew_ms: Annotated[int, described("Ours minus theirs, give or take `uncertainty_ms`, in milliseconds.", -3)]
    uncertainty_ms: Annotated[int, described("How wrong the difference may be, in milliseconds.", 2, minimum=0)]
    age_ms: Annotated[int, described("How long ago it was measured, in milliseconds.", 1200)]
    beyond_margin: Annotated[bool, described("Whether it is further off than recovery can allow for.", False)]


class Clocks:
    """The clocks that one process compares with its own; kept in memory. ``clock`` is the process's own, and is set to
    the database's where the two differ by more than the margin."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        clock: Clock,
        providers: Mapping[str, Provider],
        *,
        margin_ms: int,
        outage: Outage | None = None,
    ) -> None:
        self._pool = pool
        self._clock = clock
        self._providers = providers
        self._margin_ms = margin_ms
        self._outage = outage or Outage()
        self._database = SkewGauge()
        self._beyond: set[str] = set()

    async def measure(self) -> None:
        """Read the database's clock; while the database is away the last reading stays."""
        question = self._database.ask()
        try:
            theirs = await database_time(self._pool, _READ_TIMEOUT_S)
        except (*DATABASE_AWAY, asyncpg.PostgresError) as error:
            self._outage.note("clocks", error)
            return
        self._outage.worked("clocks")
        self._database.answered(question, theirs)
        skew = self._database.current
        assert skew is not None
        self._clock.skew_ms = skew.skew_ms if skew.is_beyond(self._margin_ms) else 0
        self._watch()

    @property
    def database_skew(self) -> Skew | None:
        """This host's clock minus the database's; None before the first reading."""
        return self._database.current

    async def absence_counts(self, provider: str) -> bool:
        """Whether "no such charge" from this provider may be evidence: no clock that bounds the question is beyond the
        margin. Call it after the answer, whose own time counts. The database's clock is read again: one that was set
        forward since the last reading has ended every settling time at once."""
        await self.measure()
        self._watch()
        return clocks_agree((self._database.current, self._skew(provider)), self._margin_ms)

    def asked_between(self, provider: Provider, opened_at: datetime, deadline: datetime) -> Asked:
        """The bounds of a question to the provider, on its clock by what was measured."""
        return asked_between(opened_at, deadline, provider.traits, self._database.current, self._skew(provider.name))

    def readings(self) -> list[ClockReading]:
        """Every clock that was measured."""
        now_ms = monotonic_ms()
        return [
            ClockReading(
                clock=name,
                skew_ms=skew.skew_ms,
                uncertainty_ms=skew.uncertainty_ms,
                age_ms=now_ms - skew.measured_at_ms,
                beyond_margin=skew.is_beyond(self._margin_ms),
            )
            for name, skew in self._measured().items()
        ]

    def _skew(self, provider: str) -> Skew | None:
        connector = self._providers.get(provider)
        return None if connector is None else connector.clock_skew

    def _measured(self) -> dict[str, Skew]:
        found = {DATABASE: self._database.current} | {name: self._skew(name) for name in self._providers}
        return {name: skew for name, skew in found.items() if skew is not None}

    def _watch(self) -> None:
        """One alert for each crossing of the margin, and a line when a clock is back."""
        for name, skew in self._measured().items():
            beyond = skew.is_beyond(self._margin_ms)
            known = {"clock": name, "skew_ms": skew.skew_ms, "uncertainty_ms": skew.uncertainty_ms}
            if beyond and name not in self._beyond:
                self._beyond.add(name)
                log.error(
                    "clock is off: no absence is believed",
                    alert=True,
                    margin_ms=self._margin_ms,
                    next="tallystick doctor",
                    **known,
                )
            elif not beyond and name in self._beyond:
                self._beyond.remove(name)
                log.warning("clock is right again", **known)
