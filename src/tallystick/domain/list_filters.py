"""Which of a merchant's refunds, disputes, events and messages a list shows. Pure."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from tallystick.domain.created_range import CreatedRange
from tallystick.domain.errors import ProblemField

#: Messages of one type have no index, which each message would pay for: every message of the range may be read.
LONGEST_RANGE_OF_A_TYPE: Final = timedelta(days=31)

RANGE_NEEDED: Final = "is required beside type without payment, which is looked for in at most 31 days"
RANGE_TOO_LONG: Final = "must be at most 31 days after created_gte, for a type without payment"


class MemberFilter(CreatedRange, frozen=True, kw_only=True):
    """Of refunds or disputes. All that is given must hold."""

    payment_id: str | None = None
    state: str | None = None


class EventFilter(CreatedRange, frozen=True, kw_only=True):
    """Of providers' events. The range is of their first arrival."""

    payment_id: str | None = None


class MessageFilter(CreatedRange, frozen=True, kw_only=True):
    """Of messages to the merchant. All that is given must hold."""

    payment_id: str | None = None
    type: str | None = None

    def faults(self) -> list[ProblemField]:
        """Also what a type needs."""
        found = super().faults()
        if self.type is None or self.payment_id is not None:
            return found
        return found + self.range_faults(LONGEST_RANGE_OF_A_TYPE, RANGE_NEEDED, RANGE_TOO_LONG)
