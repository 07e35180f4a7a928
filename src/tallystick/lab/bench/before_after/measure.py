"""The three comparisons. In each, both sides take turns: what else the machine does meets both alike."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from msgspec import Struct
from msgspec.structs import asdict

from tallystick.lab.bench.before_after.checkouts import Checkout, Side
from tallystick.lab.bench.before_after.counts import count_payments
from tallystick.lab.bench.generator import Load
from tallystick.lab.bench.over_http import Measured, run_load
from tallystick.lab.bench.stage import HOST

Announce = Callable[[str, int, int], None]
Pair = tuple[Checkout, Checkout]


class Compared(Struct, frozen=True, kw_only=True):
    """One figure of both sides: medians, and the median of each pair's own ratio between its quartiles."""

    name: str
    unit: str
    before: float
    after: float
    ratio: float
    ratio_low: float
    ratio_high: float
    pairs: int


def compared(name: str, unit: str, before: Sequence[float], after: Sequence[float]) -> Compared:
    """Summed up over pairs. Raises ValueError for no pair."""
    ratios = [after_one / before_one for before_one, after_one in zip(before, after, strict=True)]
    low, ratio, high = statistics.quantiles(ratios, n=4, method="inclusive") if len(ratios) > 1 else ratios * 3
    return Compared(
        name=name,
        unit=unit,
        before=round(statistics.median(before), 3),
        after=round(statistics.median(after), 3),
        ratio=round(ratio, 4),
        ratio_low=round(low, 4),
        ratio_high=round(high, 4),
        pairs=len(ratios),
    )


COUNT_UNITS = {"wal_bytes": "bytes", "disk_bytes": "bytes"}


def compare_counts(pair: Pair, rounds: int, payments: int, announce: Announce) -> list[Compared]:
    """What a payment costs in statements, rows and bytes."""
    found: list[list[dict[str, float]]] = [[], []]
    for number in range(rounds):
        for side in _turn(number):
            found[side].append(asdict(count_payments(pair[side], payments)))
        announce("counts", number + 1, rounds)
    return [_column(name, COUNT_UNITS.get(name, ""), found) for name in found[0][0]]


def compare_stages(pair: Pair, rounds: int, turns: int, payments: int, announce: Announce) -> list[Compared]:
    """CPU by stage. A round is two new processes, because where a process happens to lie in memory moves it by a few
    percent; within it both take ``turns`` of so many payments."""
    stages: list[list[dict[str, float]]] = [[], []]
    blocks: list[list[float]] = [[], []]
    for number in range(rounds):
        with ExitStack() as stack:
            sides = [stack.enter_context(Side(each, "stages", str(payments))) for each in pair]
            for turn in range(turns):
                for side in _turn(turn):
                    answer = sides[side].ask()
                    stages[side].append(answer["us"] | {"all stages": sum(answer["us"].values())})
                    blocks[side].append(answer["held_blocks"])
        announce("CPU by stage", number + 1, rounds)
    lines = [_column(name, "µs", stages) for name in stages[0][0]]
    return [*lines, compared("memory blocks held", "", *blocks)]


def compare_http(
    pair: Pair, pairs: int, duration_s: float, connections: int, announce: Announce
) -> tuple[list[Compared], int]:
    """Payments over HTTP at saturation, one API process a side, both up all the time; and how many requests failed.

    Raises StageFailed and SideFailed.
    """
    found: list[list[dict[str, float]]] = [[], []]
    failed = 0
    with ExitStack() as stack:
        sides = [stack.enter_context(Side(each, "api")) for each in pair]
        servers = [side.hear() for side in sides]
        for number in range(pairs):
            for side in _turn(number):
                server = servers[side]
                load = Load(
                    host=HOST,
                    port=server["port"],
                    api_key=server["api_key"],
                    connections=connections,
                    warm_up_s=WARM_UP_S,
                    duration_s=duration_s,
                )
                measured = run_load(load, {"api": server["api_pid"], "postgres": server["postgres_pid"]})
                failed += sum(measured.result.failures.values())
                found[side].append(_http_line(measured, duration_s))
            announce("pairs over HTTP", number + 1, pairs)
    units = {"payments": "/s", "p50": "ms", "p99": "ms"}
    return [_column(name, units.get(name, "µs"), found) for name in found[0][0] if name != OTHERS] + [
        compared(OTHERS, "of a core", *([max(line[OTHERS], 0.01) for line in side] for side in found))
    ], failed


#: Statement caches and connections are warm from the first pair on; this only fills the queues again.
WARM_UP_S = 1.0

OTHERS = "CPU taken by others"


def _http_line(measured: Measured, duration_s: float) -> dict[str, float]:
    answered = measured.result.answered
    return {
        "payments": measured.result.per_s,
        "p50": measured.result.latency.p50_ms,
        "p99": measured.result.latency.p99_ms,
        "CPU a payment, API": measured.cpu_s["api"] / answered * 1e6,
        "CPU a payment, PostgreSQL": measured.cpu_s["postgres"] / answered * 1e6,
        OTHERS: measured.cpu_s["others"] / duration_s,
    }


def _turn(number: int) -> tuple[int, int]:
    """Who goes first alternates: what is first may find the machine warmer or colder."""
    return (0, 1) if number % 2 == 0 else (1, 0)


def _column(name: str, unit: str, found: Sequence[Sequence[dict[str, float]]]) -> Compared:
    before, after = ([line[name] for line in side] for side in found)
    return compared(name.replace("_", " "), unit, before, after)
