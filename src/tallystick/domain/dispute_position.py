"""Where a dispute's money is. Pure.

It follows from the set of movements that the provider named, from the verdict, and from nothing else: the same in
whatever order it was told. A verdict whose own movement was not told yet is taken at its word, until that movement is
told: a dispute that was lost has cost its amount, one that was won nothing. A movement of unknown amount changes
nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tallystick.domain.dispute_movement import Movement
from tallystick.domain.subjects import Dispute, DisputeState

#: States of a dispute whose verdict is known.
DECIDED: Final = frozenset({"won", "lost"})


def taken(dispute: Dispute) -> int:
    """What the provider has taken and not given back, in minor units, as the books have it. Without named movements
    the dispute's own mark is all there is."""
    if dispute.movements:
        return taken_by(dispute.state, dispute.movements, dispute.amount, contested=dispute.contested)
    return dispute.amount if dispute.funds_withdrawn else 0


def taken_by(state: DisputeState, movements: Sequence[Movement], amount: int, *, contested: bool) -> int:
    """From the named movements. Both verdicts say nothing together, and then only what was named counts."""
    known = [each for each in movements if each.amount is not None]
    withdrawn = [each for each in known if each.funds == "withdrawn"]
    returned = [each for each in known if each.funds == "returned"]
    untold = 0
    if state == "won" and not contested:
        untold = min(0, len(returned) - sum(each.before_verdict for each in withdrawn))
    if state == "lost" and not contested:
        untold = max(0, 1 + sum(each.before_verdict for each in returned) - len(withdrawn))
    return net_of(known) + untold * amount


def net_of(movements: Sequence[Movement]) -> int:
    """What the named movements took, less what they gave back. Unknown amounts count nothing."""
    return sum((each.amount or 0) * (1 if each.funds == "withdrawn" else -1) for each in movements)


def claimed(dispute: Dispute) -> int:
    """What a dispute has taken of its payment or may take, in minor units: its amount, or 0. One that was won takes
    nothing unless it is contested, and an inquiry nothing as long as no money was withdrawn for it."""
    if dispute.state == "won":
        return dispute.amount if dispute.contested else 0
    withdrawn = dispute.funds_withdrawn or any(each.funds == "withdrawn" for each in dispute.movements)
    asks_only = dispute.kind == "inquiry" and dispute.state != "lost" and not withdrawn
    return 0 if asks_only else dispute.amount


def suspended(dispute: Dispute) -> int:
    """What stands in suspense for it: what its course accounts for, less what the provider really took. Above zero is
    money that we have and cannot explain, below zero is money that is missing."""
    gone = dispute.state == "lost" or dispute.contested
    # The mark and not the sum: rows of before 0.3.0 were posted by a mark that counted how often money moved.
    accounted = gone if dispute.state in DECIDED else dispute.funds_withdrawn
    return (dispute.amount if accounted else 0) - taken(dispute)
