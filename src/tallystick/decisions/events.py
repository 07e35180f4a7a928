"""What a provider's event does to the stored state. Pure.

The event may be late, early, repeated, overtaken or wrong: what is stored decides, by the published matrix and the
lifecycle graphs, never a clock. An event that contradicts the record is not believed at once: the provider is asked for
its current word first (``Ask``), and that word decides.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from tallystick.decisions.dispositions import Ask, Decided, NotYet, Outcome
from tallystick.decisions.disputes import decide_dispute
from tallystick.decisions.draft import Draft, Step
from tallystick.decisions.late_effects import (
    late_capture,
    observe_authorization,
    observe_refund,
    observe_refund_failed,
)
from tallystick.decisions.settlement import mismatch, normalised, settle
from tallystick.decisions.stored import Checks, Stored, verdict_name
from tallystick.lifecycle import ATTEMPT_OPEN, CREATE_OPEN, FINAL, Reading, reading
from tallystick.model import Attempt, Payment
from tallystick.providers.base import Approved, Declined, NotFound, Reversed, Unknown, Verdict
from tallystick.providers.notices import AttemptNotice, ChargeNotice, DisputeNotice, Notice, RefundNotice


class _Case(Struct, frozen=True, kw_only=True):
    """One event beside what is stored."""

    stored: Stored
    step: Step
    rejection_id: str
    checks: Checks
    newest: Verdict | None

    def authorize(self) -> Attempt:
        """The attempt that the charge began with."""
        return next(attempt for attempt in self.stored.attempts if attempt.operation == "authorize")

    def open_attempt(self, operation: str) -> Attempt | None:
        """The attempt of an operation that has no outcome yet."""
        for attempt in self.stored.attempts:
            if attempt.operation == operation and attempt.state in ATTEMPT_OPEN:
                return attempt
        return None

    def conflict(self, event: str, reason: str) -> Decided:
        """Kept as a rejection, with an alert."""
        draft = Draft(self.stored.payment.merchant_id, self.stored.payment.payment_id, self.step)
        draft.reject(self.rejection_id, self.stored.payment, event, origin="provider", reason=reason)
        return Decided("conflict", draft.change(outcome=True), reason)


def decide_notice(
    stored: Stored,
    notice: Notice | None,
    *,
    provider: str,
    account: str,
    step: Step,
    rejection_id: str,
    checks: Checks,
    newest: Verdict | None = None,
) -> Outcome:
    """What an event comes to. ``newest`` is the provider's current word, once it was asked for."""
    case = _Case(stored=stored, step=step, rejection_id=rejection_id, checks=checks, newest=newest)
    if notice is None:
        return Decided("unknown_type")
    ours = case.authorize()
    if (provider, account) != (ours.provider, ours.account):
        reason = f"{provider}/{account} speaks of a payment at {ours.provider}/{ours.account}"
        return case.conflict("event", reason)
    match notice:
        case AttemptNotice():
            attempt = _named(stored, notice)
            if attempt is None:
                return _on_stranger(case, notice, account)
            return _on_attempt(case, attempt, notice.verdict)
        case ChargeNotice():
            return _on_charge(case, notice)
        case RefundNotice():
            return observe_refund(stored, notice, account, step, rejection_id)
        case DisputeNotice():
            return decide_dispute(stored, notice, account, step, rejection_id)


def _named(stored: Stored, notice: AttemptNotice) -> Attempt | None:
    for attempt in stored.attempts:
        if notice.attempt_id is not None:
            if attempt.attempt_id == notice.attempt_id:
                return attempt
        elif attempt.operation == notice.operation and attempt.provider_reference == notice.reference:
            return attempt
    return None


def _on_stranger(case: _Case, notice: AttemptNotice, account: str) -> Outcome:
    """No attempt of ours: what someone did in the provider's dashboard, or what our own commit has still to bring."""
    came_back = notice.operation == "refund" and isinstance(notice.verdict, Declined | Reversed)
    if came_back and notice.attempt_id is None and notice.reference is not None:
        return observe_refund_failed(case.stored, notice.verdict, notice.reference, account, case.step)
    return NotYet(f"no such {notice.operation} here")


