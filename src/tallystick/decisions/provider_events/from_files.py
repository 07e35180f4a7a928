"""What a settlement file tells is asked about first, where its provider can be: the provider's word decides. Pure.

A row does not say which call of ours it is about, as a webhook does. So while a refund of ours has no outcome, a refund
that only a file knows may be that one: its outcome comes first.
"""

from __future__ import annotations

from typing import Final, assert_never

from msgspec.structs import replace

from tallystick.decisions.provider_events.dispositions import Ask, NotYet
from tallystick.domain.lifecycles.attempt import ATTEMPT_OPEN
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
from tallystick.domain.subjects import Attempt, Operation
from tallystick.domain.verdicts import Approved, NotFound, NotSent, Pending, RequiresAction, Unknown, Verdict
from tallystick.kit.ids import derived_id

#: Answers that say no outcome.
_UNDECIDED: Final = (Unknown, NotFound, NotSent, Pending, RequiresAction)

_NO_WORD: Final = "the provider cannot report its outcome now"


def as_told(
    stored: PaymentSnapshot, notice: Notice, account: str, newest: Verdict | None, *, can_look_up: bool
) -> Notice | Ask | NotYet:
    """The notice as it is decided; or what has to be asked first, or has to come first. ``newest``: what the provider
    answered."""
    match notice:
        case ChargeNotice() if can_look_up:
            return _by_look_up(notice, _authorize(stored), newest)
        case CaptureNotice() if (sale := _authorize(stored)).capture:  # it is captured once, and by itself
            verdict = replace(notice.as_verdict(), reference=sale.provider_reference)
            return as_told(stored, ChargeNotice(verdict=verdict), sale.account, newest, can_look_up=can_look_up)
        case CaptureNotice() if _unnamed(stored, "capture", notice.amount, notice.currency):
            return NotYet("a capture of ours of this amount has no name, and this may be it")
        case RefundNotice():
            return _refund(stored, notice, newest, can_look_up=can_look_up)
        case AttemptNotice():
            attempt = next((each for each in stored.attempts if each.attempt_id == notice.attempt_id), None)
            is_open = attempt is not None and attempt.state in ATTEMPT_OPEN
            return _by_look_up(notice, attempt, newest) if attempt is not None and is_open and can_look_up else notice
        case DisputeNotice():
            return _dispute(stored, notice, account)
        case ChargeNotice() | CaptureNotice() | CancelOrRefundNotice() | UnknownNotice():
            return notice
        case _:
            assert_never(notice)


def _authorize(stored: PaymentSnapshot) -> Attempt:
    return next(each for each in stored.attempts if each.operation == "authorize")


def _by_look_up(
    notice: ChargeNotice | AttemptNotice, attempt: Attempt, newest: Verdict | None
) -> Notice | Ask | NotYet:
    if newest is None:
        return Ask(attempt.attempt_id, "a settlement file tells of it, and the provider can be asked")
    return NotYet(_NO_WORD) if isinstance(newest, _UNDECIDED) else replace(notice, verdict=newest)


def _refund(
    stored: PaymentSnapshot, notice: RefundNotice, newest: Verdict | None, *, can_look_up: bool
) -> Notice | Ask | NotYet:
    """It may be one of ours, of which the answer was lost."""
    ours = [each for each in stored.attempts if each.operation == "refund" and each.state in ATTEMPT_OPEN]
    named = next((each for each in ours if each.provider_reference == notice.reference), None)
    if named is not None:
        return _by_look_up(_outcome(notice, named), named, newest) if can_look_up else _outcome(notice, named)
    nameless = [each for each in ours if each.provider_reference is None]
    if not nameless:
        return _of_unnamed(stored, notice, newest, can_look_up=can_look_up)
    first = nameless[0]
    if can_look_up and newest is None:
        return Ask(first.attempt_id, "it may be a refund of ours whose answer was lost")
    if isinstance(newest, Approved) and newest.reference == notice.reference:
        return replace(_outcome(notice, first), verdict=newest)
    return NotYet("a refund of ours has no outcome yet, and this may be it")


def _unnamed(stored: PaymentSnapshot, operation: Operation, amount: int, currency: str) -> list[Attempt]:
    """Calls of ours of this amount that a person said were executed, without the provider's name for them."""
    return [
        each
        for each in stored.attempts
        if (each.operation, each.state, each.provider_reference) == (operation, "approved", None)
        and (each.amount, each.currency) == (amount, currency)
    ]


def _of_unnamed(
    stored: PaymentSnapshot, notice: RefundNotice, newest: Verdict | None, *, can_look_up: bool
) -> Notice | Ask | NotYet:
    """It may be one of ours that was executed under a name that nobody told."""
    unnamed = _unnamed(stored, "refund", notice.amount, notice.currency)
    if not unnamed:
        return notice
    first = unnamed[0]
    if can_look_up and newest is None:
        return Ask(first.attempt_id, "it may be a refund of ours that has no name")
    if isinstance(newest, Approved) and newest.reference == notice.reference:
        return replace(_outcome(notice, first), verdict=newest)
    if isinstance(newest, Approved) and newest.reference is not None and len(unnamed) == 1:
        return notice
    return NotYet("a refund of ours of this amount has no name, and this may be it")


def _outcome(notice: RefundNotice, attempt: Attempt) -> AttemptNotice:
    """The refund as the outcome of our own call."""
    verdict = notice.as_verdict()
    return AttemptNotice(operation="refund", attempt_id=attempt.attempt_id, reference=notice.reference, verdict=verdict)


def _dispute(stored: PaymentSnapshot, notice: DisputeNotice, account: str) -> Notice:
    """Of the movements of a dispute the first one alone belongs to its course, where their names do not say it of each:
    such a notice says nothing of ``funds``."""
    dispute_id = derived_id("dp", stored.payment.provider, account, notice.reference)
    known = next((each for each in stored.disputes if each.dispute_id == dispute_id), None)
    if known is None or not known.movements or notice.funds is not None:
        return notice
    later = tuple(replace(each, before_verdict=False) for each in notice.movements or ())
    return replace(notice, movements=later)
