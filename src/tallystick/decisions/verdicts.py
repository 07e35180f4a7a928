"""Decisions on a provider's verdict about an attempt: the second commit.

The same function serves the sender's own answer, recovery's lookup, a webhook and an operator's finding. They differ in
their source, never in their meaning.
"""

from __future__ import annotations

from typing import Any, Final, assert_never

from msgspec.structs import replace

from tallystick.decisions.change_builder import Cause, ChangeBuilder
from tallystick.decisions.closing import close_charge, closing_ended, payer_may_act
from tallystick.decisions.late_effects import late_effect
from tallystick.decisions.late_money import return_failed, return_succeeded
from tallystick.decisions.lookups import is_overtaken
from tallystick.decisions.resubmission import still_possible
from tallystick.decisions.reversals import reverse
from tallystick.decisions.terms import CLOSED, EFFECTS, Checks, evidence_of, payment_event
from tallystick.domain.change import Change
from tallystick.domain.lifecycles.attempt import ATTEMPT
from tallystick.domain.lifecycles.machines import next_state
from tallystick.domain.lifecycles.payment import CREATE_OPEN
from tallystick.domain.lifecycles.verdict_matrix import VerdictMeaning, meaning_of
from tallystick.domain.next_action import kept_part
from tallystick.domain.rejected_case import Category
from tallystick.domain.snapshot import PaymentSnapshot
from tallystick.domain.subjects import Attempt, Failure, Payment, Schedule
from tallystick.domain.verdicts import (
    Approved,
    Declined,
    KeyTaken,
    NotFound,
    NotSent,
    Pending,
    RequiresAction,
    Reversed,
    Unknown,
    Verdict,
    verdict_name,
)

#: Our code for an authorization that the provider released before we booked it: that charge is closed already.
VOIDED: Final = "voided_at_provider"


def apply_verdict(
    stored: PaymentSnapshot,
    attempt_id: str,
    verdict: Verdict,
    cause: Cause,
    rejection_id: str,
    checks: Checks,
    *,
    submissions: int | None = None,
) -> Change | None:
    """The change that ``verdict`` makes, or None if it is nothing new or another outcome comes first. ``submissions``:
    those of the attempt when the verdict was given; None where it is about all of them, whenever they are made."""
    attempt = stored.attempt(attempt_id)
    if submissions is not None and is_overtaken(attempt, verdict, submissions):
        return None
    verdict = normalised(attempt, verdict)
    cause = replace(
        cause,
        occurred_at=verdict.occurred_at,
        provider_reference=verdict.reference or attempt.provider_reference,
        evidence={**(cause.evidence or {}), "verdict": evidence_of(verdict)},
        key_kind=attempt.instructed_by,
        traceparent=attempt.traceparent,
    )
    builder = ChangeBuilder(stored.payment.merchant_id, stored.payment.payment_id, cause)
    wrong = mismatch(attempt, verdict)
    match meaning_of(attempt.state, verdict_name(verdict)):
        case _ if wrong is not None:
            return _conflict(builder, attempt, verdict, rejection_id, wrong, checks)
        case VerdictMeaning.SAME:
            return None
        case VerdictMeaning.CONFLICT:
            reason = f"the provider reports {verdict_name(verdict)} for an attempt that is {attempt.state}"
            return _conflict(builder, attempt, verdict, rejection_id, reason, checks)
        case VerdictMeaning.LATE_EFFECT:
            return late_effect(builder, stored, attempt, verdict, rejection_id)
        case VerdictMeaning.APPLY:
            return _apply(builder, stored, attempt, verdict, rejection_id, checks)
        case unreachable:
            assert_never(unreachable)


