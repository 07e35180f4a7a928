"""A provider's word that a charge was canceled or refunded, and not which of both. Pure.

What it was follows from what the charge was: captured money was given back, a hold was released. Our own state may be
behind, so a hold is believed to be one only after the settling time; where its capture is told even later, both belong
together.
"""

from __future__ import annotations

from typing import assert_never

from tallystick.decisions.late_effects import void_by_name
from tallystick.decisions.provider_events.dashboard_refunds import observe_refund
from tallystick.decisions.provider_events.dispositions import Decided, EventDecision, NotYet
from tallystick.decisions.provider_events.on_attempt import Case
from tallystick.domain.notices import CancelOrRefundNotice, RefundNotice
from tallystick.domain.subjects import Payment
from tallystick.kit.ids import derived_id


def observe_cancel_or_refund(case: Case, notice: CancelOrRefundNotice, account: str) -> EventDecision:
    """Each is known by its own name; what is canceled or refunded in full already is no news."""
    payment = case.stored.payment
    if any(each.reference == notice.reference for each in payment.provider_operations):
        return Decided("duplicate_effect")
    refund = RefundNotice(
        reference=notice.reference, amount=notice.amount, currency=notice.currency, occurred_at=notice.occurred_at
    )
    match payment.state:
        case "captured":
            return _given_back(case, refund, account)
        case "authorized" if case.unsettled_ms > 0:
            return NotYet("a hold, or a capture that we do not know yet: it may still be told", case.unsettled_ms)
        case "authorized":
            return Decided("applied", void_by_name(case.stored, case.authorize(), notice, case.cause))
        case "canceled" | "expired" | "declined" | "failed" if not payment.amount_late:
            return Decided("duplicate_effect")
        case "canceled" | "expired" | "declined" | "failed":
            return observe_refund(case.stored, refund, account, case.cause, case.rejection_id)
        case "authorizing" | "requires_action" | "capturing" | "canceling":
            return NotYet(f"a payment that is {payment.state}: its own outcome comes first")
        case _:
            assert_never(payment.state)


def _given_back(case: Case, refund: RefundNotice, account: str) -> EventDecision:
    """A refund of the signed amount, of no more than is left."""
    payment = case.stored.payment
    refund_id = derived_id("re", payment.provider, account, refund.reference)
    known = any(each.refund_id == refund_id for each in case.stored.refunds)
    left = payment.amount_captured - payment.amount_refunded
    if known or refund.amount <= left - payment.amount_refund_pending:
        return observe_refund(case.stored, refund, account, case.cause, case.rejection_id)
    if payment.amount_refund_pending:
        return NotYet(f"refunds of {payment.amount_refund_pending} are under way: their outcome comes first")
    if not left:
        return Decided("duplicate_effect")
    if case.unsettled_ms > 0 and _may_be_captured_further(payment):
        return NotYet("other parts of the hold may have been captured: they may still be told", case.unsettled_ms)
    reason = f"the provider gave back {refund.amount} {refund.currency} ({refund.reference}), and {left} are left"
    return case.conflict("refund_succeeded", reason)


def _may_be_captured_further(payment: Payment) -> bool:
    return payment.amount_captured < payment.amount_authorized
