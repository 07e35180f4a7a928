"""What a process counts of its own work: plain integers, read when somebody asks.

To count is to add to a dict: no lock, no call of a library. A family has one name, and its label values come from
closed sets, so that it stays small; never from a client, and never a merchant.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, Literal, TypeVar

from msgspec import Struct

Value = TypeVar("Value")

#: The values of a family's labels, in the order of their names.
Labels = tuple[str, ...]

#: ``count`` only grows; ``level`` is as it is now; ``spread`` says how many lay below each of its bounds.
FamilyKind = Literal["count", "level", "spread"]

#: Upper bounds in milliseconds, from a commit in memory to a provider's time-out.
MILLISECONDS: Final = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000)

#: For what may wait for hours.
LONG_MILLISECONDS: Final = (10, 50, 100, 500, 1_000, 5_000, 15_000, 60_000, 300_000, 1_800_000, 7_200_000, 86_400_000)


class Family:
    """What the families have in common. ``says``: one sentence for people. ``labels``: the names of its labels."""

    __slots__ = ("labels", "name", "says")

    def __init__(self, name: str, says: str, labels: Sequence[str] = ()) -> None:
        self.name = name
        self.says = says
        self.labels = tuple(labels)


class Counts(dict[Labels, int]):
    """Counts by their labels, each from 0: ``counts["captured", "first"] += 1``."""

    __slots__ = ("family",)

    def __init__(self, name: str, says: str, labels: Sequence[str] = ()) -> None:
        super().__init__()
        self.family = Family(name, says, labels)

    def __missing__(self, _: Labels) -> int:
        return 0


class Levels(dict[Labels, float]):
    """Values as they are now, by their labels: whoever sets them takes away what is over. Those of several processes
    add up; with ``furthest`` the one that is furthest from 0 stands for all."""

    __slots__ = ("family", "furthest")

    def __init__(self, name: str, says: str, labels: Sequence[str] = (), *, furthest: bool = False) -> None:
        super().__init__()
        self.family = Family(name, says, labels)
        self.furthest = furthest


class Spreads(dict[Labels, list[int]]):
    """Values by their labels: for each bound how many lay at or below it and above the one before, those above the last
    bound, and the sum of all. ``per_shown_unit``: so many make one of the unit that is in the name."""

    __slots__ = ("bounds", "family", "per_shown_unit")

    def __init__(
        self,
        name: str,
        says: str,
        labels: Sequence[str] = (),
        *,
        bounds: Sequence[int] = MILLISECONDS,
        per_shown_unit: int = 1_000,
    ) -> None:
        super().__init__()
        self.family = Family(name, says, labels)
        self.bounds = tuple(bounds)
        self.per_shown_unit = per_shown_unit

    def __missing__(self, labels: Labels) -> list[int]:
        found = self[labels] = [0] * (len(self.bounds) + 2)
        return found

    def observe(self, labels: Labels, value: int) -> None:
        """Count one value."""
        slots = self[labels]
        slots[bisect_left(self.bounds, value)] += 1
        slots[-1] += value


AnyFamily = Counts | Levels | Spreads


class Reading(Struct, frozen=True):
    """All families of a process at one moment, by name."""

    counts: dict[str, list[tuple[Labels, int]]]
    levels: dict[str, list[tuple[Labels, float]]]
    furthest: dict[str, list[tuple[Labels, float]]]
    spreads: dict[str, list[tuple[Labels, list[int]]]]


def read(families: Iterable[AnyFamily]) -> Reading:
    """The families as they are. Another thread may go on counting meanwhile."""
    reading = Reading({}, {}, {}, {})
    for each in families:
        name = each.family.name
        if isinstance(each, Counts):
            reading.counts[name] = list(each.items())
        elif isinstance(each, Levels):
            (reading.furthest if each.furthest else reading.levels)[name] = list(each.items())
        else:
            reading.spreads[name] = [(labels, list(slots)) for labels, slots in list(each.items())]
    return reading


class Sum:
    """Readings of several processes, added up."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, Labels], int] = {}
        self._levels: dict[tuple[str, Labels], float] = {}
        self._furthest: dict[tuple[str, Labels], float] = {}
        self._spreads: dict[tuple[str, Labels], list[int]] = {}

    def add(self, reading: Reading, *, ended: bool = False) -> None:
        """Add a reading. Of a process that has ``ended``, what it counted stays, and its levels do not."""
        for key, number in _rows(reading.counts):
            self._counts[key] = self._counts.get(key, 0) + number
        for key, slots in _rows(reading.spreads):
            known = self._spreads.get(key)
            self._spreads[key] = slots if known is None else [a + b for a, b in zip(known, slots, strict=True)]
        if ended:
            return
        for key, value in _rows(reading.levels):
            self._levels[key] = self._levels.get(key, 0) + value
        for key, value in _rows(reading.furthest):
            self._furthest[key] = max(self._furthest.get(key, 0), value, key=abs)

    def reading(self) -> Reading:
        """The sum, as one reading."""
        return Reading(
            _by_name(self._counts), _by_name(self._levels), _by_name(self._furthest), _by_name(self._spreads)
        )


def _rows(families: Mapping[str, Sequence[tuple[Labels, Value]]]) -> Iterator[tuple[tuple[str, Labels], Value]]:
    for name, rows in families.items():
        for labels, value in rows:
            yield (name, tuple(labels)), value


def _by_name(rows: Mapping[tuple[str, Labels], Value]) -> dict[str, list[tuple[Labels, Value]]]:
    families: dict[str, list[tuple[Labels, Value]]] = {}
    for (name, labels), value in rows.items():
        families.setdefault(name, []).append((labels, value))
    return families


def growth(now: Mapping[Labels, int], before: Mapping[Labels, int]) -> dict[Labels, int]:
    """By how much each count has grown."""
    return {labels: grown for labels, number in now.items() if (grown := number - before.get(labels, 0))}
