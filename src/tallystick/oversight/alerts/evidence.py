"""What conditions are looked for in: the newest numbers and those before them, cases, clocks, circuits and rates."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

from msgspec import Struct

from tallystick.domain.rates import RateName
from tallystick.oversight.completeness import Incomplete
from tallystick.oversight.numbers import Numbers
from tallystick.record.postgres.cases import CaseGroup
from tallystick.record.postgres.process_clocks import ClockApart
from tallystick.record.postgres.provider_circuits import AccountCircuits
from tallystick.record.postgres.rates import Release

#: Ages are compared over minutes; this bounds what is kept where numbers are read often.
SAMPLES: Final = 2_000


class Trend(Struct, frozen=True, kw_only=True):
    """Counts since a release began to work, and of as long before it as is compared."""

    release: Release
    before: Mapping[RateName, int]
    after: Mapping[RateName, int]


class OtherBytes(Struct, frozen=True, kw_only=True):
    """Events that came again with other content. ``newest_at``: when the newest did, to the minute; ``event_id``: which
    one, None where its arrival is not in the record yet."""

    number: int
    newest_at: datetime
    event_id: str | None


class Evidence(Struct, frozen=True, kw_only=True):
    """Everything at one moment. ``gap``: when nobody had watched, if that just ended. ``incomplete``: payments that
    were examined since the last look, with when that was. ``other_bytes``: events that came again
    with other content in the last hour. ``clocks``: those beyond the margin, and ``circuits``: of all processes."""

    now: datetime
    numbers: Numbers
    samples: Samples
    cases: Sequence[CaseGroup] = ()
    clocks: Sequence[ClockApart] = ()
    circuits: Sequence[AccountCircuits] = ()
    trend: Trend | None = None
    incomplete: Sequence[Incomplete] = ()
    other_bytes: OtherBytes | None = None
    gap: tuple[datetime, datetime] | None = None

    def since(self, ms: int) -> datetime:
        """That long ago."""
        return self.now - timedelta(milliseconds=ms)


class Samples:
    """Ages of what waits, in ms, as they were read one after another. 0 where nothing waited."""

    def __init__(self, window_ms: int) -> None:
        self._window = timedelta(milliseconds=window_ms)
        self._kept: deque[tuple[datetime, Mapping[str, int]]] = deque(maxlen=SAMPLES)

    def add(self, numbers: Numbers) -> None:
        """Keep the ages of one reading. Of those older than the window, the newest one stays: it is where the window
        begins."""
        ages = {each.what: max(0, each.longest_ms or 0) if each.waiting else 0 for each in numbers.backlog}
        if self._kept and self._kept[-1][0] >= numbers.at:
            return
        self._kept.append((numbers.at, ages))
        while len(self._kept) > 1 and self._kept[1][0] <= numbers.at - self._window:
            self._kept.popleft()

    def rising(self, what: str) -> bool:
        """Whether the age has grown, and never fallen, over the whole window."""
        ages = list(self._ages(what))
        return self._is_whole() and ages[-1] > ages[0] and all(a <= b for a, b in pairwise(ages))

    def below(self, what: str, limit_ms: int) -> bool:
        """Whether the age was no more than this over the whole window."""
        return self._is_whole() and all(age <= limit_ms for age in self._ages(what))

    def _ages(self, what: str) -> Iterator[int]:
        return (ages.get(what, 0) for _, ages in self._kept)

    def _is_whole(self) -> bool:
        return len(self._kept) > 1 and self._kept[-1][0] - self._kept[0][0] >= self._window
