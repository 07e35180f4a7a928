"""Effects that nobody waited for any more: approvals of closed attempts, and what a provider did on its own. Pure."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from tallystick import chart
from tallystick.decisions.dispositions import Decided, NotYet
from tallystick.decisions.draft import Draft, Step
from tallystick.decisions.stored import CLOSED, Stored, payment_event
from tallystick.ids import derived_id
from tallystick.lifecycle import FINAL, next_state
from tallystick.model import Attempt, Change, Failure, Refund
from tallystick.providers.base import Approved, Verdict
from tallystick.providers.notices import RefundNotice


def late_effect(draft: Draft, stored: Stored, attempt: Attempt, verdict: Verdict, rejection_id: str) -> Change | None:
    """An approval of an attempt that we closed. Where the payment can still follow it does; money that has no
    edge to travel on goes to suspense, with the rejection and an alert beside it. Once per attempt."""
    if attempt.late_effect or not isinstance(verdict, Approved):
        return None
    payment = stored.payment
    draft.reject(
        rejection_id,
        attempt,
        "approved",
        origin="provider",
        reason=f"the provider executed an attempt that we hold {attempt.state}",
    )
    if payment.state not in FINAL["payment"] and payment.state != "authorized":
        return draft.change(outcome=True)  # another attempt is under way, and what it meets will tell
    draft.move_attempt(attempt, "late_effect", CLOSED, late_effect=True, provider_reference=verdict.reference)
    _post_late_effect(draft, stored, attempt, verdict)
    return draft.change(outcome=True)


def _post_late_effect(draft: Draft, stored: Stored, attempt: Attempt, verdict: Approved) -> None:
    """Follow where there is an edge; else money to suspense. A hold or release on a closed edge moves no money:
    the rejection and its alert are enough."""
    payment = stored.payment
    event = payment_event(attempt, verdict)
    if attempt.operation == "refund":
        refund = draft.move_refund(stored.refund(attempt.refund_id), "late_effect")
        postings = chart.late_money_out(refund.provider, refund.amount)
        draft.post(refund.refund_id, refund.version, refund.currency, postings)
    elif next_state("payment", payment.state, event) is not None:
        captured = event == "captured"
        after = draft.move_payment(
            payment, event, failure=None, **({"amount_captured": attempt.amount} if captured else {})
        )
        held = payment.amount_authorized
        postings = (
            chart.capture(payment.provider, held, attempt.amount) if captured else chart.release(payment.provider, held)
        )
        draft.post(payment.payment_id, after.version, payment.currency, postings)
    elif verdict.effect == "captured":
        after = draft.move_payment(payment, "late_effect")
        postings = chart.late_money_in(payment.provider, attempt.amount)
        draft.post(payment.payment_id, after.version, payment.currency, postings)


def late_capture(stored: Stored, authorize: Attempt, verdict: Approved, step: Step, rejection_id: str) -> Change:
    """A hold that we released was captured all the same: the money is the provider's word against ours, and waits in
    suspense. Once per authorization."""
    payment = stored.payment
    step = _proved_by(step, verdict, authorize)
    draft = Draft(payment.merchant_id, payment.payment_id, step)
    reason = f"the provider captured a payment that we hold {payment.state}"
    draft.reject(rejection_id, payment, "captured", origin="provider", reason=reason)
    draft.move_attempt(authorize, "late_effect", CLOSED, late_effect=True)
    after = draft.move_payment(payment, "late_effect")
    draft.post(
        payment.payment_id, after.version, payment.currency, chart.late_money_in(payment.provider, verdict.amount)
    )
    return draft.change(outcome=True)


def observe_refund(
    stored: Stored, notice: RefundNotice, account: str, step: Step, rejection_id: str
) -> Decided | NotYet:
    """Someone refunded in the provider's own dashboard: the money has left, so it is a refund of this payment like any
    other, named by the provider's reference, and without an attempt of ours."""
    payment = stored.payment
    refund_id = derived_id("re", payment.provider, account, notice.reference)
    if any(refund.refund_id == refund_id for refund in stored.refunds):
        return Decided("duplicate_effect")
    if any(attempt.provider_reference == notice.reference for attempt in stored.attempts):
        return Decided("duplicate_effect")  # ours, by the provider's name for it
    if payment.state != "captured":
        return NotYet(f"a refund of a payment that is {payment.state}")
    left = payment.amount_captured - payment.amount_refunded - payment.amount_refund_pending
    if notice.currency == payment.currency and left < notice.amount <= left + payment.amount_refund_pending:
        return NotYet(f"{left} are left to refund while refunds are under way: their outcome comes first")
    step = replace(step, occurred_at=notice.occurred_at, provider_reference=notice.reference)
    draft = Draft(payment.merchant_id, payment.payment_id, step)
    if notice.currency != payment.currency or notice.amount > left:
        reason = f"the provider refunded {notice.amount} {notice.currency}, and {left} {payment.currency} were left"
        draft.reject(rejection_id, payment, "refund_succeeded", origin="provider", reason=reason)
        return Decided("conflict", draft.change(outcome=True), reason)
    opened = draft.move_payment(
        payment, "refund_opened", amount_refund_pending=payment.amount_refund_pending + notice.amount
    )
    refund = draft.open_refund(
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
            created_at=step.at,
            updated_at=step.at,
        )
    )
    draft.post(refund_id, 1, refund.currency, chart.refund_sent(refund.provider, refund.amount))
    done = draft.move_refund(refund, "succeeded")
    draft.post(refund_id, done.version, refund.currency, chart.refund_succeeded(refund.provider, refund.amount))
    draft.move_payment(
        opened,
        "refund_succeeded",
        amount_refunded=payment.amount_refunded + refund.amount,
        amount_refund_pending=payment.amount_refund_pending,
    )
    return Decided("applied", draft.change(outcome=True))