def normalised(attempt: Attempt, verdict: Verdict) -> Verdict:
    """The verdict in terms of the stored state. An authorization that was voided before it was recorded moved nothing:
    it is a decline. So is a reversal of an attempt that was never approved. A refund that was approved and is now
    reported failed is a reversal."""
    if isinstance(verdict, Reversed) and attempt.state not in ("approved", "reversed"):
        return Declined(
            code=verdict.code,
            message=verdict.message,
            reference=verdict.reference,
            occurred_at=verdict.occurred_at,
            raw=verdict.raw,
        )
    if isinstance(verdict, Declined) and attempt.operation == "refund" and attempt.state in ("approved", "reversed"):
        return Reversed(
            code=verdict.code,
            message=verdict.message,
            reference=verdict.reference,
            occurred_at=verdict.occurred_at,
            raw=verdict.raw,
        )
    if attempt.operation == "authorize" and isinstance(verdict, Approved) and verdict.effect == "voided":
        return Declined(
            code=VOIDED,
            message="The authorization was released at the provider.",
            reference=verdict.reference,
            occurred_at=verdict.occurred_at,
            raw=verdict.raw,
        )
    return verdict


def mismatch(attempt: Attempt, verdict: Verdict) -> str | None:
    """An approval must be for the amount, the currency and the effect that were asked for."""
    if not isinstance(verdict, Approved):
        return None
    if (verdict.amount, verdict.currency) != (attempt.amount, attempt.currency):
        return f"approved {verdict.amount} {verdict.currency}, asked {attempt.amount} {attempt.currency}"
    if attempt.operation == "authorize":
        expected = ("captured",) if attempt.capture else ("authorized", "captured")
    else:
        expected = (EFFECTS[attempt.operation],)
    return None if verdict.effect in expected else f"approved with effect {verdict.effect}, asked {expected[0]}"


def _conflict(
    builder: ChangeBuilder, attempt: Attempt, verdict: Verdict, rejection_id: str, reason: str, checks: Checks
) -> Change:
    """Kept as a rejection with an alert; an attempt still being sent becomes unknown, so that recovery looks it up."""
    category: Category = "conflicting" if mismatch(attempt, verdict) is None else "malformed"
    builder.reject(rejection_id, attempt, verdict_name(verdict), origin="provider", category=category, reason=reason)
    if attempt.state == "submitted":
        builder.move(attempt, "unknown", schedule=Schedule(next_check_in_ms=checks.unknown_in_ms))
    return builder.change(must_not_be_shed=True)


def _apply(
    builder: ChangeBuilder,
    stored: PaymentSnapshot,
    attempt: Attempt,
    verdict: Verdict,
    rejection_id: str,
    checks: Checks,
) -> Change | None:
    reference = verdict.reference or attempt.provider_reference
    match verdict:
        case Approved():
            return _approved(builder, stored, attempt, verdict, rejection_id, checks)
        case Declined():
            failure = Failure(code=verdict.code, message=verdict.message, retryable=verdict.retryable)
            return _not_executed(builder, stored, attempt, "declined", failure)
        case Pending() | RequiresAction():
            if not _follow_waiting(builder, stored, attempt, verdict):
                return None
            due = Schedule(next_check_in_ms=checks.pending_in_ms)
            waiting = builder.move(attempt, verdict_name(verdict), schedule=due, provider_reference=reference)
            if attempt.operation == "authorize" and checks.keeps_references:
                builder.know_reference(waiting)
        case Unknown():
            builder.move(attempt, "unknown", schedule=Schedule(next_check_in_ms=checks.unknown_in_ms))
        case KeyTaken():
            if attempt.key_taken:
                return None
            due = Schedule(next_check_in_ms=checks.unknown_in_ms)
            builder.move(attempt, "key_taken", schedule=due, key_taken=True)
        case NotSent():
            builder.move(attempt, "not_sent", schedule=Schedule(next_check_in_ms=checks.not_sent_in_ms))
        case NotFound():
            builder.move(attempt, "not_found", schedule=Schedule(next_check_in_ms=0))
        case Reversed():
            return reverse(builder, stored, attempt, verdict, rejection_id)
        case _:
            assert_never(verdict)
    return builder.change(must_not_be_shed=True)


