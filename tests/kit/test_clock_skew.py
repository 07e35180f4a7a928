"""What a measurement of another clock says, and what it does not."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from tallystick.kit import clock
from tallystick.kit.clock_skew import REPLACED_AFTER_MS, Skew, SkewGauge

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


class Times:
    """This host's two clocks, which a test moves."""

    def __init__(self) -> None:
        self.monotonic_ms = 1_000_000

    def now(self) -> datetime:
        return NOON + timedelta(milliseconds=self.monotonic_ms - 1_000_000)


@pytest.fixture
def times(monkeypatch: pytest.MonkeyPatch) -> Iterator[Times]:
    made = Times()
    monkeypatch.setattr(clock, "utc_now", made.now)
    monkeypatch.setattr(clock, "monotonic_ms", lambda: made.monotonic_ms)
    yield made


def measured(times: Times, gauge: SkewGauge, *, theirs_ahead_ms: int, trip_ms: int, grain_ms: int = 0) -> Skew:
    """The other clock is read in the middle of the round trip."""
    question = gauge.ask()
    times.monotonic_ms += trip_ms // 2
    theirs = times.now() + timedelta(milliseconds=theirs_ahead_ms)
    if grain_ms:
        theirs -= timedelta(milliseconds=theirs.microsecond // 1000 % grain_ms)
    times.monotonic_ms += trip_ms - trip_ms // 2
    gauge.answered(question, theirs, grain_ms=grain_ms)
    assert gauge.current is not None
    return gauge.current


@pytest.mark.parametrize(
    ("theirs_ahead_ms", "skew_ms"), [(0, 0), (300_000, -300_000), (-300_000, 300_000), (2_500, -2_500)]
)
def test_half_a_round_trip_is_taken_off(times: Times, theirs_ahead_ms: int, skew_ms: int) -> None:
    found = measured(times, SkewGauge(), theirs_ahead_ms=theirs_ahead_ms, trip_ms=40)
    assert (found.skew_ms, found.uncertainty_ms) == (skew_ms, 20)


@pytest.mark.parametrize("ahead_ms", [0, 100, 250, 499, 501, 750, 999])
def test_whole_seconds_are_known_to_half_a_second(times: Times, ahead_ms: int) -> None:
    """Theirs is rounded down: the truth lies within the interval."""
    found = measured(times, SkewGauge(), theirs_ahead_ms=ahead_ms, trip_ms=10, grain_ms=1_000)
    assert found.skew_ms - found.uncertainty_ms <= -ahead_ms <= found.skew_ms + found.uncertainty_ms
    assert found.uncertainty_ms == 505


@pytest.mark.parametrize(
    ("skew_ms", "uncertainty_ms", "beyond"),
    [(0, 0, False), (2_000, 0, False), (2_001, 0, True), (-2_001, 0, True), (2_500, 505, False), (2_506, 505, True)],
)
def test_beyond_a_margin_is_what_is_certain(skew_ms: int, uncertainty_ms: int, beyond: bool) -> None:
    skew = Skew(skew_ms=skew_ms, uncertainty_ms=uncertainty_ms, measured_at_ms=0)
    assert skew.is_beyond(2_000) is beyond


def test_a_slow_answer_does_not_replace_a_quick_one(times: Times) -> None:
    gauge = SkewGauge()
    quick = measured(times, gauge, theirs_ahead_ms=0, trip_ms=10)
    assert measured(times, gauge, theirs_ahead_ms=0, trip_ms=20_000) is quick
    times.monotonic_ms += REPLACED_AFTER_MS
    assert measured(times, gauge, theirs_ahead_ms=0, trip_ms=20_000).uncertainty_ms == 10_000


def test_a_clock_that_was_set_is_noticed_at_once(times: Times) -> None:
    gauge = SkewGauge()
    measured(times, gauge, theirs_ahead_ms=0, trip_ms=10)
    assert measured(times, gauge, theirs_ahead_ms=300_000, trip_ms=1_000).skew_ms == -300_000