def observe_refund_failed(
    stored: Stored, verdict: Verdict, reference: str, account: str, step: Step
) -> Decided | NotYet:
    """A refund that someone made in the provider's dashboard came back."""
    payment = stored.payment
    refund_id = derived_id("re", payment.provider, account, reference)
    refund = next((refund for refund in stored.refunds if refund.refund_id == refund_id), None)
    if refund is None:
        return NotYet("no such refund here")
    if refund.state == "failed":
        return Decided("duplicate_effect")
    step = replace(
        step,
        occurred_at=verdict.occurred_at,
        provider_reference=reference,
        evidence={**(step.evidence or {}), "verdict": msgspec.to_builtins(verdict)},
    )
    draft = Draft(payment.merchant_id, payment.payment_id, step)
    failed = draft.move_refund(
        refund, "failed", failure=Failure(code="refund_failed", message="The refund came back.", retryable=True)
    )
    postings = chart.refund_failed(failed.provider, failed.amount, had_succeeded=True)
    draft.post(refund_id, failed.version, failed.currency, postings)
    draft.move_payment(payment, "refund_failed", amount_refunded=payment.amount_refunded - refund.amount)
    return Decided("applied", draft.change(outcome=True))


def _proved_by(step: Step, verdict: Verdict, attempt: Attempt) -> Step:
    return replace(
        step,
        occurred_at=verdict.occurred_at,
        provider_reference=attempt.provider_reference,
        evidence={**(step.evidence or {}), "verdict": msgspec.to_builtins(verdict)},
    )


def observe_authorization(
    stored: Stored, attempt_id: str, verdict: Verdict, step: Step, *, expired: bool = True
) -> Change | None:
    """What the provider now says of an authorization that nobody captured: captured in its own dashboard, released
    (``expired``: by time), or still held (None)."""
    payment, attempt = stored.payment, stored.attempt(attempt_id)
    if payment.state != "authorized" or not isinstance(verdict, Approved) or verdict.effect == "authorized":
        return None
    draft = Draft(payment.merchant_id, payment.payment_id, _proved_by(step, verdict, attempt))
    if verdict.effect == "captured":
        after = draft.move_payment(payment, "captured", amount_captured=verdict.amount, failure=None)
        postings = chart.capture(payment.provider, payment.amount_authorized, verdict.amount)
    else:
        after = draft.move_payment(payment, "expired" if expired else "canceled", failure=None)
        postings = chart.release(payment.provider, payment.amount_authorized)
    draft.post(payment.payment_id, after.version, payment.currency, postings)
    return draft.change(outcome=True)