def _follow_waiting(builder: ChangeBuilder, stored: PaymentSnapshot, attempt: Attempt, verdict: Verdict) -> bool:
    """Move the payment or refund to its own waiting state; False if a cancel is in progress and comes first."""
    payment = stored.payment
    if attempt.purpose == "late_return":
        return True
    if attempt.operation == "refund":
        refund = stored.refund(attempt.refund_id)
        if isinstance(verdict, Pending) and refund.state == "submitting":
            builder.move(refund, "pending", provider_reference=verdict.reference)
        return True
    if attempt.operation != "authorize":
        return True
    if payment.state not in CREATE_OPEN:
        return False
    if isinstance(verdict, RequiresAction) and payment.state == "authorizing":
        action = kept_part(verdict.next_action)
        builder.move(payment, "action_required", next_action=action, provider_reference=verdict.reference)
    if isinstance(verdict, Pending) and payment.state == "requires_action":
        builder.move(payment, "processing", next_action=None)
    return True


def _approved(
    builder: ChangeBuilder,
    stored: PaymentSnapshot,
    attempt: Attempt,
    verdict: Approved,
    rejection_id: str,
    checks: Checks,
) -> Change | None:
    payment = stored.payment
    if attempt.purpose == "close":
        return closing_ended(builder, attempt, "approved", verdict)
    if attempt.purpose == "late_return":
        return return_succeeded(builder, payment, attempt, verdict.reference)
    event = payment_event(attempt, verdict)
    if next_state("payment", payment.state, event) is None:
        return _overtaken(builder, stored, attempt, verdict, rejection_id)
    closed = builder.move(attempt, "approved", schedule=CLOSED, provider_reference=verdict.reference)
    if attempt.operation == "refund":
        _refund_succeeded(builder, stored, closed)
    else:
        _payment_moved(builder, stored, closed, event, checks)
    return builder.change(must_not_be_shed=True)


def _overtaken(
    builder: ChangeBuilder, stored: PaymentSnapshot, attempt: Attempt, verdict: Approved, rejection_id: str
) -> Change | None:
    """An approval that the payment has no edge for. During a cancel an authorization waits for the cancel's outcome. A
    capture or cancel whose payment has moved on is answered with the payment as it is; if it does not fit, a rejection
    with an alert is kept, and its money goes to suspense."""
    payment = stored.payment
    if attempt.operation not in ("capture", "cancel"):
        return None
    closed = builder.move(attempt, "approved", schedule=CLOSED, provider_reference=verdict.reference)
    if verdict.effect != payment.state:
        reason = f"the provider executed a {attempt.operation} of a payment that is {payment.state}"
        event = payment_event(attempt, verdict)
        builder.reject(rejection_id, payment, event, origin="provider", category="late", reason=reason)
        if attempt.operation == "capture" and next_state("payment", payment.state, "late_capture") is not None:
            builder.move(closed, "late_capture", schedule=CLOSED, late_effect=True)
            payment = builder.move(payment, "late_capture", amount_late=payment.amount_late + attempt.amount)
    builder.respond_with(attempt, 200, payment)
    return builder.change(must_not_be_shed=True)


def _payment_moved(
    builder: ChangeBuilder, stored: PaymentSnapshot, attempt: Attempt, event: str, checks: Checks
) -> None:
    """Authorized, captured, canceled or expired: the payment's new version and the answers."""
    before = stored.payment
    fields: dict[str, Any] = {"next_action": None}
    if attempt.operation == "authorize":
        fields |= {"amount_authorized": attempt.amount, "provider_reference": attempt.provider_reference}
        if checks.keeps_references:
            builder.know_reference(attempt)
    if event == "captured":
        fields["amount_captured"] = attempt.amount
    if event == "authorized":
        builder.watch(checks.authorization_deadline_ms)
    after = builder.move(before, event, failure=None, **fields)
    if attempt.operation == "cancel":
        _close_authorize(builder, stored, after)
    builder.respond_with(attempt, 201 if attempt.operation == "authorize" else 200, after)


