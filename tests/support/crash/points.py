"""At which of its points a process is killed."""

from __future__ import annotations

from collections.abc import Sequence

from tests.support.database import DEEP


def stride(without_depth: int) -> int:
    """The step from one point to the next one: 1 with depth.

    Raises AssertionError for an even step: points come in pairs, before and after a statement, and it would meet one of
    each alone.
    """
    assert without_depth % 2 == 1, without_depth
    return 1 if DEEP else without_depth


def chosen(points: Sequence[str], without_depth: int) -> list[int]:
    """The numbers of the points where a process is killed: all with depth, else every so many-th, and the first of each
    statement, provider call and task that these do not meet."""
    numbers = set(range(0, len(points), stride(without_depth)))
    met = {_subject(points[number]) for number in numbers}
    for number, point in enumerate(points):
        if _subject(point) not in met:
            met.add(_subject(point))
            numbers.add(number)
    return sorted(numbers)


def _subject(point: str) -> str:
    return point.removeprefix("before ").removeprefix("during ").removeprefix("after ")
