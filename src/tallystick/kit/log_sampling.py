"""Log lines that may come in floods: the first at once, then one every so often that says how many there were."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from typing import Final

#: One line of a slot in this long: a flood must not fill the disk, and six a minute are enough to see it.
SAMPLE_EVERY_S: Final = 10.0

#: Writes the line, with how many there were since the line before it, itself among them.
Say = Callable[[int], None]


class _Window:
    __slots__ = ("ends_at", "left_out", "say", "timer")

    def __init__(self, ends_at: float, timer: asyncio.TimerHandle, say: Say) -> None:
        self.ends_at = ends_at
        self.timer = timer
        self.say = say
        self.left_out = 0


class SampledLines:
    """Lines by slot; slots must be few, and none of a stranger's choosing. The numbers of a slot's lines add up to all
    that there were: what was left out is written when its window ends. Call it inside a running event loop."""

    def __init__(self, every_s: float = SAMPLE_EVERY_S) -> None:
        self._every_s = every_s
        self._windows: dict[Hashable, _Window] = {}

    def line(self, slot: Hashable, say: Say) -> None:
        """One more: written now, or counted for the next line of its slot."""
        window = self._windows.get(slot)
        if window is None:
            say(1)
            self._open(slot, say)
            return
        window.left_out += 1
        window.say = say
        if asyncio.get_running_loop().time() >= window.ends_at:  # its timer is late, or died with its event loop
            self._end(slot)

    def flush(self) -> None:
        """Write now the lines for what was left out so far."""
        for slot, window in list(self._windows.items()):
            window.timer.cancel()
            del self._windows[slot]
            if window.left_out:
                window.say(window.left_out)

    def _open(self, slot: Hashable, say: Say) -> None:
        loop = asyncio.get_running_loop()
        timer = loop.call_later(self._every_s, self._end, slot)
        self._windows[slot] = _Window(loop.time() + self._every_s, timer, say)

    def _end(self, slot: Hashable) -> None:
        window = self._windows.pop(slot)
        window.timer.cancel()
        if window.left_out:
            window.say(window.left_out)
            self._open(slot, window.say)
