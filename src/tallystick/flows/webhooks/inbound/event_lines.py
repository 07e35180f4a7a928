"""What a provider's event says on its way: that its delivery is kept, and what each try at it came to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from tallystick.domain.provider_event_state import Disposition
from tallystick.domain.snapshot import PaymentSnapshot
from tallystick.domain.subjects import Attempt
from tallystick.flows.webhooks.inbound.envelope import Envelope
from tallystick.kit.log_lines import Line
from tallystick.kit.steps import Step
from tallystick.record.postgres.inbox_rows import LeasedEvent

#: An event of a delivery, durable before the delivery is acknowledged.
KEPT: Final = Line(
    "delivery kept",
    "debug",
    "tallystick.flows.webhooks.inbound",
    {
        "request_id": "own",
        "provider": "word",
        "account": "word",
        "provider_event_id": "text",
        "event_id": "own",
        "delivery_id": "own",
        "type": "text",
        "merchant_id": "word",
        "payment_id": "own",
        "provider_reference": "text",
        "traceparent": "own",
        "duration_ms": "own",
    },
)

#: One try at one event.
PROCESSED: Final = Line(
    "event processed",
    "debug",
    "tallystick.flows.webhooks.inbound",
    {
        "event_id": "own",
        "provider": "word",
        "account": "word",
        "provider_event_id": "text",
        "type": "text",
        "merchant_id": "word",
        "payment_id": "own",
        "idempotency_key": "text",
        "key_kind": "own",
        "attempt_id": "own",
        "provider_reference": "text",
        "disposition": "own",
        "tries": "own",
        "replays": "own",
        "traceparent": "own",
        "duration_ms": "own",
    },
)

#: What a try comes to. An event whose kept bytes could be read after all is no disposition: it is due as what they say.
Came = Literal[Disposition, "read again"]
READ_AGAIN: Final = "read again"

#: The disposition of an event that was not looked at: the database was away, and no try is spent.
NOT_PROCESSED: Final = "not_processed"


def end_kept(step: Step, request_id: str, envelopes: Sequence[Envelope]) -> None:
    """Say a line of each event; the span of the delivery is about the first."""
    for number, envelope in enumerate(reversed(envelopes), 1):
        values = (
            request_id,
            envelope.provider,
            envelope.account,
            envelope.provider_event_id,
            envelope.event_id,
            envelope.delivery_id,
            envelope.type,
            envelope.merchant_id,
            envelope.payment_id,
            envelope.charge_reference,
            envelope.traceparent,
            step.duration_ms,
        )
        if number == len(envelopes):
            step.end(*values)
        else:
            KEPT.say(*values)


def end_processed(step: Step, event: LeasedEvent, stored: PaymentSnapshot | None, disposition: Came | None) -> None:
    """Say what the try came to; None where the event was not looked at."""
    attempt = _attempt_of(event, stored)
    step.end(
        event.event_id,
        event.provider,
        event.account,
        event.provider_event_id,
        event.type,
        event.merchant_id or (stored and stored.payment.merchant_id),
        event.payment_id or (stored and stored.payment.payment_id),
        attempt and attempt.idempotency_key,
        attempt and attempt.instructed_by,
        attempt and attempt.attempt_id,
        (attempt and attempt.provider_reference) or event.charge_reference,
        disposition or NOT_PROCESSED,
        event.tries + 1,
        event.replays,
        event.traceparent,
        step.duration_ms,
        failed=disposition in (None, "failed", "dead"),
    )


def named(event: LeasedEvent, stored: PaymentSnapshot | None) -> dict[str, str | None]:
    """The payment that an event is about, for a line of the log: as far as it is known."""
    attempt = _attempt_of(event, stored)
    return {
        "merchant_id": event.merchant_id or (stored.payment.merchant_id if stored else None),
        "payment_id": event.payment_id or (stored.payment.payment_id if stored else None),
        "idempotency_key": attempt.idempotency_key if attempt else None,
        "key_kind": attempt.instructed_by if attempt else None,
        "attempt_id": attempt.attempt_id if attempt else None,
        "provider_reference": (attempt.provider_reference if attempt else None) or event.charge_reference,
    }


def traces_of(event: LeasedEvent, stored: PaymentSnapshot | None) -> tuple[str | None, ...]:
    """What led to the event: its delivery, and the request whose attempt it is about."""
    attempt = _attempt_of(event, stored)
    return (event.traceparent, None if attempt is None else attempt.traceparent)


def _attempt_of(event: LeasedEvent, stored: PaymentSnapshot | None) -> Attempt | None:
    """The attempt that the event names, by our id or by the provider's; else the one that made the payment's charge."""
    if stored is None or not stored.attempts:
        return None
    for attempt in stored.attempts:
        if event.notice is not None and attempt.attempt_id in event.notice:
            return attempt
    for attempt in stored.attempts:
        if event.charge_reference is not None and attempt.provider_reference == event.charge_reference:
            return attempt
    return stored.attempts[0]
