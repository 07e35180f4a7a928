"""Captures that nobody made through us, from a provider that gives each one a name. Pure.

A hold may be captured in parts, and two parts may be equal: the name alone tells a second part from a retelling.
"""

from __future__ import annotations

from msgspec.structs import replace

from tallystick.decisions.change_builder import ChangeBuilder
from tallystick.decisions.late_effects import late_named_capture, named_capture, paired_capture
from tallystick.decisions.provider_events.dispositions import Decided, EventDecision, NotYet
from tallystick.decisions.provider_events.on_attempt import Case, on_attempt
from tallystick.decisions.terms import evidence_of
from tallystick.domain.lifecycles.attempt import ATTEMPT
from tallystick.domain.lifecycles.payment import PAYMENT
from tallystick.domain.notices import CaptureNotice
from tallystick.domain.verdicts import Verdict


def observe_capture(case: Case, notice: CaptureNotice) -> EventDecision:
    """Within the hold that was it is the payment's; beyond it, a person's."""
    payment = case.stored.payment
    if any(each.reference == notice.reference for each in payment.provider_operations):
        return Decided("duplicate_effect")
    for attempt in case.stored.attempts:
        if (attempt.operation, attempt.provider_reference) == ("capture", notice.reference):
            return on_attempt(case, attempt, notice.as_verdict())  # ours, by the provider's name for it
    if payment.state not in PAYMENT.final and payment.state != "authorized":
        return NotYet(f"a payment that is {payment.state}: its own outcome comes first")
    captured = f"captured {notice.amount} {notice.currency} ({notice.reference})"
    beside = f"{payment.amount_captured} of {payment.amount_authorized} {payment.currency} held are captured"
    reason = f"{captured} of a payment that is {payment.state}, and {beside}"
    authorize = case.authorize()
    if notice.currency != payment.currency or notice.amount <= 0:
        return case.conflict("captured", reason)
    change = named_capture(case.stored, authorize, notice, case.cause) or paired_capture(
        case.stored, authorize, notice, case.cause
    )
    if change is not None:
        return Decided("applied", change)
    if ATTEMPT.edge(authorize.state, "late_capture") is None:
        return case.conflict("captured", reason)
    late = late_named_capture(case.stored, authorize, notice, case.cause, case.rejection_id, reason)
    return Decided("conflict", late, reason)


def observe_capture_failed(case: Case, verdict: Verdict, reference: str) -> EventDecision:
    """One part never came: it is reversed, and the other parts are as they were."""
    payment = case.stored.payment
    part = next((each for each in payment.provider_operations if each.reference == reference), None)
    if part is None:
        return NotYet("no such capture here")
    if part.booked == "reversed":
        return Decided("duplicate_effect")
    if part.booked != "captured" or payment.state != "captured":
        return case.conflict(
            "capture_reversed", f"the provider took back {reference}, whose money is {part.booked} here"
        )
    cause = replace(
        case.cause,
        occurred_at=verdict.occurred_at,
        provider_reference=reference,
        evidence={**(case.cause.evidence or {}), "verdict": evidence_of(verdict)},
    )
    builder = ChangeBuilder(payment.merchant_id, payment.payment_id, cause)
    operations = tuple(
        replace(each, booked="reversed") if each is part else each for each in payment.provider_operations
    )
    reversed_in_all = payment.amount_reversed + part.amount
    builder.move(payment, "capture_reversed", amount_reversed=reversed_in_all, provider_operations=operations)
    return Decided("applied", builder.change(must_not_be_shed=True))
