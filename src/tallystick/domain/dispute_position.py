"""Where a dispute's money is, by all that is known of it. Pure.

It follows from the set of movements that the provider named, from the verdict, and from nothing else: the same in
whatever order it was told. A verdict whose own movement was not told yet is taken at its word, until that movement is
told: a dispute that was lost has cost its amount, one that was won nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from tallystick.domain.dispute_movement import Movement
from tallystick.domain.subjects import Dispute

#: States of a dispute whose verdict is known.
DECIDED: Final = frozenset({"won", "lost"})


class Position(NamedTuple):
    """What the provider has taken and not given back: how many times, and how much in minor units."""

    times: int
    amount: int


def position(dispute: Dispute) -> Position:
    """As the books have it. Without named movements the dispute's own mark is all there is."""
    if dispute.movements:
        return counted(dispute.state, dispute.movements, dispute.amount, contested=dispute.contested)
    return Position(int(dispute.funds_withdrawn), dispute.amount if dispute.funds_withdrawn else 0)


def counted(state: str, movements: Sequence[Movement], amount: int, *, contested: bool) -> Position:
    """From the named movements. Both verdicts say nothing together, and then only what was named counts."""
    withdrawn = [each for each in movements if each.funds == "withdrawn"]
    returned = [each for each in movements if each.funds == "returned"]
    untold = 0
    if state == "won" and not contested:
        untold = min(0, len(returned) - sum(each.before_verdict for each in withdrawn))
    if state == "lost" and not contested:
        untold = max(0, 1 + sum(each.before_verdict for each in returned) - len(withdrawn))
    total = sum(each.amount for each in withdrawn) - sum(each.amount for each in returned)
    return Position(len(withdrawn) - len(returned) + untold, total + untold * amount)


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
    times, taken = position(dispute)
    gone = dispute.state == "lost" or dispute.contested
    accounted = gone if dispute.state in DECIDED else times > 0
    return (dispute.amount if accounted else 0) - taken
