"""What of a payment's money can still be paid back. Pure. Amounts are integers in minor units."""

from __future__ import annotations

from collections.abc import Iterable

from tallystick.domain.dispute_position import claimed
from tallystick.domain.late_money import merchants_money
from tallystick.domain.subjects import Dispute, Payment


def uncommitted(payment: Payment, disputes: Iterable[Dispute]) -> int:
    """What was captured (late money too, once it is accepted), less what was reversed, refunded, is being refunded, and
    what disputes have taken or may take, each at most what was captured. Below zero: more was promised or taken than
    came in."""
    captured = merchants_money(payment)
    taken = sum(min(claimed(dispute), captured) for dispute in disputes)
    return captured - payment.amount_reversed - payment.amount_refunded - payment.amount_refund_pending - taken


def left_to_refund(payment: Payment, disputes: Iterable[Dispute]) -> int:
    """What a refund through the API may be at most."""
    return max(0, uncommitted(payment, disputes))


def beyond_the_capture(payment: Payment, disputes: Iterable[Dispute]) -> str | None:
    """What a person should know where a provider has paid back and taken more than it captured; else None."""
    beyond = -uncommitted(payment, disputes)
    if beyond <= 0:
        return None
    return f"refunds, reversals and disputes pass the capture by {beyond} {payment.currency}"
