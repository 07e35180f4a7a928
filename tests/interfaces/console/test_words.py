"""How values are shown, the drawings, and percentiles of times that were counted by bounds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree

import pytest

from tallystick.domain.lifecycles.payment import PAYMENT
from tallystick.interfaces.console.plots import Line, Mark, plot
from tallystick.interfaces.console.state_graph import PLACES, path_of, state_graph
from tallystick.interfaces.console.words import bounded, duration, share
from tallystick.oversight.latencies import percentile_ms
from tallystick.record.postgres.trends import BEYOND


@pytest.mark.parametrize(
    ("seconds", "says"),
    [
        (0, "0 s"),
        (59, "59 s"),
        (61, "1 min 1 s"),
        (3_600, "1 h"),
        (3_660, "1 h 1 min"),
        (90_000, "1 d 1 h"),
        (-5, "0 s"),
    ],
)
def test_durations(seconds: int, says: str) -> None:
    assert duration(timedelta(seconds=seconds)) == says


def test_what_others_wrote_is_bounded_and_has_no_control_characters() -> None:
    assert bounded("a\x00b\nc", 10) == "a b c"
    assert bounded("x" * 11, 10) == "x" * 10 + "…"


def test_a_share_is_whole_only_where_nothing_lacks() -> None:
    assert [share(5, 5), share(999_999, 1_000_000), share(0, 0)] == ["100 %", "99.99 %", "-"]


def test_percentiles_lie_between_the_bounds() -> None:
    assert percentile_ms({}, 0.5) is None
    assert percentile_ms({10: 100}, 0.5) == 7.5  # between 5 and 10
    assert percentile_ms({1: 99, BEYOND: 1}, 0.999) == 30_000


def test_every_state_has_its_place_in_the_graph() -> None:
    assert set(PLACES) == {"new", *PAYMENT.states}


def test_the_path_is_drawn_in_its_order() -> None:
    states = ["new", "authorizing", "authorized", "capturing", "captured", "captured"]
    assert [each.after for each in path_of(states)] == ["authorizing", "authorized", "capturing", "captured"]
    drawn = ElementTree.fromstring(state_graph(states))
    assert [
        each.findtext("text") for each in drawn if each.get("class") == "edge taken"
    ] and "style" not in state_graph(states)


def test_a_plot_has_no_style_and_marks_stand_at_their_time() -> None:
    until = datetime(2026, 1, 2, tzinfo=UTC)
    since = until - timedelta(hours=24)
    points = [(since + timedelta(hours=number), number) for number in range(1, 25)]
    drawn = plot(
        "t", [Line(name="a", points=points)], [Mark(at=since + timedelta(hours=12), title="<r>")], since, until, 3_600
    )
    assert drawn.svg is not None and "style=" not in drawn.svg and "&lt;r&gt;" in drawn.svg
    root = ElementTree.fromstring(drawn.svg)
    mark = root.find(".//g[@class='mark']/line")
    path = root.find(".//g[@class='line line-0']/path")
    assert mark is not None and path is not None
    xs = [float(part) for part in path.get("d", "").split() if part not in "ML"][::2]
    assert float(mark.get("x1", "")) == pytest.approx(xs[11], abs=0.1)  # the step of hour 12


def test_nothing_counted_is_no_plot() -> None:
    now = datetime(2026, 1, 2, tzinfo=UTC)
    assert plot("t", [Line(name="a", points=[])], [], now - timedelta(hours=1), now, 300).svg is None
