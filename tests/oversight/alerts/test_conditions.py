"""Conditions that hold over time, on samples that are made by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from tallystick.oversight.alerts.evidence import Samples

START = datetime(2026, 11, 26, 12, tzinfo=UTC)


class Waiting:
    """As much of the numbers as samples read."""

    def __init__(self, at_ms: int, age_ms: int | None) -> None:
        self.at = START + timedelta(milliseconds=at_ms)
        work = type("Work", (), {"what": "events_to_process", "waiting": int(age_ms is not None), "longest_ms": age_ms})
        self.backlog = (work,)


def samples(*rows: tuple[int, int | None], window_ms: int = 100) -> Samples:
    kept = Samples(window_ms)
    for at_ms, age_ms in rows:
        kept.add(cast(Any, Waiting(at_ms, age_ms)))
    return kept


@pytest.mark.parametrize(
    ("rows", "rising"),
    [
        ([(0, 10), (50, 60), (100, 110)], True),
        ([(0, 10), (50, 10), (100, 110)], True),
        ([(0, 10), (50, 60)], False),  # not for the whole window
        ([(0, 10), (50, 60), (100, 20)], False),  # something was done
        ([(0, 10), (50, 10), (100, 10)], False),  # as old as before
        ([(0, 10), (50, None), (100, 50)], False),  # all was done meanwhile
        ([(100, 90)], False),
        ([(0, 500), (50, 10), (100, 60), (150, 110)], True),  # what was before the window does not count
    ],
)
def test_an_age_is_rising_when_it_grew_over_the_whole_window(rows: list[tuple[int, int | None]], rising: bool) -> None:
    assert samples(*rows).rising("events_to_process") is rising


@pytest.mark.parametrize(
    ("rows", "below"),
    [
        ([(0, None), (50, 20), (100, None)], True),
        ([(0, None), (50, 21), (100, None)], False),
        ([(0, None), (50, 20)], False),  # not for the whole window
    ],
)
def test_latency_is_flat_when_it_was_below_the_limit_for_the_whole_window(
    rows: list[tuple[int, int | None]], below: bool
) -> None:
    assert samples(*rows).below("events_to_process", 20) is below
