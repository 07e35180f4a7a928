"""JSON bodies of payments, refunds and disputes, rendered from stored state. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import msgspec
from msgspec import UNSET, Struct, UnsetType

from tallystick.domain.lifecycles.dispute import DISPUTE
from tallystick.domain.lifecycles.payment import PAYMENT
from tallystick.domain.lifecycles.refund import REFUND
from tallystick.domain.next_action import due_action, public_part
from tallystick.domain.subjects import Dispute, Failure, Payment, Refund

_ENCODER: Final = msgspec.json.Encoder()


class PaymentView(Struct, frozen=True, kw_only=True):
    """A payment. Amounts are integers in the currency's minor unit; ``amount_authorized`` is never lowered by a
    capture; ``amount_refunded`` counts succeeded refunds only; ``amount_reversed`` is captured money that the provider
    later reported as not received. ``amount_late_accepted`` is present if money arrived after the payment had ended and
    was accepted: it can be refunded like captured money. ``refunds`` and ``disputes`` are present in reads
    alone: recorded answers and messages stay as they were first written. ``next_action`` is present while the payer has
    to act: complete in the answers to a create and to a read of this payment, only its type everywhere else."""

    id: str
    object: str
    amount: int
    amount_authorized: int
    amount_captured: int
    amount_refunded: int
    amount_refund_pending: int
    amount_reversed: int
    amount_late_accepted: int | UnsetType = UNSET
    refunds: list[str] | UnsetType = UNSET
    disputes: list[str] | UnsetType = UNSET
    currency: str
    state: str
    final: bool
    in_doubt: bool
    capture_method: str
    payment_method: str
    provider: str
    provider_reference: str | None
    next_action: dict[str, Any] | None
    failure: Failure | None
    metadata: dict[str, str]
    description: str | None
    version: int
    created_at: datetime
    updated_at: datetime


class RefundView(Struct, frozen=True, kw_only=True):
    """A refund of a payment."""

    id: str
    object: str
    payment_id: str
    amount: int
    currency: str
    state: str
    final: bool
    in_doubt: bool
    reason: str | None
    provider: str
    provider_reference: str | None
    failure: Failure | None
    version: int
    created_at: datetime
    updated_at: datetime


class DisputeView(Struct, frozen=True, kw_only=True):
    """A dispute over a captured payment; its amount is the bank's, and may differ from the payment's.
    ``contested``: the provider reported it both won and lost, and a person decides. ``inquiry`` is present, and true,
    while the bank only asks: a refund may still avoid the chargeback."""

    id: str
    object: str
    payment_id: str
    amount: int
    currency: str
    state: str
    final: bool
    reason: str | None
    funds_withdrawn: bool
    contested: bool
    inquiry: bool | UnsetType = UNSET
    provider: str
    provider_reference: str
    version: int
    created_at: datetime
    updated_at: datetime


def payment_view(
    payment: Payment,
    *,
    in_doubt: bool,
    opened: dict[str, Any] | None = None,
    refunds: list[str] | UnsetType = UNSET,
    disputes: list[str] | UnsetType = UNSET,
) -> PaymentView:
    """The payment as a client sees it. ``opened``: its complete next action, only for its merchant's own
    request; without it only the action's type is shown. ``refunds`` and ``disputes``: their ids, for a read."""
    action = due_action(payment)
    return PaymentView(
        id=payment.payment_id,
        object="payment",
        amount=payment.amount,
        amount_authorized=payment.amount_authorized,
        amount_captured=payment.amount_captured,
        amount_refunded=payment.amount_refunded,
        amount_refund_pending=payment.amount_refund_pending,
        amount_reversed=payment.amount_reversed,
        amount_late_accepted=payment.amount_late_accepted or UNSET,
        refunds=refunds,
        disputes=disputes,
        currency=payment.currency,
        state=payment.state,
        final=payment.state in PAYMENT.final,
        in_doubt=in_doubt,
        capture_method=payment.capture_method,
        payment_method=payment.payment_method,
        provider=payment.provider,
        provider_reference=payment.provider_reference,
        next_action=None if action is None else opened or public_part(action),
        failure=payment.failure,
        metadata=payment.metadata,
        description=payment.description,
        version=payment.version,
        created_at=payment.created_at,
        updated_at=payment.updated_at,
    )


def refund_view(refund: Refund, *, in_doubt: bool) -> RefundView:
    """The refund as a client sees it."""
    return RefundView(
        id=refund.refund_id,
        object="refund",
        payment_id=refund.payment_id,
        amount=refund.amount,
        currency=refund.currency,
        state=refund.state,
        final=refund.state in REFUND.final,
        in_doubt=in_doubt,
        reason=refund.reason,
        provider=refund.provider,
        provider_reference=refund.provider_reference,
        failure=refund.failure,
        version=refund.version,
        created_at=refund.created_at,
        updated_at=refund.updated_at,
    )


def dispute_view(dispute: Dispute) -> DisputeView:
    """The dispute as a merchant sees it."""
    return DisputeView(
        id=dispute.dispute_id,
        object="dispute",
        payment_id=dispute.payment_id,
        amount=dispute.amount,
        currency=dispute.currency,
        state=dispute.state,
        final=dispute.state in DISPUTE.final,
        reason=dispute.reason,
        funds_withdrawn=dispute.funds_withdrawn,
        contested=dispute.contested,
        inquiry=True if dispute.kind == "inquiry" else UNSET,
        provider=dispute.provider,
        provider_reference=dispute.provider_reference,
        version=dispute.version,
        created_at=dispute.created_at,
        updated_at=dispute.updated_at,
    )


def encode(view: object) -> bytes:
    """A view as JSON bytes; timestamps are RFC 3339 in UTC."""
    return _ENCODER.encode(view)
