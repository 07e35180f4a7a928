"""Decisions on a provider's event. Pure.

The event may be late, early, repeated, overtaken or wrong: the stored state decides, by the published matrix and the
lifecycles, never a clock. An event that contradicts the record is not believed at once: the provider is asked for its
current state first (``Ask``), and that answer decides.
"""

from __future__ import annotations

from typing import assert_never

from tallystick.decisions.change_builder import Cause
from tallystick.decisions.provider_events.cancel_or_refund import observe_cancel_or_refund
from tallystick.decisions.provider_events.captures import observe_capture, observe_capture_failed
from tallystick.decisions.provider_events.dashboard_refunds import observe_refund, observe_refund_failed
from tallystick.decisions.provider_events.dispositions import Decided, EventDecision, NotYet
from tallystick.decisions.provider_events.disputes import decide_dispute
from tallystick.decisions.provider_events.on_attempt import Case, on_attempt
from tallystick.decisions.provider_events.on_charge import on_charge
from tallystick.decisions.terms import Checks
from tallystick.domain.notices import (
    AttemptNotice,
    CancelOrRefundNotice,
    CaptureNotice,
    ChargeNotice,
    DisputeNotice,
    Notice,
    RefundNotice,
    UnknownNotice,
)
from tallystick.domain.snapshot import PaymentSnapshot
from tallystick.domain.subjects import Attempt
from tallystick.domain.verdicts import Approved, Declined, Reversed, Verdict


def decide_notice(
    stored: PaymentSnapshot,
    notice: Notice | None,
    *,
    provider: str,
    account: str,
    cause: Cause,
    rejection_id: str,
    checks: Checks,
    charge: str | None = None,
    newest: Verdict | None = None,
    unsettled_ms: int = 0,
) -> EventDecision:
    """What an event comes to. ``charge`` is the provider's name for the charge that it is about, where it has one;
    ``newest`` is the provider's current word, once it was asked for. ``unsettled_ms``: until the settling time of the
    event has passed."""
    case = Case(
        stored=stored, cause=cause, rejection_id=rejection_id, checks=checks, newest=newest, unsettled_ms=unsettled_ms
    )
    if notice is None:
        return Decided("unknown_type")
    if isinstance(notice, UnknownNotice):
        return case.conflict("event", unknown_money(notice), "unknown_to_us")
    attempt = _named(stored, notice) if isinstance(notice, AttemptNotice) else None
    ours = attempt or case.authorize()
    if (provider, account) != (ours.provider, ours.account):
        reason = f"{provider}/{account} sent an event of a payment at {ours.provider}/{ours.account}"
        return case.conflict("event", reason, "malformed")
    known = stored.payment.provider_reference
    if charge is not None and known is not None and charge != known and not isinstance(notice, AttemptNotice):
        return _on_other_charge(case, notice, charge)
    match notice:
        case AttemptNotice():
            return _on_stranger(case, notice, account) if attempt is None else _on_call(case, attempt, notice.verdict)
        case ChargeNotice():
            return on_charge(case, notice)
        case CaptureNotice():
            return observe_capture(case, notice)
        case CancelOrRefundNotice():
            return observe_cancel_or_refund(case, notice, account)
        case RefundNotice():
            return observe_refund(stored, notice, account, cause, rejection_id)
        case DisputeNotice():
            return decide_dispute(stored, notice, account, cause, rejection_id)
        case _:
            assert_never(notice)


def unknown_money(notice: UnknownNotice) -> str:
    """Why a person must look at an event of a code that nobody here knows."""
    return f"an unknown event {notice.code} says that {notice.value} {notice.currency} (in its own unit) moved"


def _on_other_charge(case: Case, notice: Notice, charge: str) -> EventDecision:
    """It names our payment and is about another charge, most likely left by a lost answer. A charge that moved no money
    is stale; one that did needs a person."""
    idle = isinstance(notice, ChargeNotice) and not (
        isinstance(notice.verdict, Approved) and notice.verdict.effect in ("authorized", "captured")
    )
    reason = f"it is about charge {charge}, and the payment's own is {case.stored.payment.provider_reference}"
    return Decided("stale", reason=reason) if idle else case.conflict("event", reason, "unknown_to_us")


def _named(stored: PaymentSnapshot, notice: AttemptNotice) -> Attempt | None:
    """The call that a notice is about: by our own id, else by the provider's reference."""
    if notice.attempt_id is not None:
        return next((each for each in stored.attempts if each.attempt_id == notice.attempt_id), None)
    if notice.reference is None:
        return None
    name = (notice.operation, notice.reference)
    return next((each for each in stored.attempts if (each.operation, each.provider_reference) == name), None)


def _on_call(case: Case, attempt: Attempt, verdict: Verdict) -> EventDecision:
    if _is_about_the_charge(attempt, verdict):
        return on_charge(case, ChargeNotice(verdict=verdict))
    if _is_another_effect(attempt, verdict):
        reason = f"{verdict.reference} is a second {attempt.operation} by the same call, and ours is "
        return case.conflict("approved", f"{reason}{attempt.provider_reference}")
    return on_attempt(case, attempt, verdict)


def _is_another_effect(attempt: Attempt, verdict: Verdict) -> bool:
    """Whether the provider executed one call twice: the same call under another reference of the provider. The record
    shows one effect, and the customer was charged twice. Captures and releases are excluded: they are reported both
    by the charge's reference and by their own."""
    names = (attempt.provider_reference, verdict.reference)
    return (
        attempt.operation in ("authorize", "refund")
        and attempt.state == "approved"
        and isinstance(verdict, Approved)
        and verdict.effect != "voided"
        and None not in names
        and names[0] != names[1]
    )


def _is_about_the_charge(attempt: Attempt, verdict: Verdict) -> bool:
    """Whether a closed authorization is reported as captured or voided: then the notice is about its charge, not about
    our call."""
    if attempt.operation != "authorize" or not isinstance(verdict, Approved):
        return False
    if verdict.effect not in ("captured", "voided"):
        return False
    return attempt.state in ("declined", "failed") or (attempt.state == "approved" and not attempt.capture)


def _on_stranger(case: Case, notice: AttemptNotice, account: str) -> EventDecision:
    """No attempt of ours: what someone did in the provider's dashboard, or what our own commit has still to bring."""
    came_back = isinstance(notice.verdict, Declined | Reversed) and notice.attempt_id is None
    if came_back and notice.operation == "capture" and notice.reference is not None:
        return observe_capture_failed(case, notice.verdict, notice.reference)
    if came_back and notice.operation == "refund" and notice.reference is not None:
        return observe_refund_failed(case.stored, notice.verdict, notice.reference, account, case.cause)
    return NotYet(f"no such {notice.operation} here")
