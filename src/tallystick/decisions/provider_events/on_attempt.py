"""Decisions on a notice about one of our own calls: the published matrix; the provider is asked before anything that
contradicts the record. Pure."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from tallystick.decisions.change_builder import Cause, ChangeBuilder
from tallystick.decisions.late_effects import late_money, names_captures
from tallystick.decisions.provider_events.dispositions import Ask, Decided, DecidedDisposition, EventDecision, NotYet
from tallystick.decisions.terms import Checks
from tallystick.decisions.verdicts import apply_verdict, mismatch, normalised
from tallystick.domain.lifecycles.attempt import ATTEMPT_OPEN
from tallystick.domain.lifecycles.payment import PAYMENT
from tallystick.domain.lifecycles.verdict_matrix import VerdictMeaning, meaning_of
from tallystick.domain.rejected_case import Category
from tallystick.domain.snapshot import PaymentSnapshot
from tallystick.domain.subjects import Attempt, Operation
from tallystick.domain.verdicts import (
    Approved,
    NotFound,
    NotSent,
    Pending,
    RequiresAction,
    Reversed,
    Unknown,
    Verdict,
    verdict_name,
)

#: Current answers that do not decide an attempt. Still pending is one: it resolves no contradiction.
_UNDECIDED: Final = (Unknown, NotFound, NotSent, Pending, RequiresAction)


class Case(Struct, frozen=True, kw_only=True):
    """One event and the stored state."""

    stored: PaymentSnapshot
    cause: Cause
    rejection_id: str
    checks: Checks
    newest: Verdict | None
    unsettled_ms: int = 0  # until the settling time of the event has passed

    def authorize(self) -> Attempt:
        """The attempt that made the charge."""
        return next(attempt for attempt in self.stored.attempts if attempt.operation == "authorize")

    def open_attempt(self, operation: Operation) -> Attempt | None:
        """The attempt of an operation without an outcome yet."""
        for attempt in self.stored.attempts:
            if attempt.operation == operation and attempt.state in ATTEMPT_OPEN:
                return attempt
        return None

    def conflict(self, event: str, reason: str, category: Category = "conflicting") -> Decided:
        """Kept as a rejection, with an alert."""
        builder = ChangeBuilder(self.stored.payment.merchant_id, self.stored.payment.payment_id, self.cause)
        builder.reject(
            self.rejection_id, self.stored.payment, event, origin="provider", category=category, reason=reason
        )
        return Decided("conflict", builder.change(must_not_be_shed=True), reason)


def on_attempt(case: Case, attempt: Attempt, said: Verdict) -> EventDecision:
    """The published matrix; the provider is asked before anything that contradicts the record."""
    word = said if case.newest is None else case.newest
    verdict = normalised(attempt, word)
    if isinstance(case.newest, _UNDECIDED):
        return NotYet("the provider cannot report its outcome now")
    meaning, wrong = meaning_of(attempt.state, verdict_name(verdict)), mismatch(attempt, verdict)
    if case.newest is None and isinstance(said, Reversed) and attempt.state in ATTEMPT_OPEN:
        # It reverses an effect. Treated as a refusal it would close the attempt before its approval arrives.
        return NotYet(f"a reversal of an attempt that is {attempt.state}: its approval comes first")
    if isinstance(word, Reversed) and _was_booked_elsewhere(case.stored, attempt):
        reason = (
            f"the provider reversed the {attempt.operation} that is {attempt.state} here, with its money in our ledger"
        )
        return case.conflict("reversed", reason)
    if meaning is VerdictMeaning.LATE_EFFECT and (
        attempt.late_effect or _is_booked_by_name(case.stored, attempt, verdict) or _is_booked(case.stored, verdict)
    ):
        return Decided("duplicate_effect")
    if wrong is None and meaning is VerdictMeaning.SAME:
        if case.newest is not None:
            return Decided("stale")
        return Decided(_repeated_or_overtaken(attempt, verdict))
    if case.newest is None and (wrong is not None or meaning is not VerdictMeaning.APPLY):
        return Ask(attempt.attempt_id, wrong or f"{verdict_name(verdict)} of an attempt that is {attempt.state}")
    if meaning is VerdictMeaning.LATE_EFFECT and not _is_at_rest(case.stored):
        return NotYet(f"a payment that is {case.stored.payment.state}: its own outcome comes first")
    stored = case.stored
    second = attempt.operation == "capture" and stored.payment.state == "captured" and not names_captures(stored)
    if meaning is VerdictMeaning.LATE_EFFECT and second:
        return case.conflict("captured", f"a second capture, of {attempt.amount} {attempt.currency}")
    change = apply_verdict(stored, attempt.attempt_id, verdict, case.cause, case.rejection_id, case.checks)
    if change is None:
        return NotYet(f"a payment that is {stored.payment.state}: another outcome comes first")
    if wrong is not None or meaning is VerdictMeaning.CONFLICT or not change.transitions:
        return Decided("conflict", change, change.rejections[0].reason)
    return Decided("applied", change, change.rejections[0].reason if change.rejections else None)


def _repeated_or_overtaken(attempt: Attempt, verdict: Verdict) -> DecidedDisposition:
    """Whether it repeats the stored state, or reports an earlier one."""
    name = verdict_name(verdict)
    if attempt.state == name:
        return "duplicate_effect"
    ended_alike = {"declined", "failed", "not_found", "reversed"}
    return "duplicate_effect" if {attempt.state, name} <= ended_alike else "stale"


def _was_booked_elsewhere(stored: PaymentSnapshot, attempt: Attempt) -> bool:
    """Whether an attempt that was closed without effect had one all the same: in suspense, or by a notice of its
    charge."""
    if attempt.late_effect:
        return True
    closed = attempt.state in ("declined", "failed") and attempt.operation in ("authorize", "capture")
    return closed and stored.payment.state == "captured"


def _is_booked_by_name(stored: PaymentSnapshot, attempt: Attempt, verdict: Verdict) -> bool:
    """Whether the effect is in our ledger by its own name: a settlement file told of it, and not whose call it was."""
    name = verdict.reference
    if name is None:
        return False
    others = (each for each in stored.refunds if each.refund_id != attempt.refund_id and each.state != "failed")
    return any(each.provider_reference == name for each in others) or any(
        each.reference == name for each in stored.payment.provider_operations
    )


def _is_booked(stored: PaymentSnapshot, verdict: Verdict) -> bool:
    """Whether the captured money is in our ledger already, by another notice: a charge is captured once."""
    if not isinstance(verdict, Approved) or verdict.effect != "captured":
        return False
    if verdict.reference is not None and names_captures(stored):
        return False  # another name is another capture
    payment = stored.payment
    held = payment.state == "captured" and (verdict.amount, verdict.currency) == (
        payment.amount_captured,
        payment.currency,
    )
    return held or late_money(stored)


def _is_at_rest(stored: PaymentSnapshot) -> bool:
    return stored.payment.state in PAYMENT.final or stored.payment.state == "authorized"
