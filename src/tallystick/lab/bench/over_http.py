"""Payments over HTTP: the API in processes as ``serve`` runs it, load from a separate process, ceilings in between."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from math import ceil
from pathlib import Path
from typing import Final

import msgspec
import uvloop
from msgspec import Struct

from tallystick.access import key_store
from tallystick.lab.bench.ceiling import ceiling_per_s
from tallystick.lab.bench.cpu import seconds_by_name, spent
from tallystick.lab.bench.generator import Load, LoadResult
from tallystick.lab.bench.latency import Latency, median, median_latency
from tallystick.lab.bench.provider_latency import DEFAULT, ProviderLatency
from tallystick.lab.bench.stage import HOST, Database, Server, StageFailed, open_server, process_trees
from tallystick.lab.bench.workload import MERCHANT
from tallystick.settings.load import Settings

Announce = Callable[[str, int, int], None]


#: Requests under way of an open loop need a connection each. With some 40 under way at 1,000/s a stall of 200 ms must
#: not run out of connections.
FEWEST_RATE_CONNECTIONS: Final = 256

#: Beside what a provider makes wait on average, so much longer may a payment take before connections run out.
SPARE_S: Final = 0.2


#: A payment takes the provider's 20 ms and two batches: with 128 clients the process still waits, with 400 it does not.
SATURATING_CONNECTIONS: Final = (128, 400)

#: More than two cores carry beside their own load generator.
HIGHEST_RATE_PER_S: Final = 4_000


class Plan(Struct, frozen=True, kw_only=True):
    """Sizes of the loads. ``rates_per_s``: one open loop each. ``provider``: how long the in-process provider takes."""

    rounds: int
    duration_s: float
    warm_up_s: float
    connections: list[int]
    rates_per_s: list[float]
    ceiling_payments: int
    provider: ProviderLatency = DEFAULT


class Measured(Struct, frozen=True, kw_only=True):
    """One load, and the CPU seconds that each process tree spent in its measured time."""

    result: LoadResult
    cpu_s: dict[str, float]


class Kind(Struct, frozen=True, kw_only=True):
    """One load on one database. ``rate_per_s`` None: closed loop."""

    what: str
    database: str
    connections: int
    rate_per_s: float | None = None


class Line(Struct, frozen=True, kw_only=True):
    """The same load over all rounds: medians, and every round's rate. ``cpu_us``: CPU a payment by process tree.
    ``carried``: whether most rounds carried the rate of an open loop; ``failures``: of the rounds that did."""

    kind: Kind
    per_s: float
    per_s_by_round: list[float]
    latency: Latency
    cpu_s: dict[str, float]
    cpu_us: dict[str, float]
    carried: bool
    failures: dict[str, int]


class HttpFigures(Struct, frozen=True, kw_only=True):
    """The figures of ``bench payments``. Ratios are medians of each round's own ratio."""

    plan: Plan
    api_processes: int
    lines: list[Line]
    ceiling_per_s: dict[str, float]
    noop_per_s: float
    saturation_per_s: float
    of_noop: float
    of_ceiling: float
    filled_of_empty: float | None

    def failed(self) -> int:
        """Requests that were not answered as they should have been, at rates that the machine carries."""
        return sum(sum(line.failures.values()) for line in self.lines)

    def p99_ms_at(self, rate_per_s: float) -> float | None:
        """Of the open loop with this rate on the first database, if there was one."""
        lines = (line for line in self.lines if line.kind.rate_per_s == rate_per_s)
        return next((line.latency.p99_ms for line in lines), None)


class _Site(Struct, frozen=True, kw_only=True):
    database: Database
    server: Server
    api_key: str


def measure_http(
    settings: Settings, databases: dict[str, Database], logs: Path, plan: Plan, announce: Announce
) -> HttpFigures:
    """Every round runs every load once, one after another. ``databases`` by name: "empty", "filled", or one alone; the
    first named is judged. Raises StageFailed."""
    found: dict[Kind, list[Measured]] = {}
    ceilings: dict[str, list[float]] = {name: [] for name in databases}
    with ExitStack() as stack:
        first = next(iter(databases.values()))
        noop = stack.enter_context(open_server("noop", settings, first, logs / "noop.log"))
        sites = {}
        for name, database in databases.items():
            log = logs / f"{name}.log"
            server = stack.enter_context(open_server("api", settings, database, log, latency=plan.provider))
            api_key = uvloop.run(key_store.create_key(database.app_url, MERCHANT))
            sites[name] = _Site(database=database, server=server, api_key=api_key)
        sites[NO_DATABASE] = _Site(database=first, server=noop, api_key=sites[next(iter(databases))].api_key)
        kinds = _kinds(plan, list(databases))
        steps = len(kinds) + len(databases)
        for number in range(plan.rounds):
            done = number * steps
            for kind in kinds:
                found.setdefault(kind, []).append(_measure(plan, sites[kind.database], kind))
                done += 1
                announce(f"{plan.rounds} rounds over HTTP", done, plan.rounds * steps)
            for name, database in databases.items():
                ceilings[name].append(uvloop.run(ceiling_per_s(database.app_url, plan.ceiling_payments)))
                done += 1
                announce(f"{plan.rounds} rounds over HTTP", done, plan.rounds * steps)
    return _figures(settings, plan, list(databases), found, ceilings)


