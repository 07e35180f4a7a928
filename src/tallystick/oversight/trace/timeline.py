"""One timeline of a payment: what was asked, decided, sent, answered, told and done, from durable rows alone.

An entry has every field that its kind needs, and null for the others. Of what a provider said only the verdict is
shown: its bytes are evidence, and may hold a payer's data.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from tallystick.oversight.trace.entries import Entry, acts, cases, evidence
from tallystick.record.postgres.trace_parts import StepRow, TraceRows

#: Of entries at one time, the order in which one leads to the next.
_ORDER: Final[Mapping[str, int]] = {
    kind: place
    for place, kind in enumerate(
        (
            "request", "arrival", "try", "call", "step", "rejection", "transfer", "answer", "message",
            "delivery", "send", "replay", "case", "act", "evidence",
        )
    )
}  # fmt: skip

#: Operators' acts beside an event or a message: by their results.
_ACTS: Final = frozenset({"replayed", "discarded", "resend_requested", "read_again"})


def timeline(rows: TraceRows) -> list[Entry]:
    """Every entry, oldest first."""
    found = [
        *_instructions(rows),
        *(_step(rows, step) for step in rows.steps),
        *_rejections(rows),
        *_transfers(rows),
        *_events(rows),
        *_messages(rows),
        *cases(rows),
        *acts(rows),
        *evidence(rows),
    ]
    return sorted(found, key=_place)


def _place(entry: Entry) -> tuple[bool, datetime | None, int, str, int]:
    return (entry.at is None, entry.at, _ORDER[entry.kind], entry.subject_id or "", entry.version or 0)


def _instructions(rows: TraceRows) -> Iterator[Entry]:
    actors = {step.subject_id: (step.actor, step.key_kind) for step in rows.steps if step.event == "submit"}
    by_key = {each.attempt.idempotency_key: actors.get(each.attempt.attempt_id) for each in rows.record.attempts}
    by_key |= {each.idempotency_key: (each.actor, each.key_kind) for each in rows.rejections if each.idempotency_key}
    for key, each in rows.instructions.items():
        actor, key_kind = by_key.get(key) or (None, None)
        yield Entry(
            at=each.at,
            kind="request",
            what=each.operation.replace("{id}", each.payment_id),
            subject_id=each.subject_id,
            idempotency_key=key,
            actor=actor,
            key_kind=key_kind,
        )
    for key, answer in rows.answered.items():
        instruction = rows.instructions.get(key)
        subject_id = None if instruction is None else instruction.subject_id
        yield Entry(
            at=answer.at,
            kind="answer",
            what="recorded",
            subject_id=subject_id,
            idempotency_key=key,
            status=answer.status,
        )
    for replay in rows.replays:
        yield Entry(
            at=replay.first_at,
            kind="replay",
            what=replay.kind,
            idempotency_key=replay.idempotency_key,
            count=replay.n,
            last_at=replay.last_at,
        )


def _step(rows: TraceRows, step: StepRow) -> Entry:
    """A step of an attempt is a call; one that an operator made is an act as well, by its actor."""
    said: Mapping[str, Any] = step.evidence if isinstance(step.evidence, dict) else {}
    verdict: Mapping[str, Any] = said.get("verdict") or {}
    attempt = next((each.attempt for each in rows.record.attempts if each.attempt.attempt_id == step.subject_id), None)
    sent = attempt is not None and step.event in ("submit", "resubmit")
    return Entry(
        at=step.at,
        kind="call" if step.subject == "attempt" else "step",
        what=step.event,
        subject=step.subject if attempt is None else attempt.operation,
        subject_id=step.subject_id,
        version=step.version,
        from_state=step.from_state,
        to_state=step.to_state,
        cause=step.cause,
        actor=step.actor,
        key_kind=step.key_kind,
        idempotency_key=attempt.idempotency_key if sent and attempt is not None else None,
        provider=None if attempt is None else attempt.provider,
        account=None if attempt is None else attempt.account,
        reference=step.provider_reference,
        verdict=verdict.get("verdict"),
        amount=attempt.amount if sent and attempt is not None else verdict.get("amount"),
        currency=attempt.currency if sent and attempt is not None else verdict.get("currency"),
        event_id=said.get("event_id"),
        occurred_at=step.occurred_at,
        detail=verdict.get("reason") or verdict.get("message") or said.get("reason"),
    )


def _rejections(rows: TraceRows) -> Iterator[Entry]:
    for each in rows.rejections:
        yield Entry(
            at=each.at,
            kind="rejection",
            what=each.event,
            subject=each.subject,
            subject_id=each.subject_id,
            version=each.version,
            from_state=each.state,
            cause=each.cause,
            actor=each.actor,
            key_kind=each.key_kind,
            idempotency_key=each.idempotency_key,
            detail=each.reason,
            alert=each.alert,
        )


def _transfers(rows: TraceRows) -> Iterator[Entry]:
    for each in rows.transfers:
        yield Entry(
            at=each.at,
            kind="transfer",
            what=each.kind,
            subject_id=each.subject_id,
            version=each.version,
            number=each.leg,
            debit=each.debit,
            credit=each.credit,
            amount=each.amount,
            currency=each.currency,
        )


def _events(rows: TraceRows) -> Iterator[Entry]:
    """Arrivals of one kind after the first are one entry: a provider may send one event a thousand times."""
    for event in rows.events:
        arrivals = rows.arrivals.get(event.provider_event_id, ())
        for result in dict.fromkeys(each.result for each in arrivals):
            of = [each for each in arrivals if each.result == result]
            yield Entry(
                at=of[0].received_at,
                kind="arrival",
                what=result,
                subject_id=event.event_id,
                event_id=event.event_id,
                provider=event.provider,
                account=event.account,
                reference=event.provider_event_id,
                detail=event.type,
                occurred_at=event.occurred_at,
                count=len(of) if len(of) > 1 else None,
                last_at=of[-1].received_at if len(of) > 1 else None,
            )
        for each in rows.tries.get(event.provider_event_id, ()):
            yield Entry(
                at=each.ended_at,
                kind="act" if each.result in _ACTS else "try",
                what=each.result,
                subject_id=event.event_id,
                event_id=event.event_id,
                number=each.number,
                actor=each.actor,
                detail=": ".join(part for part in (event.type, each.detail) if part),
            )


def _messages(rows: TraceRows) -> Iterator[Entry]:
    for message in rows.messages:
        yield Entry(
            at=message.at,
            kind="message",
            what=message.type,
            subject_id=message.subject_id,
            version=message.version,
            message_id=message.message_id,
        )
    types = {each.message_id: each.type for each in rows.messages}
    for each in rows.deliveries:
        yield Entry(
            at=each.dispatched_at,
            kind="delivery",
            what=each.state,
            message_id=each.message_id,
            endpoint_id=each.endpoint_id,
            detail=each.type,
            count=each.tries,
            last_at=each.closed_at,
        )
    for send in rows.sends:
        yield Entry(
            at=send.started_at,
            kind="act" if send.result in _ACTS else "send",
            what=send.result,
            message_id=send.message_id,
            endpoint_id=send.endpoint_id,
            number=send.number,
            duration_ms=send.duration_ms,
            status=send.status,
            actor=send.actor,
            detail=": ".join(part for part in (types.get(send.message_id), send.detail) if part),
        )
