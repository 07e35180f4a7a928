"""What it costs to explain a payment of a filled database, by each kind of name that a trace can be asked by.

As the command does it: on a new connection for each name, where nothing is prepared (``cold``), and on one that knows
the statements (``warm``). Each name is of a random payment, so that what is read is in no cache of the database by
chance. And as the API does it, over HTTP.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final

import asyncpg
import uvloop
from msgspec import Struct

from tallystick.access import key_store
from tallystick.lab.bench.before_after.wire import CountedWire
from tallystick.lab.bench.fill import database_gb
from tallystick.lab.bench.latency import Latency, latency
from tallystick.lab.bench.provider_latency import DEFAULT
from tallystick.lab.bench.stage import HOST, Database, StageFailed, open_server
from tallystick.lab.bench.targets import TRACE_MS, TRACE_ROUND_TRIPS, Judged, judge
from tallystick.lab.bench.trace_names import Names, draw_names, make_payments
from tallystick.lab.bench.workload import PATH
from tallystick.oversight.trace.payment import PaymentTrace, trace_of
from tallystick.providers.registry import PROVIDERS
from tallystick.record.postgres.connections import connect_journal
from tallystick.record.postgres.pipeline import PipelineConnection
from tallystick.record.postgres.trace_find import find_payments
from tallystick.record.postgres.trace_rows import piped_trace_rows
from tallystick.settings.load import Settings

Announce = Callable[[str, int, int], None]

#: Each provider's own account, as the command looks for references at.
ACCOUNTS: Final = [(provider, "main") for provider in sorted(PROVIDERS)]

#: Of each kind so many are counted on the wire: all take the same.
COUNTED: Final = 5

_STATEMENT_TIMEOUT_MS: Final = 60_000


class TraceCost(Struct, frozen=True, kw_only=True):
    """Of one kind of name. ``cold``: with a new connection, which is in the time; ``warm``: on one that is open and
    knows the statements. ``round_trips``: the most of any, without those that open a connection."""

    names: int
    cold: Latency
    warm: Latency
    round_trips: int


class TraceFigures(Struct, frozen=True, kw_only=True):
    """The figures of ``bench trace``. ``over_http``: a payment by its id, as its merchant asks."""

    payments: int
    database_gb: float
    kinds: dict[str, TraceCost]
    over_http: Latency

    def judged(self) -> list[Judged]:
        """The worst of all kinds beside its target."""
        slowest_ms = max(cost.p95_ms for each in self.kinds.values() for cost in (each.cold, each.warm))
        return [
            judge(TRACE_MS, max(slowest_ms, self.over_http.p95_ms)),
            judge(TRACE_ROUND_TRIPS, max(each.round_trips for each in self.kinds.values())),
        ]


def measure_trace(
    settings: Settings, database: Database, logs: Path, names: int, rng: random.Random, announce: Announce
) -> TraceFigures:
    """Draws ``names`` of each kind, and traces each twice. Raises StageFailed, and what the database raises."""
    settings = database.settings_for(settings)
    made_for = uvloop.run(make_payments(settings, database.app_url, names, announce))
    drawn = uvloop.run(draw_names(database.app_url, made_for, names, rng))
    kinds = {}
    for number, (what, named) in enumerate(drawn.items()):
        announce("kinds of names", number, len(drawn))
        cold = latency(uvloop.run(_cold(settings, database.app_url, named)))
        warm = latency(uvloop.run(_warm(settings, database.app_url, named)))
        round_trips = uvloop.run(most_round_trips(settings, database.app_url, named[:COUNTED]))
        kinds[what] = TraceCost(names=len(named), cold=cold, warm=warm, round_trips=round_trips)
    announce("kinds of names", len(drawn), len(drawn))
    with ExitStack() as stack:
        over_http = _over_http(stack, settings, database, logs, drawn)
    return TraceFigures(
        payments=uvloop.run(_payments(database.app_url)),
        database_gb=database_gb(database.owner_url),
        kinds=kinds,
        over_http=over_http,
    )


async def traced(connection: PipelineConnection, settings: Settings, name: str, payment_id: str) -> PaymentTrace:
    """What ``tallystick trace NAME`` reads and makes of it. Raises StageFailed if it is not this payment."""
    found = await find_payments(connection, name, None, ACCOUNTS)
    if [each.payment_id for each in found] != [payment_id]:
        raise StageFailed(f"{name} is of {payment_id}, and found were {found}")
    rows = await piped_trace_rows(connection, found[0].merchant_id, payment_id)
    if rows is None:
        raise StageFailed(f"{payment_id} has no rows")
    return trace_of(rows, settings)


async def most_round_trips(settings: Settings, app_url: str, named: Sequence[tuple[str, str]]) -> int:
    """The most that one of them takes, on a connection that has prepared nothing. Raises StageFailed."""
    most = 0
    for name, payment_id in named:
        with CountedWire(app_url) as wire:
            connection = await connect_journal(wire.url, command_timeout_ms=_STATEMENT_TIMEOUT_MS)
            try:
                before = wire.counts().round_trips
                await traced(connection, settings, name, payment_id)
                most = max(most, wire.counts().round_trips - before)
            finally:
                await connection.close()
    return most


async def _cold(settings: Settings, app_url: str, named: Sequence[tuple[str, str]]) -> list[float]:
    times = []
    for name, payment_id in named:
        started = time.perf_counter()
        connection = await connect_journal(app_url, command_timeout_ms=_STATEMENT_TIMEOUT_MS)
        try:
            await traced(connection, settings, name, payment_id)
            times.append(time.perf_counter() - started)
        finally:
            await connection.close()
    return times


async def _warm(settings: Settings, app_url: str, named: Sequence[tuple[str, str]]) -> list[float]:
    connection = await connect_journal(app_url, command_timeout_ms=_STATEMENT_TIMEOUT_MS)
    try:
        await traced(connection, settings, *named[0])  # statements are prepared
        times = []
        for name, payment_id in named:
            started = time.perf_counter()
            await traced(connection, settings, name, payment_id)
            times.append(time.perf_counter() - started)
        return times
    finally:
        await connection.close()


def _over_http(stack: ExitStack, settings: Settings, database: Database, logs: Path, names: Names) -> Latency:
    """By the merchant of the most of them, each once."""
    owners = uvloop.run(_owners(database.app_url, [payment_id for _, payment_id in names["payment"]]))
    merchant = max(sorted(set(owners.values())), key=list(owners.values()).count)
    key = uvloop.run(key_store.create_key(database.app_url, merchant))
    server = stack.enter_context(open_server("api", settings, database, logs / "api.log", latency=DEFAULT))
    connection = HTTPConnection(HOST, server.port, timeout=60)
    stack.callback(connection.close)
    times = []
    for payment_id in (each for each, owner in owners.items() if owner == merchant):
        started = time.perf_counter()
        connection.request("GET", f"{PATH}/{payment_id}/trace", headers={"authorization": f"Bearer {key}"})
        answer = connection.getresponse()
        answer.read()
        times.append(time.perf_counter() - started)
        if answer.status != 200:
            raise StageFailed(f"the trace of {payment_id} was answered {answer.status}")
    return latency(times)


async def _owners(app_url: str, payments: Sequence[str]) -> dict[str, str]:
    """Payment -> its merchant."""
    connection = await connect_journal(app_url, command_timeout_ms=_STATEMENT_TIMEOUT_MS)
    try:
        found = [await find_payments(connection, each, None, ACCOUNTS) for each in payments]
    finally:
        await connection.close()
    return {each.payment_id: each.merchant_id for one in found for each in one}


async def _payments(app_url: str) -> int:
    """How many there are."""
    connection = await asyncpg.connect(app_url)
    try:
        count: Any = await connection.fetchval("SELECT count(*) FROM payment")
        return int(count)
    finally:
        await connection.close()
