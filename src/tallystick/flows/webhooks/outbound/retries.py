"""When a message is tried again, and when it is given up. Pure."""

from __future__ import annotations

import random
from datetime import datetime
from typing import Final

from tallystick.kit import retry_after

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


def wait_ms(failed: int, retry_after_ms: int | None, jitter: random.Random) -> int | None:
    """The wait before the next try, after ``failed`` ones; None: the message is given up."""
    if failed >= len(SCHEDULE_MS):
        return None
    planned = SCHEDULE_MS[failed] * (1 + JITTER * jitter.random())
    return max(int(planned), min(retry_after_ms or 0, RETRY_AFTER_LIMIT_MS))


def retry_after_ms(value: str | None, now: datetime) -> int | None:
    """What a Retry-After header asks for, up to our own longest wait; None for a missing or malformed one."""
    return retry_after.retry_after_ms(value, now, limit_ms=RETRY_AFTER_LIMIT_MS)
