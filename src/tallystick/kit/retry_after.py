"""What a Retry-After header asks for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

#: Digits of a number of seconds that are read: enough for years.
_MAX_DIGITS: Final = 9

_MILLISECOND: Final = timedelta(milliseconds=1)


def retry_after_ms(value: str | None, now: datetime, *, limit_ms: int) -> int | None:
    """The wait, at most ``limit_ms`` (RFC 9110 section 10.2.3: seconds, or a date beside ``now``); None for a header
    that is missing or malformed. A negative number is malformed; a date that is over asks for no wait."""
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        return min(int(text) * 1_000, limit_ms) if len(text) <= _MAX_DIGITS else limit_ms
    try:
        moment = parsedate_to_datetime(text)
        if moment.tzinfo is None:  # "-0000": UTC, of unknown origin (RFC 5322 section 3.3)
            moment = moment.replace(tzinfo=UTC)
        return min(max(0, (moment - now) // _MILLISECOND), limit_ms)
    except (ValueError, OverflowError):
        return None