#: The database of the no-op POST.
NO_DATABASE: Final = "none"


def _kinds(plan: Plan, databases: Sequence[str]) -> list[Kind]:
    kinds = [Kind(what="no-op POST", database=NO_DATABASE, connections=max(plan.connections))]
    # Site after site within each load, so that what the machine does meanwhile meets both alike.
    for connections in plan.connections:
        kinds += [Kind(what="closed loop", database=name, connections=connections) for name in databases]
    for rate in plan.rates_per_s:
        connections = rate_connections(rate, plan.provider)
        kinds += [Kind(what="open loop", database=name, connections=connections, rate_per_s=rate) for name in databases]
    return kinds


def rate_connections(rate_per_s: float, provider: ProviderLatency = DEFAULT) -> int:
    """Connections of an open loop: twice what is under way, so that its tail does not wait for one."""
    return max(FEWEST_RATE_CONNECTIONS, ceil(2 * rate_per_s * (provider.mean_s() + SPARE_S)))


def saturating_connections(provider: ProviderLatency) -> list[int]:
    """Clients of the closed loops: as many more as a slower provider makes wait at the highest rate."""
    waiting = ceil(HIGHEST_RATE_PER_S * max(0.0, provider.mean_s() - DEFAULT.mean_s()))
    return [connections + waiting for connections in SATURATING_CONNECTIONS]


def _measure(plan: Plan, site: _Site, kind: Kind) -> Measured:
    load = Load(
        host=HOST,
        port=site.server.port,
        api_key=site.api_key,
        connections=kind.connections,
        warm_up_s=plan.warm_up_s,
        duration_s=plan.duration_s,
        rate_per_s=kind.rate_per_s,
    )
    return run_load(load, process_trees(site.server, site.database))


_RESULT: Final = msgspec.json.Decoder(LoadResult)


def run_load(load: Load, roots: dict[str, int]) -> Measured:
    """Run the generator in a process of its own. ``roots``: the process trees to count CPU time of, by name. Raises
    StageFailed where the generator fails."""
    command = [sys.executable, "-m", "tallystick.lab.bench.generator", msgspec.json.encode(load).decode()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as process:
        try:
            assert process.stdout is not None
            trees = {**roots, "generator": process.pid}
            started = process.stdout.readline()
            before = seconds_by_name(trees)
            process.stdout.readline()
            after = seconds_by_name(trees)
            answer = process.stdout.readline()
            process.wait(load.duration_s + load.grace_s)
        finally:
            process.kill()
    if started.strip() != b"measuring" or not answer:
        raise StageFailed(f"the load generator ended with {process.returncode}")
    return Measured(result=_RESULT.decode(answer), cpu_s=spent(before, after))


def _figures(
    settings: Settings,
    plan: Plan,
    names: Sequence[str],
    found: dict[Kind, list[Measured]],
    ceilings: dict[str, list[float]],
) -> HttpFigures:
    lines = [_line(kind, rounds) for kind, rounds in found.items()]
    best = {
        name: max(
            (line for line in lines if line.kind.what == "closed loop" and line.kind.database == name),
            key=lambda line: line.per_s,
        )
        for name in names
    }
    judged = best[names[0]]
    noop = next(line for line in lines if line.kind.database == NO_DATABASE)
    both = "filled" in best and "empty" in best
    return HttpFigures(
        plan=plan,
        api_processes=settings.api_processes,
        lines=lines,
        ceiling_per_s={name: median(rounds) for name, rounds in ceilings.items()},
        noop_per_s=noop.per_s,
        saturation_per_s=judged.per_s,
        of_noop=_ratio(judged.per_s_by_round, noop.per_s_by_round),
        of_ceiling=_ratio(judged.per_s_by_round, ceilings[names[0]]),
        filled_of_empty=_ratio(best["filled"].per_s_by_round, best["empty"].per_s_by_round) if both else None,
    )


def _line(kind: Kind, rounds: Sequence[Measured]) -> Line:
    failures: dict[str, int] = {}
    carried = [kind.rate_per_s is None or each.result.carried(kind.rate_per_s) for each in rounds]
    for each, counts in zip(rounds, carried, strict=True):
        for reason, count in each.result.failures.items() if counts else ():
            failures[reason] = failures.get(reason, 0) + count
    return Line(
        kind=kind,
        per_s=median([each.result.per_s for each in rounds]),
        per_s_by_round=[each.result.per_s for each in rounds],
        latency=median_latency([each.result.latency for each in rounds]),
        cpu_s={name: median([each.cpu_s[name] for each in rounds]) for name in rounds[0].cpu_s},
        cpu_us={
            name: round(median([each.cpu_s[name] / max(each.result.completed, 1) * 1e6 for each in rounds]), 1)
            for name in rounds[0].cpu_s
        },
        carried=2 * sum(carried) > len(rounds),
        failures=failures,
    )


def _ratio(figures: Sequence[float], ceilings: Sequence[float]) -> float:
    return median([figure / ceiling for figure, ceiling in zip(figures, ceilings, strict=True)])
