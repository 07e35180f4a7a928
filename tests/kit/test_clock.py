"""Clocks."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta, timezone

from tallystick.kit.clock import Clock, monotonic_ms, rfc3339, utc_now


def test_times_are_written_in_utc_with_microseconds() -> None:
    moment = datetime(2026, 3, 1, 1, 2, 3, 4, tzinfo=timezone(timedelta(hours=2)))
    assert rfc3339(moment) == "2026-02-28T23:02:03.000004Z"
    assert datetime.fromisoformat(rfc3339(moment)) == moment


def test_now_is_aware() -> None:
    assert abs(utc_now() - datetime.now(UTC)) < timedelta(seconds=5)


def test_the_monotonic_clock_counts_milliseconds() -> None:
    before = monotonic_ms()
    time.sleep(0.05)  # what is measured
    assert 45 <= monotonic_ms() - before < 5_000


def test_a_shift_moves_both_clocks() -> None:
    clock = Clock()
    wall, monotonic = clock.now(), clock.monotonic_ms()
    clock.shift_ms = 3_600_000
    assert timedelta(hours=1) <= clock.now() - wall < timedelta(hours=1, seconds=5)
    assert 3_600_000 <= clock.monotonic_ms() - monotonic < 3_605_000
