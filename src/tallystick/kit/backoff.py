"""Waits that grow with each failure in a row."""

from __future__ import annotations

import random
from typing import Final

#: More doublings pass every cap.
_DOUBLINGS: Final = 20

#: The first restart of a program that has ended comes almost at once; later ones back off, without an end.
RESTART_FIRST_MS: Final = 500
RESTART_CAP_MS: Final = 15_000

#: A program that ran this long was healthy: the backoff starts again.
HEALTHY_AFTER_MS: Final = 30_000


def doubled_ms(failures: int, first_ms: int, cap_ms: int) -> int:
    """``first_ms``, doubled for each failure, and at most ``cap_ms``."""
    return min(first_ms << min(failures, _DOUBLINGS), cap_ms)


def backoff_ms(failures: int, first_ms: int, cap_ms: int, jitter: random.Random) -> int:
    """Exponential backoff with equal jitter: half fixed, half random, so that what waits for the same cause does not
    come back at once, and nothing comes back immediately."""
    longest_ms = doubled_ms(failures, first_ms, cap_ms)
    return longest_ms // 2 + jitter.randrange(longest_ms // 2 + 1)


class RestartBackoff:
    """The waits of one program before its restarts: a healthy run begins anew."""

    def __init__(self) -> None:
        self._restarts = 0

    def next_ms(self, ran_ms: float) -> int:
        """How long to wait after a run of ``ran_ms``."""
        if ran_ms > HEALTHY_AFTER_MS:
            self._restarts = 0
        wait_ms = doubled_ms(self._restarts, RESTART_FIRST_MS, RESTART_CAP_MS)
        self._restarts += 1
        return wait_ms
