"""A provider's movement of money because of a dispute."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

#: Which way the disputed money moved, seen from the merchant.
Funds = Literal["withdrawn", "returned"]


class Movement(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Money that a provider moved because of a dispute, by the provider's own name for it: told often, posted once.

    ``amount`` is in the dispute's currency. None where the provider moved money of another currency and did not say
    what that is in the dispute's: such a movement is kept and posted nowhere. ``moved_amount`` and ``moved_currency``
    are what the provider's account moved, where its currency is another one. ``provider_amount``: the amount in the
    provider's own unit, until the payment is known; never stored with a dispute.

    ``before_verdict``: it belongs to the dispute's course, and a verdict is about it. It is the movement's own, and the
    same whichever event tells of it first.
    """

    reference: str
    funds: Funds
    amount: int | None
    before_verdict: bool
    moved_amount: int | None = None  # in the account's currency, by the provider's minor unit
    moved_currency: str | None = None
    provider_amount: int | None = None
