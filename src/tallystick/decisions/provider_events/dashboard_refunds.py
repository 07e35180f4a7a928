"""Refunds that were made in the provider's own dashboard. Pure."""

from __future__ import annotations

from msgspec.structs import replace

from tallystick.decisions.change_builder import Cause, ChangeBuilder
from tallystick.decisions.late_effects import names_captures
from tallystick.decisions.late_money import observe_late_refund, observe_late_refund_failed
from tallystick.decisions.provider_events.dispositions import Decided, NotYet
from tallystick.decisions.terms import evidence_of
from tallystick.domain.late_money import merchants_money, unclaimed
from tallystick.domain.left_to_refund import beyond_the_capture
from tallystick.domain.lifecycles.payment import PAYMENT
from tallystick.domain.notices import RefundNotice
from tallystick.domain.snapshot import PaymentSnapshot
from tallystick.domain.subjects import Failure, Refund
from tallystick.domain.verdicts import Verdict
from tallystick.kit.ids import derived_id


def observe_refund(
    stored: PaymentSnapshot, notice: RefundNotice, account: str, cause: Cause, rejection_id: str
) -> Decided | NotYet:
    """A refund in the provider's own dashboard: the money has left, so it is a refund of this payment like any other,
    identified by the provider's reference, and without an attempt of ours."""
    payment = stored.payment
    refund_id = derived_id("re", payment.provider, account, notice.reference)
    if any(refund.refund_id == refund_id for refund in stored.refunds):
        return Decided("duplicate_effect")
    if any(attempt.provider_reference == notice.reference for attempt in stored.attempts):
        return Decided("duplicate_effect")  # ours, by the provider's reference
    if any(each.reference == notice.reference and each.dispute is None for each in payment.late_movements):
        return Decided("duplicate_effect")
    captured = merchants_money(payment)
    if payment.state not in PAYMENT.final or (captured == 0 and payment.amount_late == 0):
        return NotYet(f"a refund of a payment that is {payment.state}")
    left = captured - payment.amount_refunded - payment.amount_refund_pending
    waiting = unclaimed(payment) + payment.amount_late_returning
    if captured == 0 or left < notice.amount <= waiting:
        cause = replace(cause, occurred_at=notice.occurred_at, provider_reference=notice.reference)
        return observe_late_refund(stored, notice, cause, rejection_id)
    # Of a hold that is captured in parts, other parts may still be told.
    most = max(captured, payment.amount_authorized) if names_captures(stored) else captured
    possible = notice.currency == payment.currency and 0 < notice.amount <= most
    if possible and notice.amount > left:
        # No provider pays back more than it took: an earlier refund was refused, or came back.
        return NotYet(f"{left} are left to refund: the outcome of earlier refunds comes first")
    cause = replace(cause, occurred_at=notice.occurred_at, provider_reference=notice.reference)
    builder = ChangeBuilder(payment.merchant_id, payment.payment_id, cause)
    if not possible:
        had = f"{captured} {payment.currency}"
        reason = f"the provider refunded {notice.amount} {notice.currency}, and had captured {had}"
        builder.reject(
            rejection_id, payment, "refund_succeeded", origin="provider", category="malformed", reason=reason
        )
        return Decided("conflict", builder.change(must_not_be_shed=True), reason)
    opened = builder.move(payment, "refund_opened", amount_refund_pending=payment.amount_refund_pending + notice.amount)
    refund = builder.open(
        Refund(
            merchant_id=payment.merchant_id,
            payment_id=payment.payment_id,
            refund_id=refund_id,
            version=1,
            state="submitting",
            amount=notice.amount,
            currency=notice.currency,
            provider=payment.provider,
            provider_reference=notice.reference,
            created_at=cause.at,
            updated_at=cause.at,
        )
    )
    builder.move(refund, "succeeded")
    after = builder.move(
        opened,
        "refund_succeeded",
        amount_refunded=payment.amount_refunded + refund.amount,
        amount_refund_pending=payment.amount_refund_pending,
    )
    beyond = beyond_the_capture(after, stored.disputes)
    if beyond is not None:
        builder.reject(
            rejection_id, after, "refund_succeeded", origin="provider", category="conflicting", reason=beyond
        )
    return Decided("applied", builder.change(must_not_be_shed=True), beyond)


def observe_refund_failed(
    stored: PaymentSnapshot, verdict: Verdict, reference: str, account: str, cause: Cause
) -> Decided | NotYet:
    """A refund that was made in the provider's dashboard came back."""
    payment = stored.payment
    refund_id = derived_id("re", payment.provider, account, reference)
    refund = next((refund for refund in stored.refunds if refund.refund_id == refund_id), None)
    cause = replace(
        cause,
        occurred_at=verdict.occurred_at,
        provider_reference=reference,
        evidence={**(cause.evidence or {}), "verdict": evidence_of(verdict)},
    )
    if refund is None:
        return observe_late_refund_failed(payment, reference, cause) or NotYet("no such refund here")
    if refund.state == "failed":
        return Decided("duplicate_effect")
    builder = ChangeBuilder(payment.merchant_id, payment.payment_id, cause)
    failure = Failure(code="refund_failed", message="The refund came back.", retryable=True)
    builder.move(refund, "failed", failure=failure)
    builder.move(payment, "refund_failed", amount_refunded=payment.amount_refunded - refund.amount)
    return Decided("applied", builder.change(must_not_be_shed=True))
