"""Payments over HTTP in several checkouts: at saturation, and at given rates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from tallystick.lab.bench.before_after.checkouts import Checkout, Side
from tallystick.lab.bench.before_after.measure import Announce, Figures, Found, empty, turn
from tallystick.lab.bench.disk import SyncProbe
from tallystick.lab.bench.generator import Load
from tallystick.lab.bench.over_http import Measured, rate_connections, run_load
from tallystick.lab.bench.stage import HOST

#: Statement caches and connections are warm from the first round on; this only fills the queues again.
WARM_UP_S = 2.0

#: A side that falls behind is not waited for until all is answered: that it falls behind is what was to be known.
GRACE_S = 5.0

#: So little CPU is no CPU: a ratio needs something to divide by.
LEAST_CORES = 0.01

OTHERS = "CPU taken by others"


def measure_saturation(
    sides: Sequence[Checkout],
    rounds: int,
    duration_s: float,
    connections: int,
    settings: Mapping[str, str],
    announce: Announce,
) -> Found:
    """As many payments as so many clients can make, all sides up all the time. Raises StageFailed and SideFailed."""
    found = empty(sides, _units(""))
    with ExitStack() as stack:
        servers = _servers(stack, sides, settings)
        for number in range(rounds):
            for side in turn(number, sides):
                measured = _measure(servers[side], duration_s, connections)
                found.failed += sum(measured.result.failures.values())
                found.sides[side].append({"payments": measured.result.per_s, **_figures(measured, duration_s)})
            announce("rounds at saturation", number + 1, rounds)
    return found


def measure_rates(
    sides: Sequence[Checkout],
    rounds: int,
    duration_s: float,
    rates_per_s: Sequence[float],
    settings: Mapping[str, str],
    announce: Announce,
) -> Found:
    """Open loops at the given rates, and beside them how long the disk takes to sync. Raises StageFailed and
    SideFailed."""
    units = {name: unit for rate in rates_per_s for name, unit in _units(_at(rate)).items()}
    found = empty(sides, units)
    behind: dict[tuple[float, int], int] = {}
    with ExitStack() as stack:
        servers = _servers(stack, sides, settings)
        disk = stack.enter_context(SyncProbe())
        for number in range(rounds):
            lines: list[Figures] = [{} for _ in sides]
            for place, rate in enumerate(rates_per_s):
                for side in turn(number, sides):
                    measured = _measure(servers[side], duration_s, rate_connections(rate), rate)
                    lines[side] |= _figures(measured, duration_s, _at(rate))
                    if measured.result.carried(rate):
                        found.failed += sum(measured.result.failures.values())
                    else:
                        behind[rate, side] = behind.get((rate, side), 0) + 1
                announce("rounds at given rates", number * len(rates_per_s) + place + 1, rounds * len(rates_per_s))
            for side, line in enumerate(lines):
                found.sides[side].append(line)
        synced = disk.latency()
    found.notes = [
        f"{sides[side].commit} did not carry {rate:,.0f}/s in {times} of {rounds} rounds"
        for (rate, side), times in sorted(behind.items())
    ]
    found.notes.append(
        f"8 kB written and synced on this disk meanwhile: p50 {synced.p50_ms:.1f} ms, p95 {synced.p95_ms:.1f} ms, "
        f"p99 {synced.p99_ms:.1f} ms"
    )
    return found


def _servers(stack: ExitStack, sides: Sequence[Checkout], settings: Mapping[str, str]) -> list[Any]:
    opened = [stack.enter_context(Side(each, "api", settings=settings)) for each in sides]
    return [side.hear() for side in opened]


def _measure(server: Any, duration_s: float, connections: int, rate_per_s: float | None = None) -> Measured:
    load = Load(
        host=HOST,
        port=server["port"],
        api_key=server["api_key"],
        connections=connections,
        warm_up_s=WARM_UP_S,
        duration_s=duration_s,
        rate_per_s=rate_per_s,
        grace_s=GRACE_S,
    )
    return run_load(load, {"api": server["api_pid"], "postgres": server["postgres_pid"]})


def _at(rate_per_s: float) -> str:
    return f"{rate_per_s:,.0f}/s: "


def _units(at: str) -> dict[str, str]:
    cpu = {f"{at}CPU a payment{of}": "µs" for of in ("", ", API", ", PostgreSQL")}
    return {"payments": "/s", f"{at}p50": "ms", f"{at}p99": "ms", f"{at}{OTHERS}": "of a core"} | cpu


def _figures(measured: Measured, duration_s: float, at: str = "") -> Figures:
    result, cpu_s = measured.result, measured.cpu_s
    api, postgres = (cpu_s[name] / max(result.completed, 1) * 1e6 for name in ("api", "postgres"))
    return {
        f"{at}p50": result.latency.p50_ms,
        f"{at}p99": result.latency.p99_ms,
        f"{at}CPU a payment": api + postgres,
        f"{at}CPU a payment, API": api,
        f"{at}CPU a payment, PostgreSQL": postgres,
        f"{at}{OTHERS}": max(cpu_s["others"] / duration_s, LEAST_CORES),
    }
