"""A provider's movement of money because of a dispute."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

#: Which way the disputed money moved, seen from the merchant.
Funds = Literal["withdrawn", "returned"]


class Movement(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Money that a provider moved because of a dispute. ``reference`` is the provider's: several events may report a
    movement, and it is posted once.

    ``before_verdict``: it belongs to the dispute's course, and a verdict is about it. It is a property of the movement,
    the same whichever event reports it first. ``provider_amount``: the amount in the provider's own unit, until the
    payment is known; never stored with a dispute.
    """

    reference: str
    funds: Funds
    amount: int
    before_verdict: bool
    provider_amount: int | None = None
