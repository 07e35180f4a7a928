"""Payments over HTTP: the API in processes as ``serve`` runs it, load from a separate process, ceilings in between."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import msgspec
import uvloop
from msgspec import Struct

from tallystick.access import key_store
from tallystick.lab.bench.ceiling import ceiling_per_s
from tallystick.lab.bench.cpu import seconds_by_name, spent
from tallystick.lab.bench.generator import GRACE_S, Load, LoadResult
from tallystick.lab.bench.latency import Latency, median, median_latency
from tallystick.lab.bench.stage import HOST, Database, Server, StageFailed, open_server, process_trees
from tallystick.lab.bench.workload import MERCHANT
from tallystick.settings.load import Settings

Announce = Callable[[str, int, int], None]


class Plan(Struct, frozen=True, kw_only=True):
    """Sizes of the loads."""

    rounds: int
    duration_s: float
    warm_up_s: float
    connections: list[int]
    rate_per_s: float
    rate_connections: int
    ceiling_payments: int


class Measured(Struct, frozen=True, kw_only=True):
    """One load, and the CPU seconds that each process tree spent in its measured time."""

    result: LoadResult
    cpu_s: dict[str, float]


class Line(Struct, frozen=True, kw_only=True):
    """The same load over all rounds: medians, and every round's rate."""

    what: str
    database: str
    connections: int
    per_s: float
    per_s_by_round: list[float]
    latency: Latency
    cpu_s: dict[str, float]
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
    open_loop_p99_ms: float
    filled_of_empty: float | None

    def failed(self) -> int:
        """Requests that were not answered as they should have been."""
        return sum(sum(line.failures.values()) for line in self.lines)


class _Site(Struct, frozen=True, kw_only=True):
    name: str
    database: Database
    server: Server
    api_key: str


def measure_http(
    settings: Settings, databases: dict[str, Database], logs: Path, plan: Plan, announce: Announce
) -> HttpFigures:
    """Every round runs every load once, one after another. ``databases`` by name: "empty", "filled", or one alone; the
    first named is judged. Raises StageFailed."""
    found: dict[tuple[str, str, int], list[Measured]] = {}
    ceilings: dict[str, list[float]] = {name: [] for name in databases}
    with ExitStack() as stack:
        first = next(iter(databases.values()))
        noop = stack.enter_context(open_server("noop", settings, first, logs / "noop.log"))
        sites = []
        for name, database in databases.items():
            server = stack.enter_context(open_server("api", settings, database, logs / f"{name}.log"))
            api_key = uvloop.run(key_store.create_key(database.app_url, MERCHANT))
            sites.append(_Site(name=name, database=database, server=server, api_key=api_key))
        idle = _Site(name="none", database=first, server=noop, api_key=sites[0].api_key)
        steps = len(sites) * (len(plan.connections) + 2) + 1
        for number in range(plan.rounds):
            done = number * steps
            for what, site, connections in _loads(plan, sites, idle):
                rate = plan.rate_per_s if what == "open loop" else None
                measured = _measure(plan, site, connections, rate)
                found.setdefault((what, site.name, connections), []).append(measured)
                done += 1
                announce(f"{plan.rounds} rounds over HTTP", done, plan.rounds * steps)
            for site in sites:
                ceiling = uvloop.run(ceiling_per_s(site.database.app_url, plan.ceiling_payments))
                ceilings[site.name].append(ceiling)
                done += 1
                announce(f"{plan.rounds} rounds over HTTP", done, plan.rounds * steps)
    return _figures(settings, plan, list(databases), found, ceilings)


def _loads(plan: Plan, sites: Sequence[_Site], idle: _Site) -> list[tuple[str, _Site, int]]:
    loads = [("no-op POST", idle, max(plan.connections))]
    # Site after site within each load, so that what the machine does meanwhile meets both alike.
    loads += [("closed loop", site, connections) for connections in plan.connections for site in sites]
    loads += [("open loop", site, plan.rate_connections) for site in sites]
    return loads


def _measure(plan: Plan, site: _Site, connections: int, rate_per_s: float | None) -> Measured:
    load = Load(
        host=HOST,
        port=site.server.port,
        api_key=site.api_key,
        connections=connections,
        warm_up_s=plan.warm_up_s,
        duration_s=plan.duration_s,
        rate_per_s=rate_per_s,
    )
    return run_load(load, process_trees(site.server, site.database))


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
            answer = process.stdout.readline()
            # The generator waits to be read, not reaped: its own books are still open.
            after = seconds_by_name(trees)
            process.wait(load.duration_s + GRACE_S)
        finally:
            process.kill()
    if started.strip() != b"measuring" or not answer:
        raise StageFailed(f"the load generator ended with {process.returncode}")
    return Measured(result=msgspec.json.decode(answer, type=LoadResult), cpu_s=spent(before, after))


def _figures(
    settings: Settings,
    plan: Plan,
    names: Sequence[str],
    found: dict[tuple[str, str, int], list[Measured]],
    ceilings: dict[str, list[float]],
) -> HttpFigures:
    lines = {key: _line(key, rounds) for key, rounds in found.items()}
    best = {
        name: max(
            (line for (what, site, _), line in lines.items() if what == "closed loop" and site == name),
            key=lambda line: line.per_s,
        )
        for name in names
    }
    judged, noop = best[names[0]], lines["no-op POST", "none", max(plan.connections)]
    both = "filled" in best and "empty" in best
    return HttpFigures(
        plan=plan,
        api_processes=settings.api_processes,
        lines=list(lines.values()),
        ceiling_per_s={name: median(rounds) for name, rounds in ceilings.items()},
        noop_per_s=noop.per_s,
        saturation_per_s=judged.per_s,
        of_noop=_ratio(judged.per_s_by_round, noop.per_s_by_round),
        of_ceiling=_ratio(judged.per_s_by_round, ceilings[names[0]]),
        open_loop_p99_ms=lines["open loop", names[0], plan.rate_connections].latency.p99_ms,
        filled_of_empty=_ratio(best["filled"].per_s_by_round, best["empty"].per_s_by_round) if both else None,
    )


def _line(key: tuple[str, str, int], rounds: Sequence[Measured]) -> Line:
    what, database, connections = key
    failures: dict[str, int] = {}
    for each in rounds:
        for reason, count in each.result.failures.items():
            failures[reason] = failures.get(reason, 0) + count
    return Line(
        what=what,
        database=database,
        connections=connections,
        per_s=median([each.result.per_s for each in rounds]),
        per_s_by_round=[each.result.per_s for each in rounds],
        latency=median_latency([each.result.latency for each in rounds]),
        cpu_s={name: median([each.cpu_s[name] for each in rounds]) for name in rounds[0].cpu_s},
        failures=failures,
    )


def _ratio(figures: Sequence[float], ceilings: Sequence[float]) -> float:
    return median([figure / ceiling for figure, ceiling in zip(figures, ceilings, strict=True)])
