"""Decisions on the state of a charge, whatever caused it: our call, the customer, time, or the dashboard. Pure."""

from __future__ import annotations

from typing import Final, assert_never

from msgspec.structs import replace

from tallystick.decisions.late_effects import late_capture, late_money, late_release, observe_authorization
from tallystick.decisions.provider_events.dispositions import Ask, Decided, EventDecision, NotYet
from tallystick.decisions.provider_events.on_attempt import Case, on_attempt
from tallystick.domain.lifecycles.payment import CREATE_OPEN
from tallystick.domain.notices import ChargeNotice
from tallystick.domain.subjects import Payment
from tallystick.domain.verdicts import (
    Approved,
    Declined,
    KeyTaken,
    NotFound,
    NotSent,
    Pending,
    RequiresAction,
    Reversed,
    Unknown,
)

#: Payment states in which the provider has no money of it, by our ledger.
_CLOSED: Final = frozenset({"declined", "failed", "canceled", "expired"})


def on_charge(case: Case, notice: ChargeNotice) -> EventDecision:
    """The charge's state is the outcome of the attempt that caused it, if one of ours did."""
    verdict = notice.verdict
    if isinstance(verdict, Approved) and verdict.effect == "captured":
        return _on_captured(case, verdict)
    if isinstance(verdict, Approved) and verdict.effect == "voided":
        return _on_voided(case, verdict, expired=notice.expired)
    outcome = on_attempt(case, case.authorize(), verdict)
    if outcome == Decided("duplicate_effect") and case.stored.payment.state != "authorized":
        overtaken = isinstance(verdict, Approved) and not case.authorize().capture
        return Decided("stale") if overtaken else outcome
    return outcome


def _on_captured(case: Case, verdict: Approved) -> EventDecision:
    """The charge was captured, by us or in the dashboard."""
    payment, authorize = case.stored.payment, case.authorize()
    if payment.state in ("capturing", "canceling"):
        capture = case.open_attempt("capture")
        if capture is not None and capture.amount == verdict.amount:
            return on_attempt(case, capture, verdict)
        return NotYet(f"a payment that is {payment.state}: its own outcome comes first")
    if payment.state == "authorized":
        return _on_captured_elsewhere(case, verdict)
    if payment.state == "captured":
        if (verdict.amount, verdict.currency) == (payment.amount_captured, payment.currency):
            return Decided("duplicate_effect")
        reason = f"captured {verdict.amount} {verdict.currency}, we have {payment.amount_captured} {payment.currency}"
        return _against_captured(case, "captured", reason)
    if payment.state in _CLOSED:
        return _on_late_capture(case)
    part = verdict.currency == authorize.currency and verdict.amount < authorize.amount
    if payment.state in CREATE_OPEN and part and not authorize.capture:
        return NotYet("a part of the authorization was captured: the authorization comes first")
    return on_attempt(case, authorize, verdict)


def _on_late_capture(case: Case) -> EventDecision:
    """Captured money of a charge that is closed here: if the provider confirms it, it goes to suspense, once."""
    payment, authorize, newest = case.stored.payment, case.authorize(), case.newest
    if late_money(case.stored):
        return Decided("duplicate_effect")
    if newest is None:
        return Ask(authorize.attempt_id, f"captured, of a payment that is {payment.state}")
    match newest:
        case Approved(effect="captured") if newest.currency == payment.currency and newest.amount <= payment.amount:
            change = late_capture(case.stored, authorize, newest, case.cause, case.rejection_id)
            return Decided("applied", change, change.rejections[0].reason)
        case Approved(effect="voided") | Declined() | Reversed():
            return Decided("stale")
        case Approved():
            reason = f"a payment that is {payment.state}: {newest.effect} {newest.amount} {newest.currency}"
            return case.conflict("captured", reason)
        case Pending() | RequiresAction() | Unknown() | NotFound() | NotSent() | KeyTaken():
            return NotYet("the provider cannot report its outcome now")
        case _:
            assert_never(newest)


def _on_captured_elsewhere(case: Case, verdict: Approved) -> EventDecision:
    """A hold of ours was captured in the provider's own dashboard."""
    payment, authorize = case.stored.payment, case.authorize()
    if wrong := _beyond_the_hold(payment, verdict):
        if case.newest is None:
            return Ask(authorize.attempt_id, wrong)
        if not isinstance(case.newest, Approved):
            return NotYet("the provider cannot report its outcome now")
        if case.newest.effect != "captured":
            return Decided("stale")
        if wrong := _beyond_the_hold(payment, case.newest):
            return case.conflict("captured", wrong)
        verdict = case.newest
    change = observe_authorization(case.stored, authorize.attempt_id, verdict, case.cause)
    assert change is not None, "captured changes a payment that is authorized"
    return Decided("applied", change)


def _beyond_the_hold(payment: Payment, verdict: Approved) -> str | None:
    """Why this cannot be money of our hold, or None if it can."""
    if verdict.currency == payment.currency and verdict.amount <= payment.amount_authorized:
        return None
    return f"captured {verdict.amount} {verdict.currency}, held {payment.amount_authorized} {payment.currency}"


def _against_captured(case: Case, event: str, reason: str) -> EventDecision:
    """An event contradicts a captured payment: the provider's current answer about the capture decides."""
    payment, newest = case.stored.payment, case.newest
    captured_by = [each for each in case.stored.attempts if each.operation == "capture" and each.state == "approved"]
    if newest is None:
        return Ask((captured_by or [case.authorize()])[0].attempt_id, reason)
    if not isinstance(newest, Approved):
        return NotYet("the provider cannot report its outcome now")
    ours = ("captured", payment.amount_captured, payment.currency)
    if (newest.effect, newest.amount, newest.currency) == ours:
        return Decided("stale")
    return case.conflict(event, reason)


def _on_voided(case: Case, verdict: Approved, *, expired: bool) -> EventDecision:
    """The hold was released, by us or otherwise."""
    payment, authorize = case.stored.payment, case.authorize()
    match payment.state:
        case "canceling":
            cancel = case.open_attempt("cancel")
            if cancel is None:
                return NotYet("a cancel without its attempt")
            return on_attempt(case, cancel, replace(verdict, amount=cancel.amount, currency=cancel.currency))
        case "authorized":
            change = observe_authorization(case.stored, authorize.attempt_id, verdict, case.cause, expired=expired)
            assert change is not None, "voided changes a payment that is authorized"
            return Decided("applied", change)
        case "canceled" | "expired" | "declined" | "failed":
            released = late_release(case.stored, case.cause)
            return Decided("duplicate_effect") if released is None else Decided("applied", released)
        case "capturing":
            return NotYet("a capture is under way: its own outcome comes first")
        case "captured":
            return _against_captured(case, "voided", "the provider reports a charge released that is captured here")
        case "authorizing" if not authorize.capture:
            # Treated as a refusal it would decline a payment that was held and then released.
            return NotYet("the authorization was released: that it was held comes first")
        case "authorizing" | "requires_action":
            return on_attempt(case, authorize, replace(verdict, amount=authorize.amount, currency=authorize.currency))
        case _:
            assert_never(payment.state)