def _close_authorize(builder: ChangeBuilder, stored: PaymentSnapshot, after: Payment) -> None:
    """If the customer never acted, the canceled payment also closes its authorization and answers the create."""
    for attempt in stored.attempts:
        if attempt.operation == "authorize" and attempt.state not in ATTEMPT.final:
            builder.move(attempt, "declined", schedule=CLOSED)
            builder.respond_with(attempt, 201, after)


def _refund_succeeded(builder: ChangeBuilder, stored: PaymentSnapshot, attempt: Attempt) -> None:
    payment, refund = stored.payment, stored.refund(attempt.refund_id)
    after = builder.move(refund, "succeeded", provider_reference=attempt.provider_reference, failure=None)
    builder.move(
        payment,
        "refund_succeeded",
        amount_refunded=payment.amount_refunded + refund.amount,
        amount_refund_pending=payment.amount_refund_pending - refund.amount,
    )
    builder.respond_with(attempt, 201, after)


def give_up(stored: PaymentSnapshot, attempt_id: str, cause: Cause) -> Change:
    """Nothing happened, and nothing is sent again: the instruction fails."""
    attempt = stored.attempt(attempt_id)
    failure = Failure(
        code="provider_unreachable" if attempt.state == "not_sent" else "provider_not_executed",
        message="The provider did not execute the request; no money moved.",
        retryable=True,
    )
    if not still_possible(stored, attempt):
        message = "Less is left of the payment than the refund was for; no money moved."
        failure = Failure(code="refund_no_longer_possible", message=message, retryable=False)
    builder = ChangeBuilder(stored.payment.merchant_id, stored.payment.payment_id, cause.of(attempt))
    change = _not_executed(builder, stored, attempt, "give_up", failure)
    assert change is not None, "an attempt that is not_sent or not_found belongs to a payment that waits for it"
    return change


def _not_executed(
    builder: ChangeBuilder, stored: PaymentSnapshot, attempt: Attempt, event: str, failure: Failure
) -> Change | None:
    """A decline or a failure: the attempt closes, and the payment or refund moves on without an effect."""
    payment = stored.payment
    if attempt.purpose == "close":
        return closing_ended(builder, attempt, event)
    if attempt.purpose == "late_return":
        return return_failed(builder, payment, attempt, event)
    match attempt.operation:
        case "authorize":
            payment_event = "declined" if event == "declined" else "failed"
        case "capture":
            payment_event = "capture_refused"
        case "cancel":
            payment_event = "cancel_refused" if payment.amount_authorized else "action_still_required"
        case "refund":
            payment_event = "refund_failed"
        case _:
            assert_never(attempt.operation)
    if next_state("payment", payment.state, payment_event) is None:
        if attempt.operation not in ("capture", "cancel"):
            return None  # a cancel is in progress: its own outcome comes first
        builder.move(attempt, event, schedule=CLOSED)
        builder.respond_with(attempt, 200, payment)  # the payment has moved on, and is the answer
        return builder.change(must_not_be_shed=True)
    builder.move(attempt, event, schedule=CLOSED)
    if attempt.operation == "refund":
        refund = builder.move(stored.refund(attempt.refund_id), "failed", failure=failure)
        pending = payment.amount_refund_pending - refund.amount
        builder.move(payment, payment_event, amount_refund_pending=pending)
        builder.respond_with(attempt, 201, refund)
        return builder.change(must_not_be_shed=True)
    if attempt.operation == "authorize":
        after = builder.move(payment, payment_event, failure=failure, next_action=None)
        builder.respond_with(attempt, 201, after)
        if payer_may_act(payment, attempt) and failure.code != VOIDED:
            close_charge(builder, after, attempt)
    else:
        after = builder.move(payment, payment_event, failure=failure)
        builder.respond_with(attempt, 200, after)
        builder.watch(0)  # look at once: the provider may have captured or released the hold on its own
    return builder.change(must_not_be_shed=True)
