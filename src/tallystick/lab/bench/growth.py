"""What a payment and a read cost on a database with millions of payments, beside an empty one of the same build.

One database is filled step by step; at each size it is measured in turns with an empty one, so that what else the
machine does meets both.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

import asyncpg
import uvloop
from msgspec import Struct

from tallystick.access import key_store
from tallystick.lab.bench.fill import database_gb, fill
from tallystick.lab.bench.latency import Latency, latency
from tallystick.lab.bench.over_http import HttpFigures, Line, Plan, measure_http
from tallystick.lab.bench.provider_latency import DEFAULT
from tallystick.lab.bench.stage import HOST, Database, StageFailed, open_database, open_server
from tallystick.lab.bench.workload import MERCHANT, PATH
from tallystick.settings.load import Settings

Announce = Callable[[str, int, int], None]

#: The playback that ``measure_http`` ends its rounds with; nothing here is compared with it.
_CEILING_PAYMENTS: Final = 200

_ID_TIME: Final = slice(4, 16)  # of "pay_0123456789ab…": the milliseconds, in 12 hexadecimal digits

#: A day of payments, as a report asks for them.
_RANGE: Final = timedelta(days=1)

#: Far beyond the last payment.
_LATER: Final = timedelta(days=36_500)


class GrowthPlan(Struct, frozen=True, kw_only=True):
    """``sizes``: payments, ascending; 0 is the empty database alone. ``reads``: of each kind, one after another."""

    sizes: list[int]
    rounds: int
    duration_s: float
    warm_up_s: float
    connections: int
    rate_per_s: float
    reads: int


class Cost(Struct, frozen=True, kw_only=True):
    """Of one database. ``cpu_us``: of API and database a payment, at saturation. ``p99_ms`` at the given rate.
    ``reads``: latencies of each kind of request."""

    per_s: float
    cpu_us: float
    p50_ms: float
    p99_ms: float
    carried: bool
    reads: dict[str, Latency]


class Point(Struct, frozen=True, kw_only=True):
    """One size. ``rate_of_empty``: the median of each round's own ratio."""

    payments: int
    database_gb: float
    empty: Cost
    filled: Cost
    rate_of_empty: float
    failures: int

    def ratios(self) -> dict[str, float]:
        """Each curve's value: the filled database's figure by the empty one's."""
        reads = {what: self.filled.reads[what].p50_ms / self.empty.reads[what].p50_ms for what in self.filled.reads}
        one = reads.pop(ONE_PAYMENT)
        return {
            "payments/s": self.rate_of_empty,
            "CPU a payment": self.filled.cpu_us / self.empty.cpu_us,
            "p99 of an open loop": self.filled.p99_ms / self.empty.p99_ms,
            f"{ONE_PAYMENT}, p50": one,
            "slowest list, p50": max(reads.values()),
        }


class GrowthFigures(Struct, frozen=True, kw_only=True):
    """The figures of ``bench growth``."""

    plan: GrowthPlan
    api_processes: int
    shared_buffers: str
    points: list[Point]

    def failed(self) -> int:
        """Requests that were not answered as they should have been."""
        return sum(point.failures for point in self.points)


def measure_growth(
    settings: Settings, data_dir: Path, logs: Path, plan: GrowthPlan, announce: Announce
) -> GrowthFigures:
    """Fills the database in ``data_dir``, size by size, and measures. Raises StageFailed, and what the database
    raises."""
    points: list[Point] = []
    with open_database(data_dir) as filled:
        shared_buffers = uvloop.run(_shared_buffers(filled.owner_url))
        for size in sorted(plan.sizes):
            if size:
                fill(filled.owner_url, filled.app_url, size, announce)
            with open_database(None) as empty:
                sides = {"empty": empty, "filled": filled} if size else {"empty": empty}
                points.append(_point(settings, sides, size, logs, plan, announce))
    return GrowthFigures(plan=plan, api_processes=settings.api_processes, shared_buffers=shared_buffers, points=points)


def _point(
    settings: Settings, sides: Mapping[str, Database], size: int, logs: Path, plan: GrowthPlan, announce: Announce
) -> Point:
    loads = Plan(
        rounds=plan.rounds,
        duration_s=plan.duration_s,
        warm_up_s=plan.warm_up_s,
        connections=[plan.connections],
        rates_per_s=[plan.rate_per_s],
        ceiling_payments=_CEILING_PAYMENTS,
    )

    def labelled(what: str, done: int, total: int) -> None:
        announce(f"{size:,} payments: {what}", done, total)

    http = measure_http(settings, dict(sides), logs, loads, labelled)
    with ExitStack() as stack:
        reads = {name: _reads(stack, settings, side, logs, plan) for name, side in sides.items()}
    costs = {name: _cost(http, name, reads[name]) for name in sides}
    last = list(sides)[-1]
    return Point(
        payments=size,
        database_gb=database_gb(sides[last].owner_url),
        empty=costs["empty"],
        filled=costs[last],
        rate_of_empty=1.0 if http.filled_of_empty is None else http.filled_of_empty,
        failures=http.failed(),
    )


