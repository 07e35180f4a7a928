"""What happened, for the first page of the console: what waits, whether the books and the audit are well, how fast the
processes are, and how all that changed. Each block is as old as its last reading, and says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, cast

import asyncpg
from msgspec import Struct

from tallystick.domain.alert import Alert
from tallystick.kit.clock import Clock
from tallystick.oversight.audit.lag import SealingLag, read_lag
from tallystick.oversight.cases import UNASSIGNED_AFTER
from tallystick.oversight.completeness import WINDOWS
from tallystick.oversight.kept_readings import LONGEST_MS, KeptReadings
from tallystick.oversight.latencies import percentile_ms
from tallystick.oversight.numbers import account_items
from tallystick.oversight.provider_trends import ProviderTrends, read_provider_trends
from tallystick.record.postgres.alerts import AlertBook
from tallystick.record.postgres.console_reads import FirstSteps, first_steps
from tallystick.record.postgres.deployments import Deployment, DeploymentBook
from tallystick.record.postgres.number_reads import (
    ClearingBalance,
    Completeness,
    NumberReads,
    OpenItems,
    WaitingCases,
)
from tallystick.record.postgres.queues import Asked, UnderWay, read_asked, read_under_way
from tallystick.record.postgres.rates import RateBook
from tallystick.record.postgres.trends import Step, TrendBook
from tallystick.record.postgres.work_lists import WORK_LISTS, Total, WorkFilter, WorkList, WorkReads
from tallystick.settings.load import Settings

#: How old a block may be before it is read again, in milliseconds. Processes write what they counted every few seconds,
#: and the audit looks every minute. Balances are a row for each merchant and account.
WAITING_MS: Final = 2_000
PROCESSES_MS: Final = 10_000
AUDIT_MS: Final = 30_000
BOOKS_MS: Final = 60_000
TRENDS_MS: Final = 60_000

#: What waits may be so old where a browser asks by itself: whoever loads the page sees what was done just now.
RENEWED_WAITING_MS: Final = 9_000

#: The rate of a process is over so many whole minutes: of one alone it would jump.
RATE_MINUTES: Final = 5

#: What has a line of its own: requests of clients, providers' webhooks, and tries at their events.
PROCESSES: Final = ("api", "intake", "workers")

#: What of the work that waits is drawn, and what of the rates.
SAMPLES: Final = ("unknown_outcomes", "attempts_in_doubt", "dead_letters", "cases", "late_money", "alerts")
RATES: Final = ("instructions", "repeats", "arrivals", "redeliveries", "resubmissions")

#: Lists that are counted. Alerts are read one by one.
_COUNTED: Final[tuple[WorkList, ...]] = tuple(name for name in WORK_LISTS if name != "alerts")

#: Spans of trends: how far back, and the seconds of one step. About as many steps as a plot has room for.
SPANS: Final[Mapping[str, tuple[timedelta, int]]] = {
    "6h": (timedelta(hours=6), 300),
    "24h": (timedelta(hours=24), 900),
    "7d": (timedelta(days=7), 7_200),
}

#: Marks of releases and configurations in one plot: more than this cannot be told apart.
MARKS: Final = 30


class WaitingWork(Struct, frozen=True, kw_only=True):
    """What waits for a person, of the merchants that the viewer sees. ``cases``: by category."""

    read_at: datetime
    totals: Mapping[WorkList, Sequence[Total]]
    asking: Sequence[Asked]
    cases: Sequence[WaitingCases]
    alerts: Sequence[Alert]
    backlog: Sequence[UnderWay]

    def count(self, of_list: WorkList) -> int:
        """How many rows a list has."""
        return sum(each.n for each in self.totals[of_list])

    def oldest(self, of_list: WorkList) -> datetime | None:
        """Since when the first of them waits."""
        return min((each.oldest for each in self.totals[of_list] if each.oldest is not None), default=None)


class Books(Struct, frozen=True, kw_only=True):
    """Clearing accounts that are not at zero, and what keeps them from it."""

    read_at: datetime
    balances: Sequence[ClearingBalance]
    items: Mapping[str, Sequence[OpenItems]]


class Audit(Struct, frozen=True, kw_only=True):
    """Of the payments that are final, how many have all that must stand beside them. ``examined_until``: the newest
    minute that was looked at. ``repeats``: what repeated instructions came to in the last day, by the rates' names.
    ``sealing``: how far sealing is behind; None where it is off, or has not begun."""

    read_at: datetime
    windows: Mapping[str, Completeness]
    examined_until: datetime | None
    repeats: Mapping[str, int]
    sealing: SealingLag | None


class ProcessRate(Struct, frozen=True, kw_only=True):
    """How much one kind of process did, and how fast: a minute, and in milliseconds."""

    name: str
    per_minute: float
    p50_ms: float | None
    p99_ms: float | None


class Processes(Struct, frozen=True, kw_only=True):
    """One line a kind of process."""

    read_at: datetime
    rates: Sequence[ProcessRate]


class Trends(Struct, frozen=True, kw_only=True):
    """Values by what they are of, step by step; and when releases and configurations changed."""

    read_at: datetime
    since: datetime
    step_s: int
    samples: Mapping[str, Sequence[Step]]
    rates: Mapping[str, Sequence[Step]]
    p99_ms: Sequence[Step]
    marks: Sequence[Deployment]


class OverviewReader:
    """Reads blocks for one process; several viewers share a reading. They raise what the database raises."""

    def __init__(self, pool: asyncpg.Pool, clock: Clock, alerts: AlertBook, settings: Settings) -> None:
        self._pool = pool
        self._clock = clock
        self._settings = settings
        self._work = WorkReads(pool)
        self._numbers = NumberReads(pool, clock)
        self._rates = RateBook(pool, clock)
        self._trends = TrendBook(pool, clock)
        self._deployments = DeploymentBook(pool)
        self._alerts = alerts
        self._kept = KeptReadings(clock)
        self._begun: FirstSteps | None = None

    async def waiting(self, merchants: frozenset[str] | None, *, by_itself: bool = False) -> WaitingWork:
        """What waits of these merchants; None is all, and what belongs to none. ``by_itself``: a browser renews an open
        page."""
        keep_ms, longest_ms = (RENEWED_WAITING_MS, LONGEST_MS) if by_itself else (WAITING_MS, WAITING_MS)
        return await self._kept.get(
            ("waiting", merchants), keep_ms, lambda: self._waiting(merchants), longest_ms=longest_ms
        )

    async def books(self) -> Books:
        """Clearing balances."""
        return await self._kept.get("books", BOOKS_MS, self._books)

    async def audit(self) -> Audit:
        """Completeness, and repeated instructions."""
        return await self._kept.get("audit", AUDIT_MS, self._audit)

    async def processes(self) -> Processes:
        """Rates and times."""
        return await self._kept.get("processes", PROCESSES_MS, self._processes)

    async def trends(self, span: str) -> Trends:
        """One of ``SPANS``."""
        return await self._kept.get(("trends", span), TRENDS_MS, lambda: self._read_trends(span))

    async def first_steps(self) -> FirstSteps:
        """What a new platform has already. A platform that has had a payment is not asked again."""
        if self._begun is None:
            steps = await first_steps(self._pool)
            if not steps.payments:
                return steps
            self._begun = steps
        return self._begun

    async def provider_trends(self, span: str) -> ProviderTrends:
        """How long calls took, and how they ended, of one of ``SPANS``."""
        return await self._kept.get(("providers", span), TRENDS_MS, lambda: self._read_provider_trends(span))

    async def _waiting(self, merchants: frozenset[str] | None) -> WaitingWork:
        which = WorkFilter(merchants=merchants)
        totals = {name: await self._work.totals(name, which) for name in _COUNTED}
        all_of_it, now = merchants is None, self._clock.now()
        return WaitingWork(
            read_at=now,
            totals=totals,
            asking=await read_asked(self._pool, self._clock.shift_ms) if all_of_it else [],
            cases=await self._numbers.cases_waiting(now - UNASSIGNED_AFTER) if all_of_it else [],
            alerts=await self._alerts.unresolved() if all_of_it else [],
            backlog=await read_under_way(self._pool) if all_of_it else [],
        )

    async def _books(self) -> Books:
        balances = await self._numbers.clearing_balances()
        return Books(read_at=self._clock.now(), balances=balances, items=await account_items(self._numbers))

    async def _audit(self) -> Audit:
        now = self._clock.now()
        windows = {
            name: await self._numbers.complete_since((now - window).replace(second=0, microsecond=0))
            for name, window in WINDOWS.items()
        }
        return Audit(
            read_at=now,
            windows=windows,
            examined_until=await self._numbers.examined_until(),
            repeats=cast(Mapping[str, int], await self._rates.between(now - timedelta(days=1), now)),
            sealing=await read_lag(self._pool, self._clock, self._settings),
        )

    async def _processes(self) -> Processes:
        now = self._clock.now()
        counted = await self._trends.latencies_since(
            now.replace(second=0, microsecond=0) - timedelta(minutes=RATE_MINUTES)
        )
        minutes = RATE_MINUTES + now.second / 60
        return Processes(
            read_at=now,
            rates=[
                ProcessRate(
                    name=name,
                    per_minute=sum(counted.get(name, {}).values()) / minutes,
                    p50_ms=percentile_ms(counted.get(name, {}), 0.5),
                    p99_ms=percentile_ms(counted.get(name, {}), 0.99),
                )
                for name in PROCESSES
            ],
        )

    async def _read_trends(self, span: str) -> Trends:
        back, step_s = SPANS[span]
        now = self._clock.now()
        since = now - back
        times = await self._trends.latency_steps("api", since, step_s)
        return Trends(
            read_at=now,
            since=since,
            step_s=step_s,
            samples=_by_what(await self._trends.samples(SAMPLES, since, step_s)),
            rates=_by_what(await self._trends.rates(RATES, since, step_s)),
            p99_ms=[
                Step(what="api", step=step, value=round(percentile_ms(counts, 0.99) or 0))
                for step, counts in times.items()
            ],
            marks=await self._marks(since),
        )

    async def _marks(self, since: datetime) -> Sequence[Deployment]:
        return [each for each in await self._deployments.since(since, MARKS) if each.kind == "release" or each.changed]

    async def _read_provider_trends(self, span: str) -> ProviderTrends:
        back, step_s = SPANS[span]
        now = self._clock.now()
        return await read_provider_trends(self._trends, now - back, now, step_s, await self._marks(now - back))


def _by_what(steps: Sequence[Step]) -> dict[str, list[Step]]:
    found: dict[str, list[Step]] = {}
    for each in steps:
        found.setdefault(each.what, []).append(each)
    return found