def _on_attempt(case: _Case, attempt: Attempt, said: Verdict) -> Outcome:
    """The published matrix, with a question before anything that contradicts it."""
    verdict = normalised(attempt, said if case.newest is None else case.newest)
    if case.newest is not None and isinstance(verdict, Unknown | NotFound):
        return NotYet("the provider cannot say just now what became of it")
    meaning, wrong = reading(attempt.state, verdict_name(verdict)), mismatch(attempt, verdict)
    if case.newest is None and isinstance(said, Reversed) and attempt.state in ATTEMPT_OPEN:
        # It takes back what was done. Taken as a refusal it would close what the word of its doing then opens again.
        return NotYet(f"it takes back what is {attempt.state}: that it was done comes first")
    if meaning is Reading.LATE_EFFECT and attempt.late_effect:
        return Decided("duplicate_effect")
    if wrong is None and meaning is Reading.SAME:
        if case.newest is not None:
            return Decided("stale")
        return Decided(_nothing_new(attempt, verdict))
    if case.newest is None and (wrong is not None or meaning is not Reading.APPLY):
        return Ask(attempt.attempt_id, wrong or f"{verdict_name(verdict)} of an attempt that is {attempt.state}")
    if meaning is Reading.LATE_EFFECT and not _is_at_rest(case.stored):
        return NotYet(f"a payment that is {case.stored.payment.state}: its own outcome comes first")
    stored = case.stored
    change = settle(stored, attempt.attempt_id, verdict, case.step, case.rejection_id, case.checks)
    if change is None:
        return NotYet(f"a payment that is {stored.payment.state}: another outcome comes first")
    if wrong is not None or meaning is Reading.CONFLICT or not change.transitions:
        return Decided("conflict", change, change.rejections[0].reason)
    return Decided("applied", change, change.rejections[0].reason if change.rejections else None)


def _nothing_new(attempt: Attempt, verdict: Verdict) -> str:
    """What is held already, or an earlier state on the way to it."""
    name = verdict_name(verdict)
    if attempt.state == name:
        return "duplicate_effect"
    ended_alike = {"declined", "failed", "not_found", "reversed"}
    return "duplicate_effect" if {attempt.state, name} <= ended_alike else "stale"


def _is_at_rest(stored: Stored) -> bool:
    return stored.payment.state in FINAL["payment"] or stored.payment.state == "authorized"


def _on_charge(case: _Case, notice: ChargeNotice) -> Outcome:
    verdict = notice.verdict
    if isinstance(verdict, Approved) and verdict.effect == "captured":
        return _on_captured(case, verdict)
    if isinstance(verdict, Approved) and verdict.effect == "voided":
        return _on_voided(case, verdict, expired=notice.expired)
    outcome = _on_attempt(case, case.authorize(), verdict)
    if outcome == Decided("duplicate_effect") and case.stored.payment.state != "authorized":
        overtaken = isinstance(verdict, Approved) and not case.authorize().capture
        return Decided("stale") if overtaken else outcome
    return outcome


