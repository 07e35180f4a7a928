"""Whether a provider charged what it agreed to. Pure.

A fee that no schedule covers is *not checked*, and says why: it is never called right.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Literal, assert_never

from msgspec import Struct

from tallystick.domain.fee_schedule import MILLION, FeeRate, FeeSchedule, Rounding, in_force
from tallystick.domain.settlement_row import SettlementRow

#: Why a fee was not checked.
Unchecked = Literal["no_schedule", "no_rate", "no_date"]


class FeeCheck(Struct, frozen=True, kw_only=True):
    """``charged`` and ``expected`` in minor units. ``expected`` None: not checked, because of ``unchecked``.
    ``schedule_version``: by which it was judged."""

    charged: int
    expected: int | None = None
    schedule_version: int | None = None
    unchecked: Unchecked | None = None

    @property
    def is_wrong(self) -> bool:
        """Whether it was checked, and is another."""
        return self.expected is not None and self.expected != self.charged


def fee_check(row: SettlementRow, schedules: Sequence[FeeSchedule]) -> FeeCheck:
    """Judge the fee of one row by the schedules of its account."""
    day = _day_of(row)
    if day is None:
        return FeeCheck(charged=row.fee, unchecked="no_date")
    schedule = in_force(schedules, day)
    if schedule is None:
        return FeeCheck(charged=row.fee, unchecked="no_schedule")
    rate = _rate_of(row, schedule.rates)
    if rate is None:
        return FeeCheck(charged=row.fee, schedule_version=schedule.version, unchecked="no_rate")
    expected = fee_of(rate, abs(row.gross), schedule.rounding)
    return FeeCheck(charged=row.fee, expected=expected, schedule_version=schedule.version)


def fee_of(rate: FeeRate, amount: int, rounding: Rounding) -> int:
    """What the rate makes of an amount of 0 or more, in minor units: exact, rounded once."""
    fee = _divided(amount * rate.parts_per_million, MILLION, rounding) + rate.fixed
    if rate.minimum is not None:
        fee = max(fee, rate.minimum)
    return fee if rate.cap is None else min(fee, rate.cap)


def _divided(value: int, by: int, rounding: Rounding) -> int:
    whole, rest = divmod(value, by)
    match rounding:
        case "down":
            return whole
        case "up":
            return whole + (rest > 0)
        case "half_up":
            return whole + (2 * rest >= by)
        case "half_even":
            return whole + (2 * rest > by or (2 * rest == by and whole % 2 == 1))
        case _:
            assert_never(rounding)


def _rate_of(row: SettlementRow, rates: Sequence[FeeRate]) -> FeeRate | None:
    """The rate that says most about the row: its method weighs more than its country."""
    fit = [
        rate
        for rate in rates
        if row.kind in rate.kinds
        and rate.currency == row.currency
        and rate.method in (None, row.method)
        and rate.country in (None, row.country)
    ]
    return max(fit, key=lambda rate: (rate.method is not None, rate.country is not None), default=None)


def _day_of(row: SettlementRow) -> date | None:
    """When it happened at the provider, else when it was booked: fees are agreed by day, in UTC."""
    at = row.occurred_at or row.booked_at
    return None if at is None else at.date()
