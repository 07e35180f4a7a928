"""One time-out for many tasks, with one timer for all of them."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any, Final

#: Timers of uvloop count whole milliseconds: one may end half of one early.
TIMER_RESOLUTION_S: Final = 0.001


class SharedTimeout:
    """``with timeout.started():`` bounds what it holds as ``async with asyncio.timeout(timeout_ms / 1000):`` does.

    All last equally long, so that they end in the order of their starts, and the timer is set for the oldest alone. A
    timer for each would cost more than all else that reading a request's body does. It belongs to one event loop.
    """

    def __init__(self, timeout_ms: int) -> None:
        self._timeout_s = timeout_ms / 1000
        self._started: dict[_Started, None] = {}  # oldest first
        self._timer: asyncio.TimerHandle | None = None

    def started(self) -> _Started:
        """A context manager for the running task. Leaving it raises TimeoutError where the time ended first."""
        return _Started(self)

    def start(self, started: _Started) -> float:
        """Count its time from now; when it ends, on the clock of the event loop."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._timeout_s
        self._started[started] = None
        if self._timer is None:
            self._timer = loop.call_at(deadline, self._end, loop)
        return deadline

    def leave(self, started: _Started) -> None:
        """It ended before its time. The timer stays: setting it anew each time is what costs."""
        self._started.pop(started, None)

    def _end(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        ended_by = loop.time() + TIMER_RESOLUTION_S
        while self._started:
            oldest = next(iter(self._started))
            if oldest.deadline > ended_by:
                self._timer = loop.call_at(oldest.deadline, self._end, loop)
                return
            del self._started[oldest]
            oldest.end()


class _Started:
    """One task's time. As in ``asyncio.Timeout``, a cancellation that came from elsewhere stays one."""

    __slots__ = ("_cancelling", "_ended", "_owner", "_task", "deadline")

    def __init__(self, owner: SharedTimeout) -> None:
        self._owner = owner
        self._ended = False

    def __enter__(self) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a time-out needs a task")
        self._task: asyncio.Task[Any] = task
        self._cancelling = task.cancelling()
        self.deadline = self._owner.start(self)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._owner.leave(self)
        if self._ended and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def end(self) -> None:
        self._ended = True
        self._task.cancel()
