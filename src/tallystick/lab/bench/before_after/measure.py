"""The comparisons. In each, all sides take turns: what else the machine does meets all alike."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from math import inf

from msgspec import Struct
from msgspec.structs import asdict

from tallystick.lab.bench.before_after.checkouts import Checkout, Side
from tallystick.lab.bench.before_after.counts import count_payments

Announce = Callable[[str, int, int], None]


class Compared(Struct, frozen=True, kw_only=True):
    """One figure of two sides: medians between their quartiles, and the median of each pair's own ratio between its
    quartiles."""

    name: str
    unit: str
    before: float
    before_low: float
    before_high: float
    after: float
    after_low: float
    after_high: float
    ratio: float
    ratio_low: float
    ratio_high: float
    pairs: int


def compared(name: str, unit: str, before: Sequence[float], after: Sequence[float]) -> Compared:
    """Summed up over pairs. Raises ValueError for no pair."""
    ratios = [_ratio(*pair) for pair in zip(before, after, strict=True)]
    middle = [_quartiles(values) for values in (before, after, ratios)]
    (before_low, before_mid, before_high), (after_low, after_mid, after_high), (low, ratio, high) = middle
    return Compared(
        name=name,
        unit=unit,
        before=round(before_mid, 3),
        before_low=round(before_low, 3),
        before_high=round(before_high, 3),
        after=round(after_mid, 3),
        after_low=round(after_low, 3),
        after_high=round(after_high, 3),
        ratio=round(ratio, 4),
        ratio_low=round(low, 4),
        ratio_high=round(high, 4),
        pairs=len(ratios),
    )


def _ratio(before: float, after: float) -> float:
    """A short run may see no CPU time, which is counted in hundredths of a second."""
    return after / before if before else inf if after else 1.0


def _quartiles(values: Sequence[float]) -> list[float]:
    if len(values) == 1:
        return list(values) * 3
    return statistics.quantiles(values, n=4, method="inclusive")


Figures = dict[str, float]


class Found(Struct, kw_only=True):
    """What one part found: figures by side and round, the last side being ``after``. ``units`` by name; ``notes`` on
    the run; ``failed``: requests that were not answered as they should have been."""

    sides: list[list[Figures]]
    units: Mapping[str, str]
    notes: list[str] = []
    failed: int = 0

    def beside(self, side: int) -> list[Compared]:
        """The last side beside another one."""
        before, after = self.sides[side], self.sides[-1]
        return [
            compared(name, self.units.get(name, ""), [line[name] for line in before], [line[name] for line in after])
            for name in before[0]
        ]


def empty(sides: Sequence[Checkout], units: Mapping[str, str]) -> Found:
    """Nothing found yet."""
    return Found(sides=[[] for _ in sides], units=units)


def turn(number: int, sides: Sequence[object]) -> Iterable[int]:
    """The order of a round. Another one begins each time: what is first may find the machine warmer or colder."""
    return [(number + place) % len(sides) for place in range(len(sides))]


COUNT_UNITS = {"log (WAL)": "bytes", "on disk": "bytes"}


def measure_counts(sides: Sequence[Checkout], rounds: int, payments: int, announce: Announce) -> Found:
    """What a payment costs in statements, rows and bytes. Raises SideFailed."""
    found = empty(sides, COUNT_UNITS)
    for number in range(rounds):
        for side in turn(number, sides):
            counts = asdict(count_payments(sides[side], payments))
            named = {"log (WAL)": counts.pop("wal_bytes"), "on disk": counts.pop("disk_bytes")}
            found.sides[side].append({name.replace("_", " "): value for name, value in counts.items()} | named)
        announce("counts", number + 1, rounds)
    return found


def measure_stages(sides: Sequence[Checkout], rounds: int, turns: int, payments: int, announce: Announce) -> Found:
    """CPU by stage. A round is new processes, because where a process happens to lie in memory moves it by a few
    percent; within it all take ``turns`` of so many payments. Raises SideFailed."""
    found = empty(sides, {})
    for number in range(rounds):
        with ExitStack() as stack:
            asked = [stack.enter_context(Side(each, "stages", str(payments))) for each in sides]
            for one in range(turns):
                for side in turn(one, sides):
                    answer = asked[side].ask()
                    us = answer["us"] | {"all stages": sum(answer["us"].values())}
                    found.units = dict.fromkeys(us, "µs")
                    found.sides[side].append(us | {"memory blocks held": answer["held_blocks"]})
        announce("CPU by stage", number + 1, rounds)
    return found


#: Payments of one turn, two commits each: short beside the seconds in which a disk changes its mind.
IDLE_PAYMENTS = 25


def measure_idle(sides: Sequence[Checkout], rounds: int, commits: int, announce: Announce) -> Found:
    """Single commits, one after another through the journal of an idle process: ``commits`` a round and side, in turns
    of fifty. Then the statements of payments that are alone. Raises SideFailed."""
    found = empty(sides, {"p50": "ms", "p99": "ms", "create, p50": "ms", "outcome, p50": "ms", "CPU, journal": "µs"})
    turns = max(1, commits // (2 * IDLE_PAYMENTS))
    with ExitStack() as stack:
        asked = [stack.enter_context(Side(each, "idle", str(IDLE_PAYMENTS))) for each in sides]
        for side in asked:
            side.hear()
        for number in range(rounds):
            took: list[list[float]] = [[] for _ in sides]
            cpu_us: list[list[float]] = [[] for _ in sides]
            for one in range(turns):
                for place in turn(one, sides):
                    answer = asked[place].ask()
                    took[place] += answer["ms"]
                    cpu_us[place].append(answer["cpu_us"])
            for place, ms in enumerate(took):
                found.sides[place].append(
                    {
                        "p50": statistics.median(ms),
                        "p99": statistics.quantiles(ms, n=100, method="inclusive")[98],
                        "create, p50": statistics.median(ms[::2]),
                        "outcome, p50": statistics.median(ms[1::2]),
                        "CPU, journal": statistics.median(cpu_us[place]),
                    }
                )
            announce("single commits", number + 1, rounds)
    for place, checkout in enumerate(sides):
        counts = count_payments(checkout, ALONE_PAYMENTS, batch=1)
        for line in found.sides[place]:
            line |= {"statements": counts.statements, "round trips": counts.round_trips, "log (WAL)": counts.wal_bytes}
    found.units = {**found.units, "log (WAL)": "bytes"}
    return found


#: Counts hardly differ from payment to payment.
ALONE_PAYMENTS = 100


def measure_webhooks(
    sides: Sequence[Checkout], rounds: int, deliveries: int, settings: Mapping[str, str], announce: Announce
) -> Found:
    """Bursts at webhook intake, each then drained by one worker. Raises SideFailed."""
    found = empty(sides, {"acknowledged": "/s", "acknowledged, p50": "ms", "acknowledged, p99": "ms", "drained": "/s"})
    with ExitStack() as stack:
        sizes = (str(deliveries), str(WEBHOOK_CONNECTIONS))
        asked = [stack.enter_context(Side(each, "webhooks", *sizes, settings=settings)) for each in sides]
        for side in asked:
            side.hear()
        for number in range(rounds):
            for place in turn(number, sides):
                answer = asked[place].ask()
                found.failed += sum(answer["failures"].values())
                found.sides[place].append(
                    {
                        "acknowledged": answer["acknowledged_per_s"],
                        "acknowledged, p50": answer["p50_ms"],
                        "acknowledged, p99": answer["p99_ms"],
                        "drained": answer["drained_per_s"],
                    }
                )
            announce("bursts of webhooks", number + 1, rounds)
    return found


#: As many as a large provider keeps to one endpoint.
WEBHOOK_CONNECTIONS = 64
