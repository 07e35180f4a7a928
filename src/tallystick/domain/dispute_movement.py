"""What providers name when they move money because of a dispute."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

#: Which way the disputed money moved, seen from the merchant.
Funds = Literal["withdrawn", "returned"]


class Movement(Struct, frozen=True, kw_only=True):
    """Money that a provider moved because of a dispute, by the provider's own name for it: told often, posted once.

    ``before_verdict``: it belongs to the dispute's course, and a verdict is about it. It is the movement's own, and the
    same whichever event tells of it first.
    """

    reference: str
    funds: Funds
    amount: int
    before_verdict: bool