def _cost(http: HttpFigures, database: str, reads: dict[str, Latency]) -> Cost:
    closed, opened = (_line(http, what, database) for what in ("closed loop", "open loop"))
    return Cost(
        per_s=closed.per_s,
        cpu_us=sum(closed.cpu_us[name] for name in ("api", "postgres")),
        p50_ms=opened.latency.p50_ms,
        p99_ms=opened.latency.p99_ms,
        carried=opened.carried,
        reads=reads,
    )


def _line(http: HttpFigures, what: str, database: str) -> Line:
    return next(line for line in http.lines if (line.kind.what, line.kind.database) == (what, database))


ONE_PAYMENT: Final = "GET a payment"


class _Known(Struct, frozen=True):
    payment_id: str
    reference: str
    created_at: datetime


def _requests(known: Sequence[_Known]) -> dict[str, list[str]]:
    """Paths of each kind: one for each known payment."""

    def listed(**query: str) -> str:
        return f"{PATH}?{urlencode(query)}"

    later = (datetime.now(UTC) + _LATER).isoformat()
    return {
        ONE_PAYMENT: [f"{PATH}/{each.payment_id}" for each in known],
        "list": [PATH for _ in known],
        "state, hit": [listed(state="captured") for _ in known],
        "state, miss": [listed(state="authorized") for _ in known],
        "reference, hit": [listed(provider_reference=each.reference) for each in known],
        "reference, miss": [listed(provider_reference=f"{each.reference}_not") for each in known],
        "created range, hit": [
            listed(created_gte=each.created_at.isoformat(), created_lt=(each.created_at + _RANGE).isoformat())
            for each in known
        ],
        "created range, miss": [listed(created_gte=later) for _ in known],
    }


def _reads(
    stack: ExitStack, settings: Settings, database: Database, logs: Path, plan: GrowthPlan
) -> dict[str, Latency]:
    server = stack.enter_context(open_server("api", settings, database, logs / "reads.log", latency=DEFAULT))
    api_key = uvloop.run(key_store.create_key(database.app_url, MERCHANT))
    known = uvloop.run(_known(database.app_url, plan.reads))
    connection = HTTPConnection(HOST, server.port, timeout=60)
    try:
        return {what: _timed(connection, api_key, paths) for what, paths in _requests(known).items()}
    finally:
        connection.close()


def _timed(connection: HTTPConnection, api_key: str, paths: Sequence[str]) -> Latency:
    times = []
    for path in paths:
        started = time.perf_counter()
        connection.request("GET", path, headers={"authorization": f"Bearer {api_key}"})
        answer = connection.getresponse()
        answer.read()
        times.append(time.perf_counter() - started)
        if answer.status != 200:
            raise StageFailed(f"GET {path} was answered {answer.status}")
    return latency(times)


async def _known(app_url: str, count: int) -> list[_Known]:
    """Payments of the benchmark's merchant, from all of its time."""
    connection = await asyncpg.connect(app_url)
    rng = random.Random()
    try:
        ends = await connection.fetchrow(
            "SELECT min(payment_id) AS first, max(payment_id) AS last FROM payment WHERE merchant_id = $1", MERCHANT
        )
        assert ends is not None, "an aggregate has a row"
        first, last = (int(ends[name][_ID_TIME], 16) for name in ("first", "last"))
        found = [
            await connection.fetchrow(
                "SELECT payment_id, provider_reference, created_at FROM payment"
                " WHERE merchant_id = $1 AND payment_id >= $2 AND provider_reference IS NOT NULL"
                " ORDER BY payment_id LIMIT 1",
                MERCHANT,
                f"pay_{rng.randint(first, last):012x}",
            )
            for _ in range(count)
        ]
    finally:
        await connection.close()
    return [_Known(*row) for row in found if row is not None]


async def _shared_buffers(owner_url: str) -> str:
    connection = await asyncpg.connect(owner_url)
    try:
        return str(await connection.fetchval("SHOW shared_buffers"))
    finally:
        await connection.close()
