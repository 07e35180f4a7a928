"""Checks that nothing waits unnoticed: everything open is on recovery's schedule or on the in-doubt list."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from tallystick.domain.lifecycles.attempt import ATTEMPT_OPEN
from tallystick.oversight.invariants.finding import Finding
from tallystick.oversight.invariants.ledger import HOLDING, IN_FLIGHT
from tallystick.record.postgres.payment_record import PaymentRecord
from tallystick.settings.load import Settings

#: Payment states that wait for an attempt of this operation.
_WAITS_FOR: Final[Mapping[str, str]] = {
    "authorizing": "authorize",
    "requires_action": "authorize",
    "capturing": "capture",
    "canceling": "cancel",
}


def waiting_subjects_have_open_attempts(record: PaymentRecord) -> Iterator[Finding]:
    """A payment or refund that waits for a provider has the open attempt that it waits for."""
    still_open = [watched.attempt for watched in record.attempts if watched.attempt.state in ATTEMPT_OPEN]
    payment = record.payment
    operation = _WAITS_FOR.get(payment.state)
    if operation is not None and all(attempt.operation != operation for attempt in still_open):
        yield Finding(payment.payment_id, f"is {payment.state}, and no {operation} is open")
    for refund in record.refunds:
        if refund.state in IN_FLIGHT and all(attempt.refund_id != refund.refund_id for attempt in still_open):
            yield Finding(refund.refund_id, f"is {refund.state}, and no attempt of it is open")


def open_attempts_are_awaited(record: PaymentRecord, settings: Settings) -> Iterator[Finding]:
    """Recovery closes an attempt whose subject has moved on without it, soon after nothing of it can be in transit any
    more. If it stays open, its client waits for ever."""
    waits = _WAITS_FOR.get(record.payment.state)
    refunding = {refund.refund_id for refund in record.refunds if refund.state in IN_FLIGHT}
    for watched in record.attempts:
        attempt = watched.attempt
        # A customer's action and a cancel may be in progress together.
        awaited = attempt.operation == waits or (attempt.operation == "authorize" and waits == "cancel")
        awaited |= attempt.purpose == "late_return" and record.payment.amount_late_returning > 0
        if attempt.purpose == "close":
            continue  # it follows the payment's end, and nobody waits for it
        if attempt.state not in ATTEMPT_OPEN or awaited or attempt.refund_id in refunding:
            continue
        grace_ms = settings.recovery_lease_ms + settings.recovery_backoff_cap_ms
        if watched.parked_at is None and watched.settled_for_ms > grace_ms:
            subject = f"its payment is {record.payment.state}"
            yield Finding(attempt.attempt_id, f"{attempt.operation} is {attempt.state}, and {subject} without it")


def open_attempts_are_watched(record: PaymentRecord) -> Iterator[Finding]:
    """An open attempt is either scheduled or parked on the in-doubt list, never both; a closed one is neither."""
    for watched in record.attempts:
        attempt = watched.attempt
        places = (watched.next_check_at is not None) + (watched.parked_at is not None)
        due = 1 if attempt.state in ATTEMPT_OPEN else 0
        if places != due:
            found = ("neither scheduled nor parked", "still scheduled or parked", "scheduled and parked")[places]
            yield Finding(attempt.attempt_id, f"is {attempt.state} and {found}")


def holds_are_watched(record: PaymentRecord) -> Iterator[Finding]:
    """An authorization that holds a customer's money has a deadline."""
    payment = record.payment
    if payment.state in HOLDING and payment.amount_authorized > 0 and record.due_at is None:
        yield Finding(payment.payment_id, f"is {payment.state}, holds {payment.amount_authorized} and has no deadline")


def in_doubt_lane_has_no_overdue(record: PaymentRecord, settings: Settings) -> Iterator[Finding]:
    """No attempt is on the in-doubt list for longer than the alarm age."""
    for watched in record.attempts:
        age_ms = watched.parked_for_ms
        if age_ms is not None and age_ms > settings.in_doubt_alarm_age_ms:
            limit = f"{settings.in_doubt_owner} has {settings.in_doubt_alarm_age_ms} ms"
            yield Finding(watched.attempt.attempt_id, f"in doubt for {age_ms} ms; {limit}")
