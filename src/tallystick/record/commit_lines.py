"""What a commit says: a step, and the end of an instruction that was answered before it was final."""

from __future__ import annotations

import asyncio
from typing import Final, TypeVar, assert_never

from tallystick.domain.change import Change, RecordedResponse, Transition
from tallystick.domain.subjects import Attempt, Payment, Refund
from tallystick.kit.log_lines import Line
from tallystick.kit.steps import Step, awaited, known_names

Result = TypeVar("Result")

_COMPONENT: Final = "tallystick.record.journal"

#: One change on its way into the record, whatever comes of it.
COMMITTED: Final = Line(
    "change committed",
    "debug",
    _COMPONENT,
    {
        "result": "own",  # fresh, existing, stale, or the error
        "change_id": "own",
        "merchant_id": "word",
        "payment_id": "own",
        "idempotency_key": "text",
        "key_kind": "own",
        "attempt_id": "own",
        "provider_reference": "text",
        "cause": "own",
        "subject_id": "own",
        "from_state": "own",
        "state": "own",
        "version": "own",
        "provider_event_id": "text",
        "event_state": "own",
        "traceparent": "own",
        "duration_ms": "own",
    },
)

#: The end of an instruction that was answered 202: by recovery, an event, or an operator.
FINISHED: Final = Line(
    "instruction finished",
    "info",
    _COMPONENT,
    {
        "merchant_id": "word",
        "payment_id": "own",
        "refund_id": "own",
        "idempotency_key": "text",
        "key_kind": "own",
        "attempt_id": "own",
        "provider": "word",
        "account": "word",
        "provider_reference": "text",
        "status": "own",
        "cause": "own",
        "actor": "word",
        "from_state": "own",
        "state": "own",
        "version": "own",
        "amount": "own",
        "currency": "own",
        "money": "own",
        "change_id": "own",
        "traceparent": "own",
    },
)


def ends_another(change: Change) -> bool:
    """Whether it answers an instruction for good that was answered 202 before, or whose request is gone, and a line is
    wanted of that: whoever asked for it here has a line of its own."""
    if change.claim is not None or not change.responses or not FINISHED.wanted:
        return False
    request = awaited()
    return (
        len(change.responses) > 1 or request is None or change.responses[0].idempotency_key != request.idempotency_key
    )


def _others_ended(change: Change) -> list[RecordedResponse]:
    request = awaited()
    own = None if request is None else request.idempotency_key
    return [response for response in change.responses if response.idempotency_key != own]


async def reported(change: Change, step: Step | None, committed: asyncio.Future[Result]) -> Result:
    """What comes of the commit, once its line is said."""
    try:
        result = await committed
    except BaseException as error:
        if step is not None:
            _end(step, change, type(error).__name__, failed=True)
        raise
    name = type(result).__name__.lower()
    if step is not None:
        _end(step, change, name)
    if name == "fresh" and change.claim is None:
        for response in _others_ended(change):
            _say_finished(change, response)
    return result


def money_of(attempt: Attempt) -> str:
    """What is known of the money of one attempt: ``held``, ``moved``, ``released``, ``pending``, ``in_doubt`` or
    ``none``."""
    match attempt.state:
        case "approved" if attempt.operation == "cancel":
            return "released"
        case "approved" if attempt.operation == "authorize" and not attempt.capture:
            return "held"
        case "approved":
            return "moved"
        case "pending" | "requires_action":
            return "pending"
        case "declined" | "failed" | "reversed":
            return "none"
        case "submitted" | "unknown" | "not_sent" | "not_found":  # the last two may yet be sent again
            return "in_doubt"
        case _:
            assert_never(attempt.state)


def _end(step: Step, change: Change, result: str, *, failed: bool = False) -> None:
    attempt = change.one(Attempt)
    acknowledged = change.acknowledgements[0] if change.acknowledgements else None
    first, known = _first_of(change), known_names()
    step.end(
        result,
        change.change_id,
        change.merchant_id or known.get("merchant_id"),
        change.stream_id or known.get("payment_id"),
        _key_of(change, attempt) or known.get("idempotency_key"),
        change.key_kind or known.get("key_kind"),
        attempt.attempt_id if attempt is not None else known.get("attempt_id"),
        _reference_of(change, attempt) or known.get("provider_reference"),
        first and first.cause,
        first and first.subject_id,
        first and first.from_state,
        first and first.to_state,
        first and first.version,
        acknowledged and acknowledged.provider_event_id,
        acknowledged and acknowledged.state,
        attempt and attempt.traceparent,
        step.duration_ms,
        failed=failed,
    )


def _first_of(change: Change) -> Transition | None:
    """The step of its payment or refund; of an attempt where it moves nothing else."""
    moved = [step for step in change.transitions if step.subject != "attempt"]
    return moved[0] if moved else change.transitions[0] if change.transitions else None


def _key_of(change: Change, attempt: Attempt | None) -> str | None:
    if change.claim is not None:
        return change.claim.idempotency_key
    if attempt is not None and attempt.idempotency_key is not None:
        return attempt.idempotency_key
    return change.responses[0].idempotency_key if change.responses else None


def _reference_of(change: Change, attempt: Attempt | None) -> str | None:
    """A charge that was declined has a name too: its step alone keeps it."""
    if attempt is not None and attempt.provider_reference is not None:
        return attempt.provider_reference
    for step in change.transitions:
        if step.provider_reference is not None:
            return step.provider_reference
    payment = change.one(Payment)
    return None if payment is None else payment.provider_reference


def _say_finished(change: Change, response: RecordedResponse) -> None:
    refund, first = change.one(Refund), _first_of(change)
    mine = [each for each in change.every(Attempt) if each.idempotency_key == response.idempotency_key]
    attempt = mine[0] if mine else None
    FINISHED.say(
        change.merchant_id,
        change.stream_id,
        refund and refund.refund_id,
        response.idempotency_key,
        change.key_kind,
        attempt and attempt.attempt_id,
        attempt and attempt.provider,
        attempt and attempt.account,
        _reference_of(change, attempt),
        response.status,
        first and first.cause,
        first and first.actor,
        first and first.from_state,
        first and first.to_state,
        first and first.version,
        attempt and attempt.amount,
        attempt and attempt.currency,
        attempt and money_of(attempt),
        change.change_id,
        attempt and attempt.traceparent,
    )
