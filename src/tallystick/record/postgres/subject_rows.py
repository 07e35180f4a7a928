"""The states that a change leaves, as rows: tuples in the column order of ``sql/journal.sql``.

A subject's first row has every column; later ones have its key and what can move, which is half as much to encode, and
an update finds its row without trying to insert it first.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from tallystick.domain.change import Change
from tallystick.domain.subjects import Attempt, Dispute, Payment, Refund

Row = tuple[Any, ...]

_ENCODER: Final = msgspec.json.Encoder()


def json_text(value: object) -> str:
    """JSON as text for a json column."""
    return _ENCODER.encode(value).decode()


def json_or_none(value: object | None) -> str | None:
    """JSON as text, or SQL's null."""
    return None if value is None else json_text(value)


def payment_row(payment: Payment) -> Row:
    """Columns of ``insert_payments``."""
    return (
        payment.merchant_id,
        payment.payment_id,
        payment.version,
        payment.state,
        payment.amount,
        payment.currency,
        payment.amount_authorized,
        payment.amount_captured,
        payment.amount_refunded,
        payment.amount_refund_pending,
        payment.amount_reversed,
        payment.capture_method,
        payment.payment_method,
        payment.provider,
        payment.provider_reference,
        json_or_none(payment.next_action),
        json_or_none(payment.failure),
        payment.description,
        json_text(payment.metadata),
        payment.created_at,
        payment.updated_at,
    )


def payment_move_row(payment: Payment) -> Row:
    """Columns of ``move_payments``."""
    return (
        payment.merchant_id,
        payment.payment_id,
        payment.version,
        payment.state,
        payment.amount_authorized,
        payment.amount_captured,
        payment.amount_refunded,
        payment.amount_refund_pending,
        payment.amount_reversed,
        payment.provider_reference,
        json_or_none(payment.next_action),
        json_or_none(payment.failure),
        payment.updated_at,
    )


def refund_row(refund: Refund) -> Row:
    """Columns of ``write_refunds``."""
    return (
        refund.merchant_id,
        refund.refund_id,
        refund.payment_id,
        refund.version,
        refund.state,
        refund.amount,
        refund.currency,
        refund.provider,
        refund.provider_reference,
        refund.reason,
        json_or_none(refund.failure),
        refund.created_at,
        refund.updated_at,
    )


def dispute_row(dispute: Dispute) -> Row:
    """Columns of ``write_disputes``."""
    return (
        dispute.merchant_id,
        dispute.dispute_id,
        dispute.payment_id,
        dispute.version,
        dispute.state,
        dispute.amount,
        dispute.currency,
        dispute.provider,
        dispute.provider_reference,
        dispute.reason,
        dispute.funds_withdrawn,
        json_text(dispute.movements),
        dispute.contested,
        dispute.created_at,
        dispute.updated_at,
    )


def attempt_row(attempt: Attempt) -> Row:
    """Columns of ``insert_attempts``."""
    schedule = attempt.schedule
    return (
        attempt.merchant_id,
        attempt.payment_id,
        attempt.attempt_id,
        attempt.version,
        attempt.state,
        attempt.operation,
        attempt.purpose,
        attempt.refund_id,
        attempt.idempotency_key,
        attempt.amount,
        attempt.currency,
        attempt.capture,
        attempt.payment_method,
        attempt.provider,
        attempt.account,
        attempt.provider_key,
        attempt.provider_reference,
        attempt.parent_reference,
        attempt.submissions,
        attempt.late_effect,
        schedule.next_check_in_ms,
        schedule.deadline_in_ms,
        schedule.settled_in_ms,
        schedule.parked,
    )


def attempt_move_row(attempt: Attempt) -> Row:
    """Columns of ``move_attempts``."""
    schedule = attempt.schedule
    return (
        attempt.merchant_id,
        attempt.payment_id,
        attempt.attempt_id,
        attempt.version,
        attempt.state,
        attempt.provider_reference,
        attempt.submissions,
        attempt.late_effect,
        schedule.next_check_in_ms,
        schedule.deadline_in_ms,
        schedule.settled_in_ms,
        schedule.parked,
    )


class StateRows:
    """The states that one change leaves, by the statement that writes them."""

    __slots__ = ("attempt_moves", "attempts", "count", "disputes", "payment_moves", "payments", "refunds")

    def __init__(self, change: Change) -> None:
        opened = {transition.subject_id for transition in change.transitions if transition.version == 1}
        payment, attempts = change.payment, change.attempts
        self.payments = [payment_row(payment)] if payment and payment.payment_id in opened else []
        self.payment_moves = [payment_move_row(payment)] if payment and not self.payments else []
        self.refunds = [refund_row(change.refund)] if change.refund else []
        self.disputes = [dispute_row(change.dispute)] if change.dispute else []
        self.attempts = [attempt_row(each) for each in attempts if each.attempt_id in opened]
        self.attempt_moves = [attempt_move_row(each) for each in attempts if each.attempt_id not in opened]
        self.count = sum(len(getattr(self, table)) for table in self.__slots__ if table != "count")
