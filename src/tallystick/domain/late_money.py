"""Money that was captured after its payment was closed here: what of it waits in suspense. Pure.

Amounts are integers in minor units.
"""

from __future__ import annotations

from tallystick.domain.subjects import Payment


def unclaimed(payment: Payment) -> int:
    """What nobody has accepted, and what neither has gone back nor is on its way back."""
    gone = payment.amount_late_returned + payment.amount_late_returning
    return payment.amount_late - payment.amount_late_accepted - gone


def merchants_money(payment: Payment) -> int:
    """What was captured for the merchant: in time, or late and accepted. Refunds and disputes are about this."""
    return payment.amount_captured + payment.amount_late_accepted
