"""The clock and the timers of the running event loop, in a test's hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.polling import one_turn


class Timer:
    """One that was set. It does not say when it ends: uvloop gives a plain Handle for one that is due at once."""

    def __init__(self, when_s: float, callback: Callable[[], Any]) -> None:
        self.when_s = when_s
        self.callback = callback
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class LoopClock:
    """Stands still until a test moves it; then timers end in their order. ``all_set``: how many were ever set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 0.0
        self.all_set = 0
        self._timers: list[Timer] = []
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(loop, "time", lambda: self.now_s)
        monkeypatch.setattr(loop, "call_at", self._call_at)

    @property
    def timers(self) -> list[Timer]:
        """Those that run, the next to end first."""
        return sorted((each for each in self._timers if not each.is_cancelled), key=lambda each: each.when_s)

    async def until(self, now_s: float) -> None:
        """Move the clock; what is due until then happens."""
        while self.timers and self.timers[0].when_s <= now_s:
            self.end_next()
            await settled()
        self.now_s = now_s
        await settled()

    def end_next(self) -> None:
        """The next timer ends now, and nothing else has a turn."""
        timer = self.timers[0]
        self._timers.remove(timer)
        self.now_s = max(self.now_s, timer.when_s)
        timer.callback()

    def _call_at(self, when_s: float, callback: Any, *arguments: Any) -> Timer:
        self._timers.append(Timer(when_s, lambda: callback(*arguments)))
        self.all_set += 1
        return self._timers[-1]


async def settled() -> None:
    """Until no task of a test has anything to do: a few turns, for what wakes what."""
    for _ in range(6):
        await one_turn()
