"""What must be true: at most one effect per instruction that is not in suspense with an alert, and no final answer that
was already false when it was given. What happens later is suspense with an alert."""

from __future__ import annotations

from typing import Final

from tallystick.domain.lifecycles.attempt import ATTEMPT_OPEN
from tests.guarantees.small_model.decided import Decided, Step, operation_of
from tests.guarantees.small_model.providers import charge_of
from tests.guarantees.small_model.states import NOTHING, Event, State

#: The states in which an answer says that its instruction was carried out.
_CARRIED_OUT: Final = {
    "authorize": ("authorized", "captured"),
    "capture": ("captured",),
    "cancel": ("canceled", "expired"),
    "refund": ("succeeded",),
}


def committed(state: State, step: Step, decided: Decided) -> State:
    """The record after a change, and whether an answer of it was false when it was given."""
    if not step.fresh:
        return state
    record = state.record._replace(stored=step.after, answers=tuple(sorted((*state.record.answers, *step.answers))))
    after = state._replace(record=record, alerts=tuple(sorted({*state.alerts, *step.alerts})))
    for instruction, answer in step.answers:
        if answer != "refused" and (false := _falsehood(after, instruction, answer, decided)):
            after = after._replace(fault=false)
    return after


def _falsehood(state: State, instruction: str, answer: str, decided: Decided) -> str | None:
    """Why an answer is not true now."""
    operation = operation_of(instruction)
    effects = state.effects(instruction)
    says_done = answer in _CARRIED_OUT[operation]
    if says_done and operation in ("capture", "cancel"):
        payment = decided.snapshot(state.record.stored).payment
        charge = charge_of(state.books, payment.provider_reference)
        there = "nothing" if charge is None else charge.outcome
        wanted = "captured" if operation == "capture" else "voided"
        return None if there == wanted else f"final answer {answer} to {instruction}, and the charge is {there}"
    if says_done == bool(effects):
        return None
    did = "carried it out" if effects else "did nothing"
    return f"final answer {answer} to {instruction}, and the provider {did}"


def checked(state: State, decided: Decided) -> State:
    """The state with its fault, if it has one."""
    if state.fault is not None or len(state.books) < 2:
        return state
    for instruction in {each.instruction for each in state.books}:
        effects = len(state.effects(instruction))
        if effects > 1 and effects - _in_suspense(state, instruction, decided) > 1:
            return state._replace(fault=f"{effects} effects of {instruction}")
    return state


def _in_suspense(state: State, instruction: str, decided: Decided) -> int:
    """How many effects of an instruction are in suspense, with an alert."""
    if state.record.stored == NOTHING or not state.alerts:
        return 0
    stored = decided.snapshot(state.record.stored)
    if operation_of(instruction) == "refund":
        return sum(each.amount_late > 0 for each in stored.refunds)
    return stored.payment.amount_late // stored.payment.amount


def after_event(state: State, event: Event, disposition: str, decided: Decided) -> State:
    """An effect that a webhook told must be in the record: as money, in suspense with an alert, or still to be found
    out by recovery."""
    if state.fault is not None or not any(each.attempt == event.attempt for each in state.effects(event.instruction)):
        return state
    if _is_accounted(state, event, decided):
        return state
    return state._replace(fault=f"a webhook told an effect of {event.instruction}: {disposition}, and it is nowhere")


def _is_accounted(state: State, event: Event, decided: Decided) -> bool:
    stored = decided.snapshot(state.record.stored)
    attempt = stored.attempt(event.attempt)
    if attempt.state in ATTEMPT_OPEN or attempt.state == "approved":
        return True
    payment = stored.payment
    if operation_of(event.instruction) == "refund":
        late = stored.refund(attempt.refund_id).amount_late > 0
    else:
        late = payment.amount_late > 0 or payment.amount_authorized > 0 or payment.state == "canceled"
    return (late and bool(state.alerts)) or payment.state == "captured" == operation_of(event.instruction)


def unfinished(state: State, decided: Decided) -> str | None:
    """Why a state from which nothing leads on is no end: an instruction without an answer that no person has."""
    if state.record.stored == NOTHING:
        return None
    answered = {name for name, _ in state.record.answers}
    for attempt in decided.snapshot(state.record.stored).attempts:
        if attempt.idempotency_key is None or attempt.idempotency_key in answered:
            continue
        if not (attempt.schedule.parked and state.alerts):
            return f"{attempt.idempotency_key} has no answer, and nobody looks at it"
    return None
