"""Effects that nobody waited for any more: approvals of closed attempts, and what a provider did on its own. Pure."""

from __future__ import annotations

from msgspec.structs import replace

from tallystick.decisions.change_builder import Cause, ChangeBuilder
from tallystick.decisions.terms import CLOSED, evidence_of, payment_event
from tallystick.domain.change import Change
from tallystick.domain.ledger import postings
from tallystick.domain.lifecycles.machines import FINAL, next_state
from tallystick.domain.snapshot import PaymentSnapshot
from tallystick.domain.subjects import Attempt
from tallystick.domain.verdicts import Approved, Verdict


def late_money(stored: PaymentSnapshot) -> bool:
    """Whether money of this charge that arrived on a closed edge is in suspense already. A late hold is no money yet:
    it shows in ``amount_authorized`` of a payment whose authorization was never approved."""
    late = [each for each in stored.attempts if each.late_effect and each.operation in ("authorize", "capture")]
    return bool(late) and not _late_hold(stored)


def _late_hold(stored: PaymentSnapshot) -> bool:
    unheld = all(
        each.state not in ("approved", "reversed") for each in stored.attempts if each.operation == "authorize"
    )
    return unheld and stored.payment.amount_authorized > 0


def late_effect(
    builder: ChangeBuilder, stored: PaymentSnapshot, attempt: Attempt, verdict: Verdict, rejection_id: str
) -> Change | None:
    """An approval of an attempt that we closed. Where the payment can still follow it does; money that has no
    edge to travel on goes to suspense, with the rejection and an alert beside it. Once per attempt, and money once per
    charge, by whatever name it is told."""
    if attempt.late_effect or not isinstance(verdict, Approved):
        return None
    payment = stored.payment
    if verdict.effect == "captured" and (payment.state == "captured" or late_money(stored)):
        return None
    builder.reject(
        rejection_id,
        attempt,
        "approved",
        origin="provider",
        reason=f"the provider executed an attempt that we hold {attempt.state}",
    )
    if payment.state not in FINAL["payment"] and payment.state != "authorized":
        return builder.change(outcome=True)  # another attempt is under way, and what it meets will tell
    builder.move_attempt(attempt, "late_effect", CLOSED, late_effect=True, provider_reference=verdict.reference)
    _post_late_effect(builder, stored, attempt, verdict)
    return builder.change(outcome=True)


def _post_late_effect(builder: ChangeBuilder, stored: PaymentSnapshot, attempt: Attempt, verdict: Approved) -> None:
    """Follow where there is an edge; else money to suspense. A hold or release on a closed edge moves no money: the
    rejection and its alert are enough, and the payment says what the provider holds."""
    payment = stored.payment
    event = payment_event(attempt, verdict)
    if attempt.operation == "refund":
        refund = builder.move_refund(stored.refund(attempt.refund_id), "late_effect")
        legs = postings.late_money_out(refund.provider, refund.amount)
        builder.post(refund.refund_id, refund.version, refund.currency, legs)
    elif next_state("payment", payment.state, event) is not None:
        captured = event == "captured"
        after = builder.move_payment(
            payment, event, failure=None, **({"amount_captured": attempt.amount} if captured else {})
        )
        held = payment.amount_authorized
        legs = (
            postings.capture(payment.provider, held, attempt.amount)
            if captured
            else postings.release(payment.provider, held)
        )
        builder.post(payment.payment_id, after.version, payment.currency, legs)
    elif verdict.effect == "captured":
        after = builder.move_payment(payment, "late_effect")
        legs = postings.late_money_in(payment.provider, attempt.amount)
        builder.post(payment.payment_id, after.version, payment.currency, legs)
    elif verdict.effect == "authorized":
        builder.move_payment(payment, "late_effect", amount_authorized=attempt.amount)


def late_capture(
    stored: PaymentSnapshot, authorize: Attempt, verdict: Approved, cause: Cause, rejection_id: str
) -> Change:
    """A charge that we hold closed was captured all the same: the money is the provider's word against ours, and waits
    in suspense. Once per charge (``late_money``)."""
    payment = stored.payment
    cause = _proved_by(cause, verdict, authorize)
    builder = ChangeBuilder(payment.merchant_id, payment.payment_id, cause)
    reason = f"the provider captured a payment that we hold {payment.state}"
    builder.reject(rejection_id, payment, "captured", origin="provider", reason=reason)
    builder.move_attempt(authorize, "late_effect", CLOSED, late_effect=True)
    held = {"amount_authorized": 0} if _late_hold(stored) else {}
    after = builder.move_payment(payment, "late_effect", **held)
    builder.post(
        payment.payment_id, after.version, payment.currency, postings.late_money_in(payment.provider, verdict.amount)
    )
    return builder.change(outcome=True)


def late_release(stored: PaymentSnapshot, cause: Cause) -> Change | None:
    """The provider let go of what it came to hold after we had closed the payment; None where it held nothing."""
    if not _late_hold(stored):
        return None
    payment = stored.payment
    builder = ChangeBuilder(payment.merchant_id, payment.payment_id, cause)
    builder.move_payment(payment, "late_effect", amount_authorized=0)
    return builder.change(outcome=True)


def _proved_by(cause: Cause, verdict: Verdict, attempt: Attempt) -> Cause:
    return replace(
        cause,
        occurred_at=verdict.occurred_at,
        provider_reference=attempt.provider_reference,
        evidence={**(cause.evidence or {}), "verdict": evidence_of(verdict)},
    )


def observe_authorization(
    stored: PaymentSnapshot, attempt_id: str, verdict: Verdict, cause: Cause, *, expired: bool = True
) -> Change | None:
    """What the provider now says of an authorization that nobody captured: captured in its own dashboard, released
    (``expired``: by time), or still held (None)."""
    payment, attempt = stored.payment, stored.attempt(attempt_id)
    if payment.state != "authorized" or not isinstance(verdict, Approved) or verdict.effect == "authorized":
        return None
    builder = ChangeBuilder(payment.merchant_id, payment.payment_id, _proved_by(cause, verdict, attempt))
    if verdict.effect == "captured":
        after = builder.move_payment(payment, "captured", amount_captured=verdict.amount, failure=None)
        legs = postings.capture(payment.provider, payment.amount_authorized, verdict.amount)
    else:
        after = builder.move_payment(payment, "expired" if expired else "canceled", failure=None)
        legs = postings.release(payment.provider, payment.amount_authorized)
    builder.post(payment.payment_id, after.version, payment.currency, legs)
    return builder.change(outcome=True)
