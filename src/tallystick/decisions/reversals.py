"""What had been done has failed after all: weeks later, it happens. Pure."""

from __future__ import annotations

from tallystick.decisions.change_builder import ChangeBuilder
from tallystick.decisions.terms import CLOSED
from tallystick.domain.change import Change
from tallystick.domain.ledger import postings
from tallystick.domain.snapshot import PaymentSnapshot
from tallystick.domain.subjects import Attempt, Failure
from tallystick.domain.verdicts import Reversed


def reverse(
    builder: ChangeBuilder, stored: PaymentSnapshot, attempt: Attempt, verdict: Reversed, rejection_id: str
) -> Change:
    """The refund comes back to the merchant, or captured money never came. A hold or a release that is taken back moved
    no money; it is kept with an alert."""
    payment = stored.payment
    if attempt.operation == "refund":
        builder.move_attempt(attempt, "reversed", CLOSED)
        failure = Failure(code=verdict.code, message=verdict.message, retryable=True)
        refund = builder.move_refund(stored.refund(attempt.refund_id), "failed", failure=failure)
        legs = postings.refund_failed(refund.provider, refund.amount, had_succeeded=True)
        builder.post(refund.refund_id, refund.version, refund.currency, legs)
        builder.move_payment(payment, "refund_failed", amount_refunded=payment.amount_refunded - refund.amount)
        return builder.change(outcome=True)
    captured = payment.amount_captured - payment.amount_reversed
    if payment.state == "captured" and captured and (attempt.operation == "capture" or attempt.capture):
        builder.move_attempt(attempt, "reversed", CLOSED)
        after = builder.move_payment(payment, "capture_reversed", amount_reversed=payment.amount_captured)
        legs = postings.capture_reversed(payment.provider, captured)
        builder.post(payment.payment_id, after.version, payment.currency, legs)
        return builder.change(outcome=True)
    reason = f"the provider took back the {attempt.operation} of a payment that is {payment.state}"
    builder.reject(rejection_id, attempt, "reversed", origin="provider", reason=reason)
    return builder.change(outcome=True)
