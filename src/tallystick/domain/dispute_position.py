"""Where a dispute's money is. Pure.

The position follows only from the verdict and from the set of movements that the provider reported, in whatever order
they were reported. Until the movement of a verdict is reported, the verdict alone decides: a lost dispute has cost its
amount, a won one nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from tallystick.domain.dispute_movement import Movement
from tallystick.domain.subjects import Dispute, DisputeState

#: States of a dispute whose verdict is known.
DECIDED: Final = frozenset({"won", "lost"})


class Position(NamedTuple):
    """What the provider has taken and not given back: how many times, and how much in minor units."""

    times: int
    amount: int


def position(dispute: Dispute) -> Position:
    """The position by the ledger. Without movements only ``funds_withdrawn`` is known."""
    if dispute.movements:
        return counted(dispute.state, dispute.movements, dispute.amount, contested=dispute.contested)
    return Position(int(dispute.funds_withdrawn), dispute.amount if dispute.funds_withdrawn else 0)


def counted(state: DisputeState, movements: Sequence[Movement], amount: int, *, contested: bool) -> Position:
    """The position by the movements. After both verdicts only the movements count."""
    withdrawn = [each for each in movements if each.funds == "withdrawn"]
    returned = [each for each in movements if each.funds == "returned"]
    unreported = 0
    if state == "won" and not contested:
        unreported = min(0, len(returned) - sum(each.before_verdict for each in withdrawn))
    if state == "lost" and not contested:
        unreported = max(0, 1 + sum(each.before_verdict for each in returned) - len(withdrawn))
    total = sum(each.amount for each in withdrawn) - sum(each.amount for each in returned)
    return Position(len(withdrawn) - len(returned) + unreported, total + unreported * amount)


def suspended(dispute: Dispute) -> int:
    """Its amount in suspense: what its course accounts for, less what the provider really took. Above zero is money
    that we have and cannot explain, below zero is missing money."""
    times, taken = position(dispute)
    gone = dispute.state == "lost" or dispute.contested
    accounted = gone if dispute.state in DECIDED else times > 0
    return (dispute.amount if accounted else 0) - taken
