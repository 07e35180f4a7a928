"""How long a program that has ended waits for its restart."""

from __future__ import annotations

from typing import Final

#: The first restart comes almost at once; later ones back off, without an end.
RESTART_FIRST_MS: Final = 500
RESTART_CAP_MS: Final = 15_000

#: A program that ran this long was healthy: the backoff starts again.
HEALTHY_AFTER_MS: Final = 30_000


class Backoff:
    """The waits of one program: the first is short, each later one twice as long, and a healthy run begins anew."""

    def __init__(self) -> None:
        self._wait_ms = RESTART_FIRST_MS

    def next_ms(self, ran_ms: float) -> int:
        """How long to wait after a run of so long."""
        if ran_ms > HEALTHY_AFTER_MS:
            self._wait_ms = RESTART_FIRST_MS
        wait_ms = self._wait_ms
        self._wait_ms = min(2 * wait_ms, RESTART_CAP_MS)
        return wait_ms
