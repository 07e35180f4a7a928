"""Reversals: an effect that was approved has failed after all, up to weeks later. Pure."""

from __future__ import annotations

from tallystick.decisions.change_builder import ChangeBuilder
from tallystick.decisions.late_money import return_came_back
from tallystick.decisions.terms import CLOSED
from tallystick.domain.change import Change
from tallystick.domain.left_to_refund import beyond_the_capture
from tallystick.domain.snapshot import PaymentSnapshot
from tallystick.domain.subjects import Attempt, Failure
from tallystick.domain.verdicts import Reversed


def reverse(
    builder: ChangeBuilder, stored: PaymentSnapshot, attempt: Attempt, verdict: Reversed, rejection_id: str
) -> Change:
    """The refund comes back to the merchant, or captured money was not received. A reversed hold or release moved no
    money; it is kept as a rejection, with an alert."""
    payment = stored.payment
    if attempt.purpose == "late_return":
        return return_came_back(builder, payment, attempt)
    if attempt.operation == "refund":
        builder.move(attempt, "reversed", schedule=CLOSED)
        failure = Failure(code=verdict.code, message=verdict.message, retryable=True)
        refund = builder.move(stored.refund(attempt.refund_id), "failed", failure=failure)
        builder.move(payment, "refund_failed", amount_refunded=payment.amount_refunded - refund.amount)
        return builder.change(must_not_be_shed=True)
    captured = payment.amount_captured - payment.amount_reversed
    if payment.state == "captured" and captured and (attempt.operation == "capture" or attempt.capture):
        # What this call captured: other parts of the hold may have been captured in the provider's dashboard.
        never_came = min(attempt.amount, captured)
        builder.move(attempt, "reversed", schedule=CLOSED)
        reversed_now = payment.amount_reversed + never_came
        after = builder.move(payment, "capture_reversed", amount_reversed=reversed_now)
        beyond = beyond_the_capture(after, stored.disputes)
        if beyond is not None:
            builder.reject(
                rejection_id, after, "capture_reversed", origin="provider", category="conflicting", reason=beyond
            )
        return builder.change(must_not_be_shed=True)
    reason = f"the provider reversed the {attempt.operation} of a payment that is {payment.state}"
    builder.reject(rejection_id, attempt, "reversed", origin="provider", category="late", reason=reason)
    return builder.change(must_not_be_shed=True)
