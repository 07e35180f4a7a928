"""``bench sealing --beside-rate`` compares each turn with the one beside it."""

from __future__ import annotations

import pytest
from rich.console import Console

from tallystick.lab.bench.latency import Latency
from tallystick.lab.bench.machine import MachineInfo
from tallystick.lab.bench.report import BenchReport, print_report
from tallystick.lab.bench.sealing_beside import BesidePlan, Turn, figures_of

PLAN = BesidePlan(rounds=3, rate_per_s=1_000, duration_s=10, warm_up_s=1)

MACHINE = MachineInfo(
    date="today",
    cores=2,
    cpu="a processor",
    memory_gb=8,
    system="Linux",
    python="3.11",
    postgresql="18",
    fsync="on",
    synchronous_commit="on",
)


def _turn(p99_ms: float, behind: int | None = None, *, carried: bool = True, failures: int = 0) -> Turn:
    return Turn(
        latency=Latency(p50_ms=30, p95_ms=50, p99_ms=p99_ms, max_ms=200),
        per_s=999,
        carried=carried,
        failures={"503": failures} if failures else {},
        cpu_s={} if behind is None else {"sealer": 2.0},
        behind=behind,
    )


def test_the_ratio_is_the_median_of_each_rounds_own(capsys: pytest.CaptureFixture[str]) -> None:
    figures = figures_of(PLAN, [_turn(50), _turn(100), _turn(60)], [_turn(55, 10), _turn(105, 12), _turn(90, 900)])
    assert (figures.ratios, figures.ratio, figures.sealer_cpu_us) == ([1.1, 1.05, 1.5], 1.1, 200.0)
    assert ([each.holds for each in figures.judged()], figures.failed()) == ([True], 0)
    report = BenchReport(benchmark="sealing beside", machine=MACHINE, targets=figures.judged(), figures=figures)
    print_report(Console(width=130), report)
    printed = capsys.readouterr().out
    assert "1.10 (1.05 to 1.50)" in printed and "900" in printed


def test_a_load_that_failed_or_was_not_carried_is_no_figure() -> None:
    assert figures_of(PLAN, [_turn(50, failures=3)], [_turn(50, 1)]).failed() == 3
    assert figures_of(PLAN, [_turn(50)], [_turn(50, 1, carried=False)]).failed() == 1
