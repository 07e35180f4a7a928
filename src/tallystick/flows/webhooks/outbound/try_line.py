"""What one try at a message says: a step."""

from __future__ import annotations

from typing import Final

from tallystick.domain.snapshot import PaymentSnapshot
from tallystick.domain.subjects import Attempt
from tallystick.flows.webhooks.outbound.client import DeliveryResult
from tallystick.flows.webhooks.outbound.try_results import DELIVERED
from tallystick.kit.log_lines import Line
from tallystick.kit.steps import Step
from tallystick.record.postgres.outbox import LeasedMessage

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


def end_try(
    step: Step, message: LeasedMessage, stored: PaymentSnapshot | None, answer: DeliveryResult, state: str
) -> None:
    """Say what came of the try. ``stored``: the payment of the message, as it is now."""
    queue, attempt = message.held.queue, _attempt_of(message, stored)
    step.end(
        queue.merchant_id,
        queue.endpoint_id,
        message.message_id,
        message.type,
        queue.stream_id,
        message.subject_id,
        message.version,
        attempt and attempt.idempotency_key,
        attempt and attempt.attempt_id,
        (attempt and attempt.provider_reference) or (stored and stored.payment.provider_reference),
        answer.result,
        answer.status,
        answer.hidden or answer.detail,
        message.tries + 1,
        state,
        message.traceparent,
        step.duration_ms,
        failed=answer.result != DELIVERED,
    )


def _attempt_of(message: LeasedMessage, stored: PaymentSnapshot | None) -> Attempt | None:
    """The attempt of the refund that the message is about; of a payment, its newest that an instruction led to."""
    if stored is None:
        return None
    of_refund = [each for each in stored.attempts if each.refund_id == message.subject_id]
    of_payment = [each for each in stored.attempts if each.refund_id is None and each.idempotency_key is not None]
    found = of_refund or of_payment
    return found[-1] if found else None
