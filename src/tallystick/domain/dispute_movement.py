"""What providers name when they move money because of a dispute."""

from __future__ import annotations

from msgspec import Struct


class Movement(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Money that a provider moved because of a dispute, by the provider's own name for it: told often, posted once.

    ``before_verdict``: it belongs to the dispute's course, and a verdict is about it. It is the movement's own, and the
    same whichever event tells of it first. ``provider_amount``: the amount in the provider's own unit, until the
    payment is known; never stored with a dispute.
    """

    reference: str
    funds: str  # withdrawn | returned
    amount: int
    before_verdict: bool
    provider_amount: int | None = None
