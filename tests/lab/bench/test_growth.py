"""The growth of a database: what is compared with the empty one, and the picture of it."""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree

import pytest
from msgspec.structs import replace

from tallystick.lab.bench.growth import ONE_PAYMENT, Cost, GrowthFigures, GrowthPlan, Point, measure_growth
from tallystick.lab.bench.latency import latency
from tallystick.lab.bench.picture import NoPicture, draw_growth, drawing
from tallystick.settings.load import Settings
from tests.support.database import DEEP

PLAN = GrowthPlan(sizes=[0, 10_000], rounds=1, duration_s=2, warm_up_s=1, connections=8, rate_per_s=20, reads=3)

EMPTY = Cost(
    per_s=1_000,
    cpu_us=400,
    p50_ms=20,
    p99_ms=50,
    carried=True,
    reads={ONE_PAYMENT: latency([0.001]), "list": latency([0.002]), "state, hit": latency([0.002])},
)
FILLED = replace(
    EMPTY,
    cpu_us=500,
    p99_ms=75,
    reads={ONE_PAYMENT: latency([0.002]), "list": latency([0.002]), "state, hit": latency([0.006])},
)


def _figures(*filled: tuple[int, Cost, float]) -> GrowthFigures:
    points = [
        Point(payments=payments, database_gb=1, empty=EMPTY, filled=cost, rate_of_empty=rate, failures=0)
        for payments, cost, rate in filled
    ]
    return GrowthFigures(plan=PLAN, api_processes=1, shared_buffers="256MB", points=points)


def test_each_curve_is_by_the_empty_databases_own_figure() -> None:
    [point] = _figures((1_000_000, FILLED, 0.9)).points
    assert point.ratios() == {
        "payments/s": 0.9,
        "CPU a payment": 1.25,
        "p99 of an open loop": 1.5,
        "GET a payment, p50": 2,
        "slowest list, p50": 3,
    }


def test_the_picture_has_every_curve_and_no_script() -> None:
    pytest.importorskip("leather", reason="it comes with the extra bench, which the lock file has")
    drawn = draw_growth(_figures((0, EMPTY, 1.0), (1_000_000, FILLED, 0.9)), "a machine")
    root = ElementTree.fromstring(drawn)
    assert root.tag.endswith("svg") and "a machine" in drawn and "script" not in drawn
    assert all(name in drawn for name in ("payments/s", "CPU a payment", "slowest list, p50"))


def test_without_the_extra_nothing_is_measured_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "leather", None)
    with pytest.raises(NoPicture, match="bench"):
        drawing()


@pytest.mark.skipif(not DEEP, reason="deep: 10,000 payments are filled in, and three databases made")
def test_a_small_growth() -> None:
    with TemporaryDirectory(prefix="tsg-") as work:  # short, and open to the server's own user
        found = measure_growth(Settings(simulator="on"), Path(work) / "d", Path(work), PLAN, lambda *_: None)
    assert [point.payments for point in found.points] == [0, 10_000] and found.shared_buffers == "256MB"
    assert found.points[1].database_gb > found.points[0].database_gb and found.failed() == 0
    assert found.points[1].filled.reads.keys() == found.points[0].empty.reads.keys()
