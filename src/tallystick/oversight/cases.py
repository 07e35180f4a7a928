"""Cases of rejected transitions, as the numbers show them: how many wait, and who closes them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct, field

from tallystick.kit.ids import id_floor
from tallystick.record.postgres.number_reads import NumberReads

#: Rejections that are looked back at, while nobody keeps the state of a case.
LOOK_BACK: Final = timedelta(hours=24)

#: Rejections that alert are rare: more than these are many, however many more there are.
AT_MOST: Final = 10_000


class Cases(Struct, frozen=True, kw_only=True):
    """``open_by_category``: how many are not resolved, and since when the oldest. ``shares``: of the cases of the last
    30 days, by who closed them. ``unassigned``: those that nobody has taken for a day; None where that is not kept."""

    open_by_category: Mapping[str, tuple[int, datetime]]
    shares: Mapping[str, float] = field(default_factory=dict)
    unassigned: int | None = None


async def read_cases(reads: NumberReads, now: datetime) -> Cases:
    """The one place that counts cases. Raises what the database raises.

    As long as a rejected transition is no case with a state of its own, those of the last day stand for what waits, by
    the kind of subject that refused them.
    """
    found: dict[str, tuple[int, datetime]] = {}
    for each in await reads.rejections_after(id_floor("rej", now - LOOK_BACK), AT_MOST):
        count, oldest_at = found.get(each.subject, (0, each.at))
        found[each.subject] = (count + 1, min(oldest_at, each.at))
    return Cases(open_by_category=found)
