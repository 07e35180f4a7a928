"""Clocks."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from tallystick.kit.clock import Clock, monotonic_ms, utc_now


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