def _on_captured(case: _Case, verdict: Approved) -> Outcome:
    """The charge's money was taken, by whomever."""
    payment, authorize = case.stored.payment, case.authorize()
    if payment.state in ("capturing", "canceling"):
        capture = case.open_attempt("capture")
        if capture is not None and capture.amount == verdict.amount:
            return _on_attempt(case, capture, verdict)
        return NotYet(f"a payment that is {payment.state}: its own outcome comes first")
    if payment.state == "authorized":
        return _on_captured_elsewhere(case, verdict)
    if payment.state == "captured":
        if (verdict.amount, verdict.currency) == (payment.amount_captured, payment.currency):
            return Decided("duplicate_effect")
        reason = f"captured {verdict.amount} {verdict.currency}, we hold {payment.amount_captured} {payment.currency}"
        return _against_captured(case, "captured", reason)
    if payment.state in ("canceled", "expired") and authorize.state == "approved":
        if authorize.late_effect:
            return Decided("duplicate_effect")
        if case.newest is None:
            return Ask(authorize.attempt_id, f"captured, of a payment that is {payment.state}")
        if not (isinstance(case.newest, Approved) and case.newest.effect == "captured"):
            return Decided("stale") if isinstance(case.newest, Approved) else NotYet("the provider cannot say just now")
        if wrong := _beyond_the_hold(payment, case.newest):
            return case.conflict("captured", wrong)
        change = late_capture(case.stored, authorize, case.newest, case.step, case.rejection_id)
        return Decided("applied", change, change.rejections[0].reason)
    part = verdict.currency == authorize.currency and verdict.amount < authorize.amount
    if payment.state in CREATE_OPEN and part and not authorize.capture:
        return NotYet("a part of what is not held yet was captured: that it is held comes first")
    return _on_attempt(case, authorize, verdict)


def _on_captured_elsewhere(case: _Case, verdict: Approved) -> Outcome:
    """A hold of ours was captured, and not by us: in the provider's own dashboard."""
    payment, authorize = case.stored.payment, case.authorize()
    if wrong := _beyond_the_hold(payment, verdict):
        if case.newest is None:
            return Ask(authorize.attempt_id, wrong)
        if not isinstance(case.newest, Approved):
            return NotYet("the provider cannot say just now what became of it")
        if case.newest.effect != "captured":
            return Decided("stale")
        if wrong := _beyond_the_hold(payment, case.newest):
            return case.conflict("captured", wrong)
        verdict = case.newest
    change = observe_authorization(case.stored, authorize.attempt_id, verdict, case.step)
    assert change is not None, "captured is news to a payment that is authorized"
    return Decided("applied", change)


def _beyond_the_hold(payment: Payment, verdict: Approved) -> str | None:
    """Why this cannot be money out of our hold, or None where it can."""
    if verdict.currency == payment.currency and verdict.amount <= payment.amount_authorized:
        return None
    return f"captured {verdict.amount} {verdict.currency}, held {payment.amount_authorized} {payment.currency}"


def _against_captured(case: _Case, event: str, reason: str) -> Outcome:
    """An event contradicts what we hold captured: the provider's current word on what captured it decides."""
    payment, newest = case.stored.payment, case.newest
    captured_by = [each for each in case.stored.attempts if each.operation == "capture" and each.state == "approved"]
    if newest is None:
        return Ask((captured_by or [case.authorize()])[0].attempt_id, reason)
    if not isinstance(newest, Approved):
        return NotYet("the provider cannot say just now what became of it")
    ours = ("captured", payment.amount_captured, payment.currency)
    if (newest.effect, newest.amount, newest.currency) == ours:
        return Decided("stale")
    return case.conflict(event, reason)


def _on_voided(case: _Case, verdict: Approved, *, expired: bool) -> Outcome:
    """The hold was released, by whomever."""
    payment, authorize = case.stored.payment, case.authorize()
    match payment.state:
        case "canceling":
            cancel = case.open_attempt("cancel")
            if cancel is None:
                return NotYet("a cancel without its attempt")
            return _on_attempt(case, cancel, replace(verdict, amount=cancel.amount, currency=cancel.currency))
        case "authorized":
            change = observe_authorization(case.stored, authorize.attempt_id, verdict, case.step, expired=expired)
            assert change is not None, "voided is news to a payment that is authorized"
            return Decided("applied", change)
        case "canceled" | "expired" | "declined" | "failed":
            return Decided("duplicate_effect")
        case "capturing":
            return NotYet("a capture is under way: its own outcome comes first")
        case "captured":
            return _against_captured(case, "voided", "the provider calls a charge released that we hold captured")
        case "authorizing" if not authorize.capture:
            # Taken as a refusal it would decline what was held, and then let go of.
            return NotYet("what is not held yet was released: that it was held comes first")
    return _on_attempt(case, authorize, replace(verdict, amount=authorize.amount, currency=authorize.currency))
