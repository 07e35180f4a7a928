"""When a writer of batches starts the next one: while more than one piece of work comes for a batch, so long after the
last one started, and at once where work comes alone (decision 0085)."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Final

#: A batch that takes longer than a slow disk's flush is blocked by something else: the next one need not wait for it.
SECOND_BATCH_PATIENCE_MS: Final = 25

#: Work comes together for so many spacings after a batch that had more than one piece. At a steady rate of three for
#: each spacing, every fifth batch has one by chance: the batches after it would again be as small as they can be.
SPACED_FOR: Final = 5

#: Timers of uvloop count whole milliseconds: one may end half of one early.
TIMER_RESOLUTION_S: Final = 0.0005


class BatchStarts:
    """The starts of one process's batches, which several connections may write. ``waiting``: whether there is work for
    one. ``enough``: whether there is so much that it need not wait for more. ``wake``: called when one may start that
    could not when ``may_start`` was asked."""

    def __init__(
        self, waiting: Callable[[], bool], enough: Callable[[], bool], wake: Callable[[], None], *, spacing_ms: int
    ) -> None:
        self._waiting = waiting
        self._enough = enough
        self._wake = wake
        self._spacing_ms = spacing_ms
        self._in_flight = 0
        self._last_start_s = -math.inf  # on the event loop's clock
        self._last_shared_s = -math.inf  # the same of a batch with more than one piece
        self._timer: asyncio.Handle | None = None
        self._timer_due_s = math.inf  # kept here: uvloop's timer of less than a millisecond is a plain Handle

    def may_start(self) -> bool:
        """Whether a batch may start now. Where it may later, ``wake`` is called then: while work waits and a connection
        is free, a timer runs that ends no later than that."""
        if not self._waiting():
            return False
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        due_s = self._last_start_s + self._pause_ms(now_s) / 1000
        if due_s <= now_s + TIMER_RESOLUTION_S:
            return True
        if self._timer is not None and self._timer_due_s > due_s:
            self.cancel()
        if self._timer is None:
            self._timer, self._timer_due_s = loop.call_at(due_s, self._on_time), due_s
        return False

    def started(self, size: int) -> None:
        """A batch of so many has started."""
        self._in_flight += 1
        self._last_start_s = asyncio.get_running_loop().time()
        if size > 1:
            self._last_shared_s = self._last_start_s

    def ended(self) -> None:
        """One that had started has ended, however."""
        self._in_flight -= 1

    def cancel(self) -> None:
        """Wake nobody."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _pause_ms(self, now_s: float) -> int:
        """How long after the start of the last batch the next one may start. Beside a batch in flight, only one that is
        worth its round trips starts, or one behind a batch that is blocked."""
        if self._enough():
            return 0
        if self._in_flight:
            return SECOND_BATCH_PATIENCE_MS
        return self._spacing_ms if now_s < self._last_shared_s + SPACED_FOR * self._spacing_ms / 1000 else 0

    def _on_time(self) -> None:
        self._timer = None
        self._wake()
