"""The schedule as a function, and what a Retry-After says."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.flows.webhooks.outbound.retries import (
    JITTER,
    RETRY_AFTER_LIMIT_MS,
    SCHEDULE_MS,
    retry_after_ms,
    wait_ms,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_the_schedule_is_the_published_one() -> None:
    seconds = [delay // 1_000 for delay in SCHEDULE_MS]
    assert seconds == [0, 5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400]


@given(st.integers(1, 20), st.none() | st.integers(0, 10**12), st.integers())
def test_never_sooner_than_planned_nor_later_than_its_bounds(failed: int, asked: int | None, seed: int) -> None:
    wait = wait_ms(failed, asked, random.Random(seed))
    if failed >= len(SCHEDULE_MS):
        assert wait is None
        return
    assert wait is not None
    floor = max(SCHEDULE_MS[failed], min(asked or 0, RETRY_AFTER_LIMIT_MS))
    assert floor <= wait <= max(floor, SCHEDULE_MS[failed] * (1 + JITTER))


def test_waits_differ() -> None:
    chance = random.Random(1)
    assert len({wait_ms(4, None, chance) for _ in range(50)}) > 40


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("", None),
        ("0", 0),
        ("120", 120_000),
        (" 120 ", 120_000),
        ("999999999999999999999999", RETRY_AFTER_LIMIT_MS),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("١٢", None),
        ("Sun, 01 Mar 2026 12:01:00 GMT", 60_000),
        ("Sun, 01 Mar 2026 12:01:00 -0000", 60_000),
        ("Sun, 01 Mar 2026 13:01:00 +0100", 60_000),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0),
        ("Sun, 99 Mar 2026 11:00:00 GMT", None),
    ],
)
def test_retry_after(value: str | None, expected: int | None) -> None:
    assert retry_after_ms(value, NOW) == expected


@given(st.text(max_size=60) | st.from_regex(r"[A-Z][a-z]{2}, \d{1,3} [A-Z][a-z]{2} \d{1,6} \d\d:\d\d:\d\d .{0,6}"))
def test_any_header_is_read_or_ignored(value: str) -> None:
    waited = retry_after_ms(value, NOW)
    assert waited is None or waited >= 0
