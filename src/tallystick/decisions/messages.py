"""What merchants are told: which steps of a life become a message, and the message's body. Pure.

A message shows its subject as of the version that it tells of, never a newer or an older one: it is written with that
version, in the same change.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from msgspec import Struct

from tallystick.domain.change import Message
from tallystick.domain.subjects import Dispute, Payment, Refund
from tallystick.domain.views import (
    DisputeView,
    PaymentView,
    RefundView,
    dispute_view,
    encode,
    payment_view,
    refund_view,
)
from tallystick.kit.ids import derived_id

#: (machine, event) -> message type. Steps that only begin something (authorizing, capturing, canceling) and those
#: that only give another subject's step its version on the payment are not told.
TYPES: Final[Mapping[tuple[str, str], str]] = {
    ("payment", "action_required"): "payment.requires_action",
    ("payment", "authorized"): "payment.authorized",
    ("payment", "captured"): "payment.captured",
    ("payment", "capture_refused"): "payment.capture_refused",
    ("payment", "cancel_refused"): "payment.cancel_refused",
    ("payment", "action_still_required"): "payment.cancel_refused",
    ("payment", "canceled"): "payment.canceled",
    ("payment", "expired"): "payment.expired",
    ("payment", "declined"): "payment.declined",
    ("payment", "failed"): "payment.failed",
    ("payment", "capture_reversed"): "payment.capture_reversed",
    ("refund", "create"): "refund.created",
    ("refund", "succeeded"): "refund.succeeded",
    ("refund", "failed"): "refund.failed",
    ("dispute", "open"): "dispute.opened",
    ("dispute", "funds_withdrawn"): "dispute.funds_withdrawn",
    ("dispute", "funds_returned"): "dispute.funds_returned",
    ("dispute", "under_review"): "dispute.under_review",
    ("dispute", "won"): "dispute.won",
    ("dispute", "lost"): "dispute.lost",
}


class MessageBody(Struct, frozen=True, kw_only=True):
    """The body of a delivery. ``version`` is the payment's, and orders the messages of one payment."""

    id: str
    type: str
    timestamp: datetime
    payment_id: str
    version: int
    data: PaymentView | RefundView | DisputeView


def message_of(
    event: str, subject: Payment | Refund | Dispute, payment: Payment, change_id: str, at: datetime
) -> Message | None:
    """The message that one step makes, or None where it makes none. ``payment`` is as the change leaves it."""
    data: PaymentView | RefundView | DisputeView
    match subject:
        case Payment():
            machine, subject_id, data = "payment", subject.payment_id, payment_view(subject, in_doubt=False)
        case Refund():
            machine, subject_id, data = "refund", subject.refund_id, refund_view(subject, in_doubt=False)
        case Dispute():
            machine, subject_id, data = "dispute", subject.dispute_id, dispute_view(subject)
    kind = TYPES.get((machine, event))
    if kind is None:
        return None
    message_id = derived_id("msg", change_id, subject_id)
    body = MessageBody(
        id=message_id, type=kind, timestamp=at, payment_id=payment.payment_id, version=payment.version, data=data
    )
    return Message(
        merchant_id=payment.merchant_id,
        payment_id=payment.payment_id,
        version=payment.version,
        message_id=message_id,
        type=kind,
        subject_id=subject_id,
        body=encode(body),
        at=at,
    )


def messages_of(
    told: Mapping[str, str],
    payment: Payment | None,
    refund: Refund | None,
    dispute: Dispute | None,
    change_id: str,
    at: datetime,
) -> tuple[Message, ...]:
    """One for each subject that made a step worth telling, as the change leaves it. ``told``: each one's last event."""
    if payment is None:  # no version of the payment, so no place in its order
        return ()
    subjects: list[tuple[str, Payment | Refund | Dispute]] = [(payment.payment_id, payment)]
    if refund is not None:
        subjects.append((refund.refund_id, refund))
    if dispute is not None:
        subjects.append((dispute.dispute_id, dispute))
    made = (
        message_of(told[subject_id], subject, payment, change_id, at)
        for subject_id, subject in subjects
        if subject_id in told
    )
    return tuple(message for message in made if message is not None)
