"""What was done with a charge at its provider and not through us, by the provider's own name for it."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

#: captured: in ``amount_captured``; reversed: and it never came; late: in ``amount_late``; refunded: captured and given
#: back, and in neither; voided: it ended the hold.
Booked = Literal["captured", "reversed", "late", "refunded", "voided"]


class ProviderOperation(Struct, frozen=True, kw_only=True):
    """One of them: told often, booked once. ``amount`` is in the payment's currency and minor unit."""

    reference: str
    kind: Literal["capture", "cancel_or_refund"]
    amount: int
    booked: Booked
