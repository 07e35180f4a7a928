"""Late effects: approvals of closed attempts, and what a provider did on its own. Pure."""

from __future__ import annotations

from typing import Any, Final

from msgspec.structs import replace

from tallystick.decisions.change_builder import Cause, ChangeBuilder
from tallystick.decisions.late_money import return_came_late
from tallystick.decisions.terms import CLOSED, evidence_of, payment_event
from tallystick.domain.change import Change
from tallystick.domain.lifecycles.machines import next_state
from tallystick.domain.lifecycles.payment import PAYMENT
from tallystick.domain.notices import CancelOrRefundNotice, CaptureNotice
from tallystick.domain.provider_operation import Booked, ProviderOperation
from tallystick.domain.snapshot import PaymentSnapshot
from tallystick.domain.subjects import Attempt, Payment
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


def names_captures(stored: PaymentSnapshot) -> bool:
    """Whether the provider gave captures of this charge names of their own: then another name is another capture."""
    return any(each.kind == "capture" for each in stored.payment.provider_operations)


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
    is_named = verdict.reference is not None and names_captures(stored)
    if verdict.effect == "captured" and not is_named and (payment.state == "captured" or late_money(stored)):
        return None
    builder.reject(
        rejection_id,
        attempt,
        "approved",
        origin="provider",
        category="late",
        reason=f"the provider executed an attempt that is {attempt.state} here",
    )
    if payment.state not in PAYMENT.final and payment.state != "authorized":
        return builder.change(must_not_be_shed=True)  # another attempt is in progress, and its outcome decides
    moved = builder.move(
        attempt,
        _LATE_EDGES[verdict.effect],
        schedule=CLOSED,
        late_effect=True,
        provider_reference=verdict.reference,
    )
    if moved.operation == "authorize":
        builder.know_reference(moved)  # what becomes of the money may name the charge by nothing else
    _post_late_effect(builder, stored, attempt, verdict)
    return builder.change(must_not_be_shed=True)


def _post_late_effect(builder: ChangeBuilder, stored: PaymentSnapshot, attempt: Attempt, verdict: Approved) -> None:
    """Follow an edge if there is one; else post money to suspense. A late hold or release moves no money: the rejection
    and its alert are enough, and the payment shows what the provider holds."""
    payment = stored.payment
    event = payment_event(attempt, verdict)
    if attempt.purpose == "late_return":
        return_came_late(builder, payment, attempt)
    elif attempt.operation == "refund":
        refund = stored.refund(attempt.refund_id)
        builder.move(refund, "late_refund", amount_late=refund.amount_late + refund.amount)
    elif next_state("payment", payment.state, event) is not None:
        captured = {"amount_captured": attempt.amount} if event == "captured" else {}
        builder.move(payment, event, failure=None, **captured)
    elif payment.state == "captured" and verdict.effect == "captured" and _is_within_hold(payment, attempt.amount):
        builder.move(payment, "capture_added", amount_captured=payment.amount_captured + attempt.amount)
    elif verdict.effect == "captured":
        charge = {"provider_reference": verdict.reference} if payment.provider_reference is None else {}
        builder.move(payment, "late_capture", amount_late=payment.amount_late + attempt.amount, **charge)
    elif verdict.effect == "authorized":
        builder.move(payment, "late_hold", amount_authorized=attempt.amount)


def _is_within_hold(payment: Payment, amount: int) -> bool:
    """Whether it fits beside what was captured of the hold that was. What was captured and never came counts: the same
    in whatever order it is told."""
    return payment.amount_captured + amount <= payment.amount_authorized


def named_capture(stored: PaymentSnapshot, authorize: Attempt, notice: CaptureNotice, cause: Cause) -> Change | None:
    """A part of a hold was captured, and not by us; None where it is beyond the hold, or there was none."""
    payment = stored.payment
    if payment.state not in ("authorized", "captured") or not _is_within_hold(payment, notice.amount):
        return None
    builder = ChangeBuilder(payment.merchant_id, payment.payment_id, _proved_by(cause, notice.as_verdict(), authorize))
    builder.move(
        payment,
        "captured" if payment.state == "authorized" else "capture_added",
        amount_captured=payment.amount_captured + notice.amount,
        provider_operations=(*payment.provider_operations, _operation(notice, "captured")),
        failure=None,
    )
    return builder.change(must_not_be_shed=True)


