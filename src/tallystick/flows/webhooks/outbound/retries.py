"""When a message is tried again, and when it is given up. Pure."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

#: Waits between tries, in ms: the example of Standard Webhooks. 0, 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h,
#: 20 h, 24 h: ten tries in a little over three days, so that a weekend's outage loses nothing.
SCHEDULE_MS: Final = (
    0,
    5_000,
    300_000,
    1_800_000,
    7_200_000,
    18_000_000,
    36_000_000,
    50_400_000,
    72_000_000,
    86_400_000,
)

#: Jitter: each wait is longer by up to this part of itself, so that failures do not come back together.
JITTER: Final = 0.2

#: An endpoint may ask for more time with Retry-After, up to our own longest wait.
RETRY_AFTER_LIMIT_MS: Final = SCHEDULE_MS[-1]

#: Digits of a Retry-After that are read: enough for years of seconds.
_MAX_DIGITS: Final = 9

_MILLISECOND: Final = timedelta(milliseconds=1)


def wait_ms(failed: int, retry_after_ms: int | None, jitter: random.Random) -> int | None:
    """The wait before the next try, after ``failed`` ones; None: the message is given up."""
    if failed >= len(SCHEDULE_MS):
        return None
    planned = SCHEDULE_MS[failed] * (1 + JITTER * jitter.random())
    return max(int(planned), min(retry_after_ms or 0, RETRY_AFTER_LIMIT_MS))


def retry_after_ms(value: str | None, now: datetime) -> int | None:
    """What a Retry-After header asks for (RFC 9110 section 10.2.3: seconds, or a date); else None."""
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        return int(text) * 1_000 if len(text) <= _MAX_DIGITS else RETRY_AFTER_LIMIT_MS
    try:
        moment = parsedate_to_datetime(text)
        if moment.tzinfo is None:  # "-0000": UTC, of unknown origin (RFC 5322 section 3.3)
            moment = moment.replace(tzinfo=UTC)
        return max(0, (moment - now) // _MILLISECOND)
    except (ValueError, OverflowError):
        return None
