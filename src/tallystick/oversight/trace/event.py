"""The trace of one event, from durable rows only: every arrival, every checkpoint, every try.

The checkpoints are ingest, validate, dedup, process, persist, emit and reconcile; each has a time and a result. A
checkpoint that was never reached has neither.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict

from tallystick.flows.webhooks.inbound.envelope import cloud_event
from tallystick.record.postgres.inbox import Inbox
from tallystick.record.postgres.inbox_rows import DeliveryOfEvent, StoredEvent, TryOfEvent


class Checkpoint(Struct, frozen=True, kw_only=True):
    """One step in the processing of an event."""

    name: str
    at: datetime | None
    result: str | None
    detail: str | None = None


class EventTry(Struct, frozen=True, kw_only=True):
    """One try at the event, or an operator's action."""

    number: int
    started_at: datetime
    ended_at: datetime
    result: str
    detail: str | None
    actor: str | None


class EventTrace(Struct, frozen=True, kw_only=True):
    """An event with everything known about it. ``envelope`` holds its CloudEvents attributes."""

    id: str
    object: str
    provider: str
    account: str
    provider_event_id: str
    type: str
    state: str
    detail: str | None
    merchant_id: str | None
    payment_id: str | None
    tries: int
    replays: int
    deliveries: int
    last_delivered_at: datetime
    next_try_at: datetime | None
    envelope: dict[str, Any]
    checkpoints: list[Checkpoint]
    attempts: list[EventTry]


async def trace_event(inbox: Inbox, event_id: str) -> EventTrace | None:
    """The trace of one event, or None if it does not exist."""
    event = await inbox.event(event_id)
    if event is None:
        return None
    name = event.name()
    deliveries, tries = await inbox.deliveries(name), await inbox.processing(name)
    checkpoints = [
        *_arrivals(deliveries),
        *[checkpoint for row in tries async for checkpoint in _of_try(inbox, event, row)],
        Checkpoint(name="reconcile", at=None, result=None, detail="no settlement has named this event yet"),
    ]
    return EventTrace(
        id=event.event_id,
        object="event",
        provider=event.provider,
        account=event.account,
        provider_event_id=event.provider_event_id,
        type=event.type,
        state=event.state,
        detail=event.detail,
        merchant_id=event.merchant_id,
        payment_id=event.payment_id,
        tries=event.tries,
        replays=event.replays,
        deliveries=len(deliveries),
        last_delivered_at=deliveries[-1].recorded_at,
        next_try_at=event.next_try_at,
        envelope=cloud_event(asdict(event)),
        checkpoints=checkpoints,
        attempts=[EventTry(**{field: getattr(each, field) for field in EventTry.__struct_fields__}) for each in tries],
    )


def _arrivals(deliveries: Sequence[DeliveryOfEvent]) -> Iterator[Checkpoint]:
    for row in deliveries:
        yield Checkpoint(name="ingest", at=row.received_at, result="received", detail=row.delivery_id)
        yield Checkpoint(name="validate", at=row.validated_at, result="signature_valid")
        yield Checkpoint(name="dedup", at=row.recorded_at, result=row.result)


async def _of_try(inbox: Inbox, event: StoredEvent, row: TryOfEvent) -> AsyncIterator[Checkpoint]:
    yield Checkpoint(name="process", at=row.ended_at, result=row.result, detail=row.detail)
    if row.change_id is None:
        return
    steps = await inbox.persisted(event.merchant_id, event.payment_id, row.change_id)
    for step in steps:
        moved = f"{step.subject} {step.subject_id}: {step.from_state} to {step.to_state}"
        yield Checkpoint(name="persist", at=step.at, result=step.event, detail=moved)
    versions = [step.version for step in steps if step.subject == "payment"]
    for message in await inbox.emitted(event.merchant_id, event.payment_id, versions):
        at = message.dispatched_at or message.at
        result = "dispatched" if message.dispatched_at else "written"
        yield Checkpoint(name="emit", at=at, result=result, detail=f"{message.type} {message.message_id}")
