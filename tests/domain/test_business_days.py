"""Due dates, worked out by hand from the calendars that the banks publish."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from tallystick.domain.business_days import CALENDARS, DueRule, easter
from tallystick.settings.settlements import due_rules


@pytest.mark.parametrize(
    ("year", "day"), [(2000, date(2000, 4, 23)), (2024, date(2024, 3, 31)), (2025, date(2025, 4, 20))]
)
def test_easter(year: int, day: date) -> None:
    assert easter(year) == day


@pytest.mark.parametrize(
    ("calendar", "closed"),
    [
        ("target-v1", {(1, 1), (4, 18), (4, 21), (5, 1), (12, 25), (12, 26)}),
        (
            "us-v1",
            {(1, 1), (1, 20), (2, 17), (5, 26), (6, 19), (7, 4), (9, 1), (10, 13), (11, 11), (11, 27), (12, 25)},
        ),
        ("weekdays-v1", set()),
    ],
)
def test_the_closed_weekdays_of_2025(calendar: str, closed: set[tuple[int, int]]) -> None:
    days = (date(2025, 1, 1) + timedelta(days=n) for n in range(365))
    assert {(d.month, d.day) for d in days if d.weekday() < 5 and CALENDARS[calendar](d)} == closed


def test_a_us_holiday_on_a_sunday_is_kept_on_monday_and_one_on_a_saturday_is_not_moved() -> None:
    assert CALENDARS["us-v1"](date(2023, 1, 2))
    assert not CALENDARS["us-v1"](date(2026, 7, 3))


def test_what_moved_after_the_cut_off_counts_for_the_next_business_day() -> None:
    """Thursday before Easter 2025: banks are open again on Tuesday the 22nd."""
    rule = DueRule(calendar="target-v1", days=2, cut_off=time(17, 0), zone="Europe/Berlin")
    berlin = ZoneInfo("Europe/Berlin")
    before = rule.due_at(datetime(2025, 4, 17, 17, 0, tzinfo=berlin))
    after = rule.due_at(datetime(2025, 4, 17, 17, 1, tzinfo=berlin))
    assert before == datetime(2025, 4, 24, tzinfo=berlin).astimezone(UTC)
    assert after == datetime(2025, 4, 25, tzinfo=berlin).astimezone(UTC)


@pytest.mark.parametrize("hours", range(0, 24 * 9, 5))
def test_what_is_late_is_what_is_due(hours: int) -> None:
    """Both ways to ask give one answer, on either side of the moment that divides them."""
    rule = DueRule(calendar="target-v1", days=2, cut_off=time(17, 0), zone="Europe/Berlin")
    now = datetime(2025, 4, 15, tzinfo=UTC) + timedelta(hours=hours)
    until = rule.late_before(now)
    assert rule.due_at(until) <= now < rule.due_at(until + timedelta(minutes=1))


def test_the_setting_is_read() -> None:
    rules = due_rules("stripe/main=target-v1+2@17:00 Europe/Berlin, adyen/eu=us-v1+3")
    assert rules["stripe", "main"] == DueRule(calendar="target-v1", days=2, cut_off=time(17, 0), zone="Europe/Berlin")
    assert rules["adyen", "eu"] == DueRule(calendar="us-v1", days=3, cut_off=time.max, zone="UTC")
    assert due_rules(None) == {}


@pytest.mark.parametrize(
    "given",
    [
        "stripe=target-v1+2",
        "stripe/main=mars+2",
        "stripe/main=us-v1+2@25:00",
        "a/b=us-v1+1@10:00 No/Where",
        "a/b=us-v1+1,a/b=us-v1+2",
    ],
)
def test_a_wrong_setting_is_refused(given: str) -> None:
    with pytest.raises(ValueError):
        due_rules(given)