def void_by_name(stored: PaymentSnapshot, authorize: Attempt, notice: CancelOrRefundNotice, cause: Cause) -> Change:
    """A hold ended by a word that may mean a refund as well: its name is kept, for a capture that is told later."""
    payment = stored.payment
    voided = ProviderOperation(
        reference=notice.reference, kind="cancel_or_refund", amount=notice.amount, booked="voided"
    )
    cause = replace(cause, occurred_at=notice.occurred_at, provider_reference=authorize.provider_reference)
    builder = ChangeBuilder(payment.merchant_id, payment.payment_id, cause)
    operations = (*payment.provider_operations, voided)
    builder.move(payment, "canceled", provider_operations=operations, failure=None)
    return builder.change(must_not_be_shed=True)


def paired_capture(stored: PaymentSnapshot, authorize: Attempt, notice: CaptureNotice, cause: Cause) -> Change | None:
    """A capture that is told after the word that ended its hold: that word was its refund, and the money came and
    went. None where no such word has as much left."""
    payment = stored.payment
    words = sum(each.amount for each in payment.provider_operations if each.kind == "cancel_or_refund")
    spent = sum(each.amount for each in payment.provider_operations if each.booked == "refunded")
    if payment.state != "canceled" or notice.amount > words - spent:
        return None
    builder = ChangeBuilder(payment.merchant_id, payment.payment_id, _proved_by(cause, notice.as_verdict(), authorize))
    operations = (*payment.provider_operations, _operation(notice, "refunded"))
    builder.move(payment, "captured_and_refunded", provider_operations=operations)
    return builder.change(must_not_be_shed=True)


def _operation(notice: CaptureNotice, booked: Booked) -> ProviderOperation:
    return ProviderOperation(reference=notice.reference, kind="capture", amount=notice.amount, booked=booked)


def late_named_capture(
    stored: PaymentSnapshot, authorize: Attempt, notice: CaptureNotice, cause: Cause, rejection_id: str, reason: str
) -> Change:
    """A capture that no hold of ours explains: its money waits in suspense, once by its own name."""
    payment = stored.payment
    builder = ChangeBuilder(payment.merchant_id, payment.payment_id, _proved_by(cause, notice.as_verdict(), authorize))
    builder.reject(rejection_id, payment, "captured", origin="provider", category="late", reason=reason)
    builder.move(authorize, "late_capture", schedule=CLOSED, late_effect=True)
    held: dict[str, Any] = {"amount_authorized": 0} if _late_hold(stored) else {}
    if payment.provider_reference is None:
        held["provider_reference"] = authorize.provider_reference
    builder.move(
        payment,
        "late_capture",
        amount_late=payment.amount_late + notice.amount,
        provider_operations=(*payment.provider_operations, _operation(notice, "late")),
        **held,
    )
    return builder.change(must_not_be_shed=True)


def late_capture(
    stored: PaymentSnapshot, authorize: Attempt, verdict: Approved, cause: Cause, rejection_id: str
) -> Change:
    """A charge that is closed here was captured all the same: the money waits in suspense. Once per charge
    (``late_money``)."""
    payment = stored.payment
    cause = _proved_by(cause, verdict, authorize)
    builder = ChangeBuilder(payment.merchant_id, payment.payment_id, cause)
    reason = f"the provider captured a payment that is {payment.state} here"
    builder.reject(rejection_id, payment, "captured", origin="provider", category="late", reason=reason)
    charge = authorize.provider_reference or verdict.reference
    moved = builder.move(authorize, "late_capture", schedule=CLOSED, late_effect=True, provider_reference=charge)
    builder.know_reference(moved)  # what becomes of the money may name the charge by nothing else
    fields: dict[str, Any] = {"amount_authorized": 0} if _late_hold(stored) else {}
    if payment.provider_reference is None:
        fields["provider_reference"] = charge
    builder.move(payment, "late_capture", amount_late=payment.amount_late + verdict.amount, **fields)
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
