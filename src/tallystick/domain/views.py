"""JSON bodies of payments, refunds and disputes, rendered from stored state. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from tallystick.domain.json_types import (
    Amount,
    AmountMoved,
    CreatedAt,
    Currency,
    DisputeId,
    PaymentId,
    ProviderName,
    ProviderReference,
    RefundId,
    UpdatedAt,
    Version,
    described,
)
from tallystick.domain.lifecycles.dispute import DISPUTE
from tallystick.domain.lifecycles.payment import PAYMENT
from tallystick.domain.lifecycles.refund import REFUND
from tallystick.domain.next_action import due_action, public_part
from tallystick.domain.payment_reconciliation import PaymentReconciliationView
from tallystick.domain.requests.commands import CAPTURE_METHODS
from tallystick.domain.subjects import Dispute, Failure, Payment, Refund

_ENCODER: Final = msgspec.json.Encoder()

#: Refunds and disputes that a payment names: more than honest ones have. The lists have all of them.
MAX_MEMBERS: Final = 100


def _members(what: str) -> Meta:
    return described(
        f"The ids of the newest {what}, newest first. In reads alone: recorded answers and messages stay as they were"
        " first written.",
        maxItems=MAX_MEMBERS,
    )


def _is_final(states: Iterable[str]) -> Meta:
    named = ", ".join(f"`{state}`" for state in sorted(states))
    return described(
        f"Whether its course is over ({named}), which says nothing of instructions. Money may still be reported late.",
        True,
    )


_InDoubt = Annotated[
    bool,
    described(
        "Whether it is not known what the provider did. The platform goes on asking; a person decides in the end.",
        False,
    ),
]
_Failure = Annotated[
    Failure | None,
    described("Why its newest instruction moved no money, where it failed or was declined; else null.", None),
]


class PaymentView(Struct, frozen=True, kw_only=True):
    """A payment. Amounts are integers in the currency's minor unit."""

    id: PaymentId
    object: Annotated[str, described("The kind of object.", const="payment")]
    amount: Annotated[AmountMoved, described("What was asked for.")]
    amount_authorized: Annotated[Amount, described("What was held; a capture never lowers it.", 1250)]
    amount_captured: Annotated[Amount, described("What was captured.", 1250)]
    amount_refunded: Annotated[Amount, described("What refunds that succeeded paid back.", 0)]
    amount_refund_pending: Annotated[Amount, described("What refunds under way would pay back.", 0)]
    amount_reversed: Annotated[Amount, described("Captured money that the provider later reported as not received.", 0)]
    amount_late_accepted: (
        Annotated[
            int,
            described(
                "Money that arrived after the payment had ended and was accepted: it can be refunded like captured"
                " money. Absent where there is none.",
                minimum=1,
            ),
        ]
        | UnsetType
    ) = UNSET
    refunds: Annotated[list[RefundId], _members("refunds")] | UnsetType = UNSET
    disputes: Annotated[list[DisputeId], _members("disputes")] | UnsetType = UNSET
    currency: Currency
    state: Annotated[str, described("Where the payment stands.", "captured", enum=PAYMENT.states)]
    final: Annotated[bool, _is_final(PAYMENT.final)]
    in_doubt: _InDoubt
    capture_method: Annotated[
        str,
        described("Whether the money is captured with the payment, or held first.", "automatic", enum=CAPTURE_METHODS),
    ]
    payment_method: Annotated[str, described("The payment method token that was charged.", "sim_ok")]
    provider: ProviderName
    provider_reference: Annotated[
        ProviderReference | None, described("The provider's own name for it; null until it has one.", "ch_8f2d41")
    ]
    next_action: Annotated[
        dict[str, Any] | None,
        described(
            "What the payer has to do, while that is due: `type`, and what the provider adds to it, such as the `url`"
            " of a page; the provider's guide says what to do with it. Complete in the answers to a create and to a"
            " read of this payment; only `type` everywhere else.",
            None,
        ),
    ]
    failure: _Failure
    metadata: Annotated[dict[str, str], described("Yours, as it was sent.", {"order": "1042"})]
    description: Annotated[str | None, described("Yours, as it was sent.", "Order 1042")]
    reconciliation: (
        Annotated[
            PaymentReconciliationView | None,
            described(
                "What settlement files say of it, in a read of this payment alone; null where there is nothing that a"
                " provider could settle.",
            ),
        ]
        | UnsetType
    ) = UNSET
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt


class RefundView(Struct, frozen=True, kw_only=True):
    """A refund of a payment. Amounts are integers in the currency's minor unit."""

    id: RefundId
    object: Annotated[str, described("The kind of object.", const="refund")]
    payment_id: PaymentId
    amount: Annotated[AmountMoved, described("What is paid back.")]
    currency: Currency
    state: Annotated[str, described("Where the refund stands.", "succeeded", enum=REFUND.states)]
    final: Annotated[bool, _is_final(REFUND.final)]
    in_doubt: _InDoubt
    reason: Annotated[str | None, described("Yours, as it was sent.", "Returned goods")]
    provider: ProviderName
    provider_reference: Annotated[
        ProviderReference | None, described("The provider's own name for it; null until it has one.", "rf_19c7b0")
    ]
    failure: _Failure
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt


class DisputeView(Struct, frozen=True, kw_only=True):
    """A dispute over a captured payment. Amounts are integers in the currency's minor unit."""

    id: DisputeId
    object: Annotated[str, described("The kind of object.", const="dispute")]
    payment_id: PaymentId
    amount: Annotated[AmountMoved, described("The bank's amount, which may differ from the payment's.")]
    currency: Currency
    state: Annotated[str, described("Where the dispute stands.", "opened", enum=DISPUTE.states)]
    final: Annotated[bool, described("Whether the bank has decided.", False)]
    reason: Annotated[str | None, described("The bank's reason, as the provider names it.", "fraudulent")]
    funds_withdrawn: Annotated[bool, described("Whether the provider has taken the money back for now.", True)]
    contested: Annotated[
        bool, described("Whether the provider reported it both won and lost, so that a person decides.", False)
    ]
    inquiry: (
        Annotated[
            bool,
            described(
                "Present while the bank only asks: a refund may still avoid the chargeback.",
                const=True,
            ),
        ]
        | UnsetType
    ) = UNSET
    provider: ProviderName
    provider_reference: Annotated[ProviderReference, described("The provider's own name for it.", "dp_71e0aa")]
    version: Version
    created_at: CreatedAt
    updated_at: UpdatedAt


def payment_view(
    payment: Payment,
    *,
    in_doubt: bool,
    opened: dict[str, Any] | None = None,
    refunds: list[str] | UnsetType = UNSET,
    disputes: list[str] | UnsetType = UNSET,
    reconciliation: PaymentReconciliationView | UnsetType | None = UNSET,
) -> PaymentView:
    """The payment as a client sees it. ``opened``: its complete next action, only for its merchant's own
    request; without it only the action's type is shown. ``refunds`` and ``disputes``: their ids, for a read;
    ``reconciliation``: for a read of this payment alone."""
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
        reconciliation=reconciliation,
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
