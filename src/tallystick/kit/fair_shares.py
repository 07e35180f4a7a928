"""Slots that merchants share, so that none of them takes the place of the others.

A merchant that holds no slot gets any free one. One that holds some gets another only while what stays free is at least
a seventh of what it then holds. So a merchant alone holds seven eighths of the slots, and each of four that take all
they can get holds seven parts of 29: less than a quarter. What stays free is there for those that come next, at once,
however long the slots that are held stay held.

Nobody who holds as many slots as a merchant that waits, or more, gets another one: the rule is the same for both.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Final, TypeVar

#: A merchant may hold this many times what stays free. More would leave too few for a merchant that comes while four
#: hold all that they can: of 500 slots 18 are left, which carry 90 messages a second at 200 ms. Fewer would waste
#: slots where a merchant is alone.
HELD_PER_FREE: Final = 7


Item = TypeVar("Item")


def in_turns(items: Sequence[Item], merchant_of: Callable[[Item], str]) -> list[Item]:
    """Each merchant's first item, then the second of each, and so on; else as they came."""
    places: Counter[str] = Counter()
    placed = []
    for item in items:
        merchant_id = merchant_of(item)
        placed.append((places[merchant_id], item))
        places[merchant_id] += 1
    return [item for _, item in sorted(placed, key=itemgetter(0))]


class FairShares:
    """Counts who holds how many of a number of slots. Waits for nothing."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._held: Counter[str] = Counter()
        self._total = 0

    @property
    def free(self) -> int:
        """How many slots nobody holds."""
        return self._slots - self._total

    def held(self, merchant_id: str) -> int:
        """How many slots a merchant holds."""
        return self._held[merchant_id]

    def has_room(self, merchant_id: str, *, part: float = 1.0) -> bool:
        """Whether a merchant may have one more. ``part``: of all slots, the part that is there for this kind of use."""
        free = math.ceil(self._slots * part) - self._total
        held = self._held[merchant_id]
        return free > 0 and (held == 0 or held + 1 <= HELD_PER_FREE * (free - 1))

    def take(self, merchant_id: str) -> bool:
        """Take a slot for a merchant; False where it may have no more."""
        if not self.has_room(merchant_id):
            return False
        self.add(merchant_id)
        return True

    def add(self, merchant_id: str) -> None:
        """Take a slot whatever there is: for one that was asked for with ``has_room``."""
        self._held[merchant_id] += 1
        self._total += 1

    def give_back(self, merchant_id: str) -> None:
        """Give one slot back."""
        self._total -= 1
        self._held[merchant_id] -= 1
        if not self._held[merchant_id]:
            del self._held[merchant_id]

    def full(self) -> list[str]:
        """The merchants that hold slots and may have no more."""
        return [merchant_id for merchant_id in self._held if not self.has_room(merchant_id)]
