"""Rejected cases as the numbers show them: how many wait, since when, and who closes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct

from tallystick.record.postgres.number_reads import NumberReads, WaitingCases

#: A case that nobody has taken for so long is nobody's.
UNASSIGNED_AFTER: Final = timedelta(hours=24)

#: Over this time it is shown who closes cases.
SHARES_OVER: Final = timedelta(days=30)


class Cases(Struct, frozen=True, kw_only=True):
    """``shares``: of the cases that were closed in the last 30 days or are not resolved, by ``rule``, ``person`` and
    ``open``; empty where there are none."""

    waiting: Sequence[WaitingCases]
    shares: Mapping[str, float]

    @property
    def unassigned(self) -> int:
        """How many nobody has taken for a day."""
        return sum(each.unassigned for each in self.waiting)


async def read_cases(reads: NumberReads, now: datetime) -> Cases:
    """Raises what the database raises."""
    waiting = await reads.cases_waiting(now - UNASSIGNED_AFTER)
    numbers = {"rule": 0, "person": 0, **await reads.cases_closed(now - SHARES_OVER)}
    numbers["open"] = sum(each.waiting for each in waiting)
    total = sum(numbers.values())
    shares = {name: number / total for name, number in numbers.items()} if total else {}
    return Cases(waiting=waiting, shares=shares)
