"""Where a sealer looks for what is not sealed: at the newest by pages of time, and at the whole window part by part."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct

from tallystick.record.postgres.audit_rows import END, Thing

#: Beside the time since the look before, a look goes back this far: most transactions are shorter.
NEAR: Final = timedelta(milliseconds=3_000)

#: A page that was full of things of one moment: the next ones are as long as this at least.
_SHORTEST_PAGE: Final = timedelta(milliseconds=10)

#: How long the first page is. What it costs to look at a time is not known before, and what is there may be much.
_FIRST_PAGE: Final = timedelta(seconds=15)

#: A page that was looked at in less lets the next one be longer, up to an hour; one that took more makes it shorter,
#: well before a statement takes too long.
_QUICK_MS: Final = 500
_SLOW_MS: Final = 3_000
_LONGER: Final = 4
_LONGEST_PAGE: Final = timedelta(hours=1)

#: A part of the window, also where rounds took long or failed.
_LONGEST_PART: Final = timedelta(seconds=30)


class Page(Struct, frozen=True, kw_only=True):
    """Things of these kinds, from a time to before another."""

    kinds: tuple[str, ...]
    since: datetime
    until: datetime


class Look:
    """Looks at everything of some kinds, one after the other. Each goes from a little before the beginning of the one
    before up to its own, by pages, the oldest first: where things are many, none is read twice but for that little.
    A page that is full says how much time has as much as a round takes.

    ``name``: what its position is noted under. ``begun``: when the look that is under way began; ``ended``: when the
    last one that came to its end had begun. ``due_ms``: when the next one is due, by the monotonic clock. ``found``:
    how much this look found. ``full``: whether its last page had as much as a round takes, so that there may be more.
    """

    def __init__(self, name: str, kinds: tuple[str, ...]) -> None:
        self.name = name
        self.kinds = kinds
        self.begun: datetime | None = None
        self.ended: datetime | None = None
        self.due_ms = 0
        self.found = 0
        self.full = False
        self._from: datetime | None = None
        self._length = _FIRST_PAGE

    @property
    def reached(self) -> datetime | None:
        """What is older was looked at; None where no look has come to its end."""
        if self.ended is None:
            return None
        return self.ended if self.begun is None else self._from

    def begin(self, now: datetime, first: datetime) -> None:
        """Begin a look. ``first``: from when on, if it is the first one."""
        self.begun, self.found = now, 0
        # A clock that was set back: from where it is now.
        self._from = first if self.ended is None else min(self.ended, now) - NEAR

    def page(self) -> Page:
        """The page that is next. The last one has no end: what has a later time by another clock is there too."""
        assert self.begun is not None and self._from is not None, "a look is under way"
        until = self._from + self._length
        return Page(kinds=self.kinds, since=self._from, until=until if until < self.begun else END)

    def position(self, page: Page, found: Sequence[Sequence[Thing]], at_once: int) -> datetime:
        """Up to when everything that is visible now was looked at, with this page."""
        assert self.begun is not None, "a look is under way"
        return min(_whole_until(page, found, at_once), self.begun)

    def shorten(self) -> None:
        """The page took too long, and nothing of it counts."""
        self._length = max(self._length / _LONGER, _SHORTEST_PAGE)

    def looked(self, page: Page, found: Sequence[Sequence[Thing]], at_once: int, took_ms: int = 0) -> bool:
        """This was on the page, of each kind ``at_once`` at most, and looked at in that time. Whether the look is at
        its end."""
        assert self.begun is not None, "a look is under way"
        self.found += sum(map(len, found))
        reached = _whole_until(page, found, at_once)
        self.full = reached < page.until
        if self.full:
            self._length = max(reached - page.since, _SHORTEST_PAGE)
        elif took_ms > _SLOW_MS:
            self.shorten()
        elif took_ms < _QUICK_MS and _LONGER * max(map(len, found)) < at_once:
            self._length = min(_LONGER * self._length, _LONGEST_PAGE)
        self._from = reached
        if reached < self.begun:
            return False
        self.ended, self.begun = self.begun, None
        return True


class WindowLook:
    """Goes through the window again and again, a part at a time: what commits later than a look at the newest reaches.
    ``cycle``: it comes to each moment once in that time, while that moment is in the window."""

    def __init__(self, kinds: tuple[str, ...], window: timedelta, cycle: timedelta) -> None:
        self._kinds, self._window = kinds, window
        #: While it goes through the window, the window moves: both together are gone through in a cycle.
        self._speed = (window + cycle) / cycle
        self._at: datetime | None = None
        self._is_last = False

    def page(self, reached: datetime, elapsed: timedelta) -> Page | None:
        """The part that is due after so much time, of what is older than ``reached``; None where there is nothing."""
        end = reached - NEAR
        if self._at is None:
            self._at = reached - self._window
        until = min(self._at + min(elapsed * self._speed, _LONGEST_PART), end)
        if self._at >= until:
            self._at = None  # the window is shorter than what looks go back
            return None
        self._is_last = until == end
        return Page(kinds=self._kinds, since=self._at, until=until)

    def looked(self, page: Page, found: Sequence[Sequence[Thing]], at_once: int) -> None:
        """This was on the page, of each kind ``at_once`` at most."""
        at = _whole_until(page, found, at_once)
        self._at = None if at == page.until and self._is_last else at


def _whole_until(page: Page, found: Sequence[Sequence[Thing]], at_once: int) -> datetime:
    """Up to when everything on the page was found."""
    return min((things[-1].at for things in found if len(things) >= at_once), default=page.until)
