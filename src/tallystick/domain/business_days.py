"""When a provider's money is due: business days after the day of a movement, by a calendar of banks. Pure.

Calendars have versions: rules that change make a new one, so that an old due date stays what it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from msgspec import Struct, structs

#: By ``date.weekday``.
_MONDAY: Final = 0
_THURSDAY: Final = 3
_SATURDAY: Final = 5
_SUNDAY: Final = 6


class DueRule(Struct, frozen=True, kw_only=True):
    """When the money of one account is due. A movement after ``cut_off``, on the clock of ``zone``, counts for the next
    business day; it is due at the end of the day that is ``days`` business days later."""

    calendar: str
    days: int
    cut_off: time
    zone: str

    def due_at(self, moved_at: datetime) -> datetime:
        """The first moment at which the money of a movement is late. UTC."""
        closed = CALENDARS[self.calendar]
        local = moved_at.astimezone(ZoneInfo(self.zone))
        day = local.date() if local.time() <= self.cut_off else local.date() + timedelta(days=1)
        day = _business_day(day, closed)
        for _ in range(self.days):
            day = _business_day(day + timedelta(days=1), closed)
        ends = datetime.combine(day + timedelta(days=1), time(), ZoneInfo(self.zone))
        return ends.astimezone(UTC)

    def next_file_due(self, last_at: datetime) -> datetime:
        """When the file after one that came then is missing: files come on business days, and within a day at least."""
        return structs.replace(self, days=max(1, self.days)).due_at(last_at)

    def late_before(self, now: datetime) -> datetime:
        """The latest moment whose movements are late now. UTC."""
        zone = ZoneInfo(self.zone)
        day = now.astimezone(zone).date()
        while self.due_at(at := datetime.combine(day, self.cut_off, zone)) > now:
            day -= timedelta(days=1)
        return at.astimezone(UTC)


def easter(year: int) -> date:
    """Western Easter Sunday, by the anonymous Gregorian algorithm."""
    a, (b, c) = year % 19, divmod(year, 100)
    d, e = divmod(b, 4)
    g = (8 * b + 13) // 25
    h = (19 * a + b - d - g + 15) % 30
    i, k = divmod(c, 4)
    correction = (32 + 2 * e + 2 * i - h - k) % 7
    m = (a + 11 * h + 19 * correction) // 433
    month = (h + correction - 7 * m + 90) // 25
    return date(year, month, (h + correction - 7 * m + 33 * month + 19) % 32)


def _is_weekend(day: date) -> bool:
    return day.weekday() >= _SATURDAY


def _target(day: date) -> bool:
    """Closing days of TARGET, as the European Central Bank has had them since 2002."""
    if _is_weekend(day) or (day.month, day.day) in {(1, 1), (5, 1), (12, 25), (12, 26)}:
        return True
    return day - easter(day.year) in (timedelta(days=-2), timedelta(days=1))


#: Holidays of the Federal Reserve that are the nth weekday of a month: (month, weekday, nth).
_US_WEEKDAYS: Final = (
    (1, _MONDAY, 3),
    (2, _MONDAY, 3),
    (9, _MONDAY, 1),
    (10, _MONDAY, 2),
    (11, _THURSDAY, 4),
)
_US_DAYS: Final = frozenset({(1, 1), (6, 19), (7, 4), (11, 11), (12, 25)})


def _us(day: date) -> bool:
    """Holidays of the Federal Reserve Banks, as since 2022. One on a Sunday is kept on Monday; one on a Saturday on no
    other day."""
    if _is_weekend(day):
        return True
    before = day - timedelta(days=1)
    if (day.month, day.day) in _US_DAYS:
        return True
    if before.weekday() == _SUNDAY and (before.month, before.day) in _US_DAYS:
        return True
    if (day.month, day.weekday()) == (5, _MONDAY) and (day + timedelta(days=7)).month != day.month:
        return True  # the last Monday of May
    return (day.month, day.weekday(), (day.day - 1) // 7 + 1) in _US_WEEKDAYS


#: Calendar -> whether its banks are closed on a day.
CALENDARS: Final[Mapping[str, Callable[[date], bool]]] = {
    "weekdays-v1": _is_weekend,
    "target-v1": _target,
    "us-v1": _us,
}


def _business_day(day: date, closed: Callable[[date], bool]) -> date:
    """The day, or the next on which banks are open."""
    while closed(day):
        day += timedelta(days=1)
    return day
