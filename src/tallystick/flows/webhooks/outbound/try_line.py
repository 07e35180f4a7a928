"""What one try at a message says: a step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from tallystick.domain.api_keys import KeyKind
from tallystick.domain.snapshot import PaymentSnapshot
from tallystick.domain.subjects import Attempt
from tallystick.flows.webhooks.outbound.client import DeliveryResult
from tallystick.flows.webhooks.outbound.try_results import DELIVERED
from tallystick.kit.log_lines import Line
from tallystick.kit.spans import Spans
from tallystick.kit.steps import Step
from tallystick.record.postgres.outbox import LeasedMessage
from tallystick.record.postgres.reads import Reads

TRIED: Final = Line(
    "message tried",
    "debug",
    "tallystick.flows.webhooks.outbound",
    {
        "merchant_id": "word",
        "endpoint_id": "own",
        "message_id": "own",
        "type": "own",
        "payment_id": "own",
        "subject_id": "own",
        "version": "own",
        "idempotency_key": "text",
        "key_kind": "own",
        "attempt_id": "own",
        "provider_reference": "text",
        "result": "own",
        "status": "own",
        "reason": "text",
        "tries": "own",
        "state": "own",
        "traceparent": "own",
        "duration_ms": "own",
    },
)


class MessageNames(NamedTuple):
    """What a message does not say itself."""

    idempotency_key: str | None = None
    key_kind: KeyKind | None = None
    attempt_id: str | None = None
    provider_reference: str | None = None


UNNAMED: Final = MessageNames()


def names_wanted() -> bool:
    """Whether somebody wants them: they cost one read more of all messages that are sent together."""
    return TRIED.wanted or Spans.tracer is not None


async def names_of(leased: Sequence[LeasedMessage], reads: Reads) -> Mapping[str, MessageNames]:
    """By message. Raises what the database raises."""
    payments = await reads.load_many(sorted({(one.held.queue.merchant_id, one.held.queue.stream_id) for one in leased}))
    found = {}
    for one in leased:
        stored = payments.get((one.held.queue.merchant_id, one.held.queue.stream_id))
        attempt = None if stored is None else _attempt_of(one, stored)
        if stored is not None and attempt is not None:
            reference = attempt.provider_reference or stored.payment.provider_reference
            reference = reference or await _from_history(attempt, reads)
            found[one.message_id] = MessageNames(
                attempt.idempotency_key, attempt.instructed_by, attempt.attempt_id, reference
            )
    return found


def end_try(step: Step, message: LeasedMessage, names: MessageNames, answer: DeliveryResult, state: str) -> None:
    """Say what came of the try."""
    queue = message.held.queue
    step.end(
        queue.merchant_id,
        queue.endpoint_id,
        message.message_id,
        message.type,
        queue.stream_id,
        message.subject_id,
        message.version,
        names.idempotency_key,
        names.key_kind or message.key_kind,
        names.attempt_id,
        names.provider_reference,
        answer.result,
        answer.status,
        answer.hidden or answer.detail,
        message.tries + 1,
        state,
        message.traceparent,
        step.duration_ms,
        failed=answer.result != DELIVERED,
    )


def _attempt_of(message: LeasedMessage, stored: PaymentSnapshot) -> Attempt | None:
    """The attempt of the refund that the message is about; of a payment, its newest that an instruction led to."""
    of_refund = [each for each in stored.attempts if each.refund_id == message.subject_id]
    of_payment = [each for each in stored.attempts if each.refund_id is None and each.idempotency_key is not None]
    found = of_refund or of_payment
    return found[-1] if found else None


async def _from_history(attempt: Attempt, reads: Reads) -> str | None:
    """A charge that was declined has a name too: the history alone keeps it."""
    steps = await reads.history(attempt.merchant_id, attempt.attempt_id)
    return next((step.provider_reference for step in reversed(steps) if step.provider_reference), None)
