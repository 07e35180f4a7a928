"""A rejected case is processed again: what was refused is decided once more on the state as it is now.

There is no way around the guards: a provider's event goes through the decisions of every event, an answer through those
of every answer. What they accept is committed whole, together with the end of the case. What they refuse again is a
step of the case, and no second rejection.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from tallystick.decisions import rejected_cases
from tallystick.decisions.change_builder import Cause
from tallystick.decisions.provider_events.dispositions import Decided, NotYet
from tallystick.decisions.verdicts import apply_verdict
from tallystick.domain.change import Acknowledgement, Change
from tallystick.domain.errors import Overloaded, TallystickError
from tallystick.domain.operator_act import AskedAct, OperatorAct
from tallystick.domain.provider_event_state import TryResult
from tallystick.domain.rejected_case import RejectedCase
from tallystick.domain.snapshot import PaymentSnapshot
from tallystick.domain.verdicts import KeyTaken, NotSent, Unknown
from tallystick.flows.payments.attempts import look_up, report_rejections
from tallystick.flows.payments.kept_answers import AnswerKept
from tallystick.flows.rejections.cases import RACES, cause_of, find, of_case
from tallystick.flows.runtime import Runtime
from tallystick.flows.webhooks.inbound.deciding import Deciding
from tallystick.kit.ids import new_id, sibling_id
from tallystick.record.journal import Fresh
from tallystick.record.postgres.inbox_rows import LeasedEvent

#: Answers that decide nothing: nobody was asked, or nobody knows.
_UNDECIDED: Final = (Unknown, NotSent, KeyTaken)


class NotReprocessable(TallystickError):
    """The case cannot be processed again now: nothing was written."""


class _Outcome(Struct, frozen=True, kw_only=True):
    """What the guards said. ``change``: what they accept; None where the record says it already (``agrees``), or where
    they refuse it for ``refused``."""

    disposition: TryResult
    change: Change | None = None
    refused: str | None = None
    event: LeasedEvent | None = None


async def reprocess(runtime: Runtime, asked: AskedAct) -> OperatorAct:
    """Process the case's event or answer again. Raises NoSuchCase, CaseResolved, NotReprocessable and Overloaded."""
    change_id, started_at = new_id("chg"), runtime.clock.now()
    for _ in range(RACES):
        case = await find(runtime.stores.cases, asked.target)
        rejected_cases.require_unresolved(case)
        cause = cause_of(runtime, asked, change_id)
        stored = await _loaded(runtime, case)
        try:
            outcome = await _decided(runtime, case, stored, cause)
        except NotReprocessable:
            if (await find(runtime.stores.cases, asked.target)).version == case.version:
                raise
            continue  # somebody else did something about the case since it was read: what it is now says more
        if outcome.change is None and (await _loaded(runtime, case)).versions != stored.versions:
            continue  # it was read while a change was written, and no guard would refuse what writes nothing
        change = _change(case, outcome, cause)
        if outcome.event is not None:
            ack = _acknowledged(runtime, asked, outcome.event, outcome, change_id, started_at)
            change = replace(change, acknowledgements=(ack,))
        change = of_case(asked, change, case, cause, came_to=_came_to(outcome), refused=outcome.refused)
        if isinstance(await runtime.journal.commit(change), Fresh) and change.act is not None:
            report_rejections(change, case_id=case.case_id)
            return change.act
    raise Overloaded("the payment is changed by too many others")


async def _loaded(runtime: Runtime, case: RejectedCase) -> PaymentSnapshot:
    loaded = await runtime.reads.load(case.merchant_id, case.from_stream_id)
    if loaded is None:
        raise NotReprocessable(f"case {case.case_id} is about no payment")
    return loaded.stored


async def _decided(runtime: Runtime, case: RejectedCase, stored: PaymentSnapshot, cause: Cause) -> _Outcome:
    if case.event_id is not None:
        return await _event_again(runtime, case, case.event_id, stored, cause)
    if case.subject == "attempt":
        return await _answer_again(runtime, case, stored, cause)
    raise NotReprocessable(
        f"case {case.case_id} came from {case.tried_by}, and not from a provider's event or an attempt: there is"
        " nothing to process again. Do what it needs, and ignore it"
    )


async def _event_again(
    runtime: Runtime, case: RejectedCase, event_id: str, stored: PaymentSnapshot, cause: Cause
) -> _Outcome:
    event = await runtime.stores.cases.event_to_decide(event_id)
    if event is None:
        raise NotReprocessable(f"event {event_id} is being processed, or is not here")
    decided = await Deciding(runtime).decided_again(event, stored, cause)
    if isinstance(decided, NotYet):
        raise NotReprocessable(f"event {event_id} cannot be decided now: {decided.reason}")
    return _outcome_of_event(decided, event)


def _outcome_of_event(decided: Decided, event: LeasedEvent) -> _Outcome:
    change = decided.change
    if change is None:
        return _Outcome(disposition=decided.disposition, event=event)
    if not change.transitions:
        return _Outcome(disposition=decided.disposition, refused=decided.reason, event=event)
    return _Outcome(disposition=decided.disposition, change=change, event=event)


async def _answer_again(runtime: Runtime, case: RejectedCase, stored: PaymentSnapshot, cause: Cause) -> _Outcome:
    """The provider is asked for the attempt's current state."""
    attempt = stored.attempt(case.subject_id)
    verdict, heard = await look_up(runtime, stored.payment, attempt)
    if isinstance(verdict, _UNDECIDED):
        raise NotReprocessable(f"the provider of attempt {attempt.attempt_id} cannot say now what became of it")
    verdict = runtime.actions.verdict(verdict, stored.payment.merchant_id, stored.payment.payment_id)
    checks = runtime.checks(attempt.provider, learned_late=True)
    rejection_id = sibling_id("rej", cause.change_id)
    change = apply_verdict(
        stored, attempt.attempt_id, verdict, cause, rejection_id, checks, submissions=attempt.submissions
    )
    if change is None:
        return _Outcome(disposition="duplicate_effect")
    if not change.transitions:
        return _Outcome(disposition="conflict", refused=change.rejections[0].reason)
    kept = AnswerKept(runtime, attempt, heard, "lookup")
    return _Outcome(disposition="applied", change=await kept.beside(change, verdict, cause.at))


def _change(case: RejectedCase, outcome: _Outcome, cause: Cause) -> Change:
    if outcome.change is not None:
        ended = rejected_cases.reprocessed(case, cause)
        return replace(outcome.change, beside=(*outcome.change.beside, ended), must_not_be_shed=True)
    if outcome.refused is not None:
        return rejected_cases.rejected_again(case, cause)
    return rejected_cases.settled(case, "agrees", "person", cause)


def _came_to(outcome: _Outcome) -> str:
    if outcome.change is not None:
        return "accepted"
    return "refused" if outcome.refused is not None else "agrees"


def _acknowledged(
    runtime: Runtime, asked: AskedAct, event: LeasedEvent, outcome: _Outcome, change_id: str, started_at: datetime
) -> Acknowledgement:
    """The try in the event's own story. The event itself is closed, and stays as it is."""
    return Acknowledgement(
        provider=event.provider,
        account=event.account,
        provider_event_id=event.provider_event_id,
        try_id=sibling_id("try", change_id),
        number=event.tries + 1,
        started_at=started_at,
        ended_at=runtime.clock.now(),
        result=outcome.disposition,
        state=outcome.disposition,
        detail=outcome.refused,
        change_id=None if outcome.change is None else change_id,
        actor=asked.operator,
    )
