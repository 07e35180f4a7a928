"""Fees of providers by their schedules: expected amounts were worked out by hand."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.decisions.provider_fees import fee_check, fee_of
from tallystick.domain.fee_schedule import (
    ROUNDINGS,
    FeeRate,
    FeeSchedule,
    Rounding,
    ScheduleRefused,
    in_force,
    stated_schedule,
)
from tallystick.domain.settlement_row import SettlementRow

DAY = date(2026, 3, 2)
AT = datetime(2026, 3, 2, 10, tzinfo=UTC)


def rate(**fields: Any) -> FeeRate:
    return FeeRate(**{"currency": "EUR", **fields})


def schedule(*rates: FeeRate, version: int = 1, valid_from: date = DAY, rounding: Rounding = "half_up") -> FeeSchedule:
    return FeeSchedule(
        provider="simulator",
        account="main",
        version=version,
        valid_from=valid_from,
        rounding=rounding,
        rates=rates,
        actor="key:k",
        created_at=AT,
    )


def row(gross: int = 1_000, fee: int = 30, **fields: Any) -> SettlementRow:
    given: dict[str, Any] = {
        "position": 1,
        "line": 2,
        "batch": "b",
        "row_key": "e1",
        "kind": "charge",
        "raw_type": "charge",
        "currency": "EUR",
        "gross": gross,
        "fee": fee,
        "net": gross - fee,
        "occurred_at": AT,
    }
    return SettlementRow(**{**given, **fields})


@pytest.mark.parametrize(
    ("given", "amount", "expected"),
    [
        (rate(parts_per_million=29_000, fixed=30), 10_000, 320),  # 2.9 % + 0.30 of 100.00
        (rate(parts_per_million=14_000), 1_250, 18),  # 17.5
        (rate(fixed=35), 10**9, 35),
        (rate(parts_per_million=10_000, minimum=50), 100, 50),
        (rate(parts_per_million=10_000, fixed=60, minimum=50), 100, 61),
        (rate(parts_per_million=10_000, cap=500), 1_000_000, 500),
        (rate(parts_per_million=1_000_000), 7, 7),
        (rate(), 12_345, 0),
    ],
)
def test_a_fee_is_a_share_and_a_fixed_part_within_its_bounds(given: FeeRate, amount: int, expected: int) -> None:
    assert fee_of(given, amount, "half_up") == expected


@pytest.mark.parametrize(
    ("rounding", "of_17_5", "of_16_5", "of_17_4", "of_17_6"),
    [("half_up", 18, 17, 17, 18), ("half_even", 18, 16, 17, 18), ("up", 18, 17, 18, 18), ("down", 17, 16, 17, 17)],
)
def test_the_rounding_is_the_schedules(
    rounding: Rounding, of_17_5: int, of_16_5: int, of_17_4: int, of_17_6: int
) -> None:
    share = rate(parts_per_million=100_000)
    assert [fee_of(share, each, rounding) for each in (175, 165, 174, 176)] == [of_17_5, of_16_5, of_17_4, of_17_6]


@given(st.integers(0, 10**12), st.integers(0, 1_000_000), st.sampled_from(ROUNDINGS))
def test_rounding_is_off_by_less_than_one_unit(amount: int, parts: int, rounding: Rounding) -> None:
    exact = amount * parts
    assert abs(fee_of(rate(parts_per_million=parts), amount, rounding) * 1_000_000 - exact) < 1_000_000


def test_the_rate_that_says_most_counts() -> None:
    rates = (rate(fixed=1), rate(fixed=2, country="US"), rate(fixed=3, method="amex"), rate(fixed=9, currency="USD"))
    cases: list[tuple[dict[str, Any], int]] = [
        ({}, 1),
        ({"country": "US"}, 2),
        ({"country": "US", "method": "amex"}, 3),
        ({"method": "visa", "country": "DE"}, 1),
    ]
    for fields, expected in cases:
        assert fee_check(row(fee=0, **fields), [schedule(*rates)]).expected == expected


def test_another_fee_is_wrong_and_the_same_is_not() -> None:
    judged = fee_check(row(fee=31), [schedule(rate(parts_per_million=30_000))])
    assert judged.is_wrong and (judged.charged, judged.expected, judged.schedule_version) == (31, 30, 1)
    assert not fee_check(row(fee=30), [schedule(rate(parts_per_million=30_000))]).is_wrong


def test_a_refund_is_judged_by_the_size_of_its_amount() -> None:
    assert (
        fee_check(row(gross=-1_000, fee=30, kind="refund"), [schedule(rate(kinds=("refund",), fixed=30))]).expected
        == 30
    )


def test_what_no_schedule_covers_is_not_checked_and_says_why() -> None:
    known = [schedule(rate(fixed=30))]
    for judged_row, schedules, why in (
        (row(), [], "no_schedule"),
        (row(occurred_at=AT - timedelta(days=1)), known, "no_schedule"),
        (row(kind="refund"), known, "no_rate"),
        (row(currency="USD"), known, "no_rate"),
        (row(occurred_at=None), known, "no_date"),
    ):
        judged = fee_check(judged_row, schedules)
        assert judged.unchecked == why and judged.expected is None and not judged.is_wrong


def test_the_latest_day_counts_and_of_one_day_the_newest_version() -> None:
    first = schedule(version=1)
    later = schedule(version=2, valid_from=DAY + timedelta(days=7))
    corrected = schedule(version=3)
    assert in_force([first, later, corrected], DAY) is corrected
    assert in_force([first, later, corrected], DAY + timedelta(days=7)) is later
    assert in_force([first, later, corrected], DAY - timedelta(days=1)) is None


def test_the_booking_day_counts_where_nobody_says_when_it_happened() -> None:
    judged = fee_check(row(occurred_at=None, booked_at=AT), [schedule(rate(fixed=30))])
    assert judged.expected == 30


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b'{"valid_from": "2026-02-30", "rates": [{"currency": "EUR"}]}',
        b'{"valid_from": "2026-03-02", "rates": []}',
        b'{"valid_from": "2026-03-02", "rates": [{"currency": "eur"}]}',
        b'{"valid_from": "2026-03-02", "rates": [{"currency": "EUR", "percent": 3}]}',
        b'{"valid_from": "2026-03-02", "rates": [{"currency": "EUR", "parts_per_million": 1000001}]}',
        b'{"valid_from": "2026-03-02", "rates": [{"currency": "EUR", "fixed": -1}]}',
        b'{"valid_from": "2026-03-02", "rates": [{"currency": "EUR", "minimum": 2, "cap": 1}]}',
        b'{"valid_from": "2026-03-02", "rates": [{"currency": "EUR", "kinds": []}]}',
        b'{"valid_from": "2026-03-02", "rates": [{"currency": "EUR"}, {"currency": "EUR", "fixed": 1}]}',
        b'{"valid_from": "2026-03-02", "rounding": "nearest", "rates": [{"currency": "EUR"}]}',
    ],
)
def test_a_schedule_that_says_nothing_clear_is_refused(text: bytes) -> None:
    with pytest.raises(ScheduleRefused):
        stated_schedule(text)
