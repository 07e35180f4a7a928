"""What a payment may cost, in figures that are the same on any machine. A test compares them with what it costs.

A payment is a create with automatic capture that the provider approves: two commits, in batches of 50. A change that
makes it cheaper lowers the bound here; one that makes it dearer says why in the reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct


class Bound(Struct, frozen=True, kw_only=True):
    """``most`` of something, and why. Less than ``least`` means that the bound is to be lowered: one with room to spare
    does not see what is added."""

    most: float
    least: float
    reason: str

    def holds(self, measured: float) -> bool:
        """Whether the figure is within."""
        return self.least <= measured <= self.most


def exactly(count: float, reason: str) -> Bound:
    """A count that is the same in every run."""
    return Bound(most=count, least=count, reason=reason)


def about(most: float, reason: str, *, room: float) -> Bound:
    """A figure that moves a little by chance; ``room``: the share of it that may be spare."""
    return Bound(most=most, least=most * (1 - room), reason=reason)


BATCH_PAYMENTS: Final = 50

#: Payments that are counted: the indexes have grown beyond their first pages.
COUNTED_PAYMENTS: Final = 500

#: The connection's plans are discarded before one of the counted batches, and ever more seldom later (``KeptPlans``).
PLANNED_AGAIN: Final = BATCH_PAYMENTS / COUNTED_PAYMENTS

#: By figure of ``PaymentCounts``, statements and round trips of a pair of batches, the rest of a payment.
BOUNDS: Final[Mapping[str, Bound]] = {
    "statements": exactly(
        15 + PLANNED_AGAIN,
        "6 of the batch of creates: BEGIN, keys taken, history, payments, attempts, COMMIT. 9 of the batch of outcomes:"
        " BEGIN, history, payments, attempts, answers, messages, transfers, balances, COMMIT. And the kept plans are"
        " discarded once.",
    ),
    "round_trips": exactly(
        4 + PLANNED_AGAIN,
        "Of each batch: all that is written, COMMIT. Which keys are taken is asked first while there are replays.",
    ),
    "rows": exactly(
        12 + 2 / BATCH_PAYMENTS,
        "A key, a payment, an attempt, two versions of history for each of both, an answer, a message, a transfer;"
        " payment and attempt are updated once each. A batch of outcomes also moves the two balances that all payments"
        " share.",
    ),
    "wal_bytes": about(
        6_500,
        "Measured 6,430 without full pages: twelve rows, 17 entries in their indexes, and two updates that are not HOT,"
        " of which seven in ten stay in their page and log what changes. Personal fields under a key are 140 of it, and"
        " their holes in request and answer as many. The rest is for page splits, which random keys move.",
        room=0.03,
    ),
    "disk_bytes": about(
        5_600,
        "Measured 5,510 after VACUUM: tables and indexes of 500 payments, in whole pages of 8 kB.",
        room=0.05,
    ),
    "held_blocks": about(
        130,
        "Measured 123 with CPython 3.11: memory blocks of both changes, their rows and messages while they wait for"
        " their batches. Other versions of CPython need a few more or fewer.",
        room=0.25,
    ),
}
