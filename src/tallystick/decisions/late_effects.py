"""Late effects: approvals of closed attempts, and what a provider did on its own. Pure."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from tallystick.decisions.change_builder import Cause, ChangeBuilder
from tallystick.decisions.terms import CLOSED, evidence_of, payment_event
from tallystick.domain.change import Change
from tallystick.domain.lifecycles.machines import next_state
from tallystick.domain.lifecycles.payment import PAYMENT
from tallystick.domain.snapshot import PaymentSnapshot
from tallystick.domain.subjects import Attempt
from tallystick.domain.verdicts import Approved, Verdict

#: The attempt's event for a late approval, by its effect.
_LATE_EDGES: Final = {
    "captured": "late_capture",
    "authorized": "late_hold",
    "voided": "late_release",
    "refunded": "late_refund",
}


def late_money(stored: PaymentSnapshot) -> bool:
    """Whether late money of this charge is already in suspense. A late hold is not money yet: it shows in
    ``amount_authorized`` of a payment whose authorization was never approved."""
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
    """An approval of an attempt that is closed here. The payment follows if it has an edge; otherwise money goes to
    suspense, with a rejection and an alert. Once per attempt, and money once per charge, however it is reported."""
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
        reason=f"the provider executed an attempt that is {attempt.state} here",
    )
    if payment.state not in PAYMENT.final and payment.state != "authorized":
        return builder.change(must_not_be_shed=True)  # another attempt is in progress, and its outcome decides
    builder.move(
        attempt,
        _LATE_EDGES[verdict.effect],
        schedule=CLOSED,
        late_effect=True,
        provider_reference=verdict.reference,
    )
    _post_late_effect(builder, stored, attempt, verdict)
    return builder.change(must_not_be_shed=True)


def _post_late_effect(builder: ChangeBuilder, stored: PaymentSnapshot, attempt: Attempt, verdict: Approved) -> None:
    """Follow an edge if there is one; else post money to suspense. A late hold or release moves no money: the rejection
    and its alert are enough, and the payment shows what the provider holds."""
    payment = stored.payment
    event = payment_event(attempt, verdict)
    if attempt.operation == "refund":
        refund = stored.refund(attempt.refund_id)
        builder.move(refund, "late_refund", amount_late=refund.amount_late + refund.amount)
    elif next_state("payment", payment.state, event) is not None:
        captured = {"amount_captured": attempt.amount} if event == "captured" else {}
        builder.move(payment, event, failure=None, **captured)
    elif verdict.effect == "captured":
        builder.move(payment, "late_capture", amount_late=payment.amount_late + attempt.amount)
    elif verdict.effect == "authorized":
        builder.move(payment, "late_hold", amount_authorized=attempt.amount)


def late_capture(
    stored: PaymentSnapshot, authorize: Attempt, verdict: Approved, cause: Cause, rejection_id: str
) -> Change:
    """A charge that is closed here was captured all the same: the money waits in suspense. Once per charge
    (``late_money``)."""
    payment = stored.payment
    cause = _proved_by(cause, verdict, authorize)
    builder = ChangeBuilder(payment.merchant_id, payment.payment_id, cause)
    reason = f"the provider captured a payment that is {payment.state} here"
    builder.reject(rejection_id, payment, "captured", origin="provider", reason=reason)
    builder.move(authorize, "late_capture", schedule=CLOSED, late_effect=True)
    held = {"amount_authorized": 0} if _late_hold(stored) else {}
    builder.move(payment, "late_capture", amount_late=payment.amount_late + verdict.amount, **held)
    return builder.change(must_not_be_shed=True)


def late_release(stored: PaymentSnapshot, cause: Cause) -> Change | None:
    """The provider released a hold that it made after the payment was closed here; None if it held nothing."""
    if not _late_hold(stored):
        return None
    payment = stored.payment
    builder = ChangeBuilder(payment.merchant_id, payment.payment_id, cause)
    builder.move(payment, "late_release", amount_authorized=0)
    return builder.change(must_not_be_shed=True)


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
    """What the provider now reports of an authorization that was not captured here: captured in its own dashboard,
    released (``expired``: by time), or still held (None)."""
    payment, attempt = stored.payment, stored.attempt(attempt_id)
    if payment.state != "authorized" or not isinstance(verdict, Approved) or verdict.effect == "authorized":
        return None
    builder = ChangeBuilder(payment.merchant_id, payment.payment_id, _proved_by(cause, verdict, attempt))
    if verdict.effect == "captured":
        builder.move(payment, "captured", amount_captured=verdict.amount, failure=None)
    else:
        builder.move(payment, "expired" if expired else "canceled", failure=None)
    return builder.change(must_not_be_shed=True)
