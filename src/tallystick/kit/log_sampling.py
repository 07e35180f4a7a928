"""Sampled log lines: the first at once, then one per window with the number of lines it stands for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from typing import Final

#: One line per slot in this time: a flood must not fill the disk, and six a minute are enough to see it.
SAMPLE_EVERY_S: Final = 10.0

#: Writes the line. The number: how many there were since the previous line, this one included.
Say = Callable[[int], None]


class _Window:
    __slots__ = ("ends_at", "say", "suppressed", "timer")

    def __init__(self, ends_at: float, timer: asyncio.TimerHandle, say: Say) -> None:
        self.ends_at = ends_at
        self.timer = timer
        self.say = say
        self.suppressed = 0


class SampledLines:
    """Lines by slot. Slots must be few, and no client may choose one. The numbers of a slot's lines add up to all its
    lines: suppressed lines are reported when the window ends. Call it inside a running event loop."""

    def __init__(self, every_s: float = SAMPLE_EVERY_S) -> None:
        self._every_s = every_s
        self._windows: dict[Hashable, _Window] = {}

    def line(self, slot: Hashable, say: Say) -> None:
        """Write the line now, or count it for the next line of its slot."""
        window = self._windows.get(slot)
        if window is None:
            say(1)
            self._open(slot, say)
            return
        window.suppressed += 1
        window.say = say
        if asyncio.get_running_loop().time() >= window.ends_at:  # its timer is late, or died with its event loop
            self._end(slot)

    def flush(self) -> None:
        """Report the suppressed lines now."""
        for slot, window in list(self._windows.items()):
            window.timer.cancel()
            del self._windows[slot]
            if window.suppressed:
                window.say(window.suppressed)

    def _open(self, slot: Hashable, say: Say) -> None:
        loop = asyncio.get_running_loop()
        timer = loop.call_later(self._every_s, self._end, slot)
        self._windows[slot] = _Window(loop.time() + self._every_s, timer, say)

    def _end(self, slot: Hashable) -> None:
        window = self._windows.pop(slot)
        window.timer.cancel()
        if window.suppressed:
            window.say(window.suppressed)
            self._open(slot, window.say)
