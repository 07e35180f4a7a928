"""The trace of one event, from durable rows only: every arrival, every checkpoint, every try.

The checkpoints are ingest, validate, dedup, process, persist, emit and reconcile; each has a time and a result. A
checkpoint that was never reached has neither.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Annotated, Any, Final

from msgspec import Struct
from msgspec.structs import asdict

from tallystick.domain.json_types import (
    EXAMPLE_TIME,
    AccountName,
    Actor,
    Count,
    EventId,
    EventType,
    MerchantOfEvent,
    PaymentOfEvent,
    ProviderEventId,
    ProviderName,
    StateOfEvent,
    Time,
    described,
)
from tallystick.domain.settlement_evidence import REASON_MEANINGS, Evidence
from tallystick.flows.webhooks.inbound.envelope import cloud_event
from tallystick.record.postgres.inbox import Inbox
from tallystick.record.postgres.inbox_rows import DeliveryOfEvent, StoredEvent, TryOfEvent
from tallystick.record.postgres.settlement_evidence import EvidenceBook

#: The steps of an event's processing, in their order.
CHECKPOINTS: Final = ("ingest", "validate", "dedup", "process", "persist", "emit", "reconcile")


class Checkpoint(Struct, frozen=True, kw_only=True):
    """One step in the processing of an event."""

    name: Annotated[str, described("Which step.", "process", enum=CHECKPOINTS)]
    at: Annotated[Time | None, described("When it was reached; null where it was not.", EXAMPLE_TIME)]
    result: Annotated[str | None, described("What came of it.", "applied")]
    detail: Annotated[str | None, described("More about it, for people.", None)] = None


class EventTry(Struct, frozen=True, kw_only=True):
    """One try at the event, or an operator's action."""

    number: Annotated[int, described("Counts the tries, from 1.", 1, minimum=0)]
    started_at: Annotated[Time, described("When it began.")]
    ended_at: Annotated[Time, described("When it ended.")]
    result: Annotated[str, described("What came of it: a state of events, or what the operator did.", "applied")]
    detail: Annotated[str | None, described("More about it, for people.", None)]
    actor: Annotated[Actor | None, described("Which operator did it; null for a try.", None)]


class EventTrace(Struct, frozen=True, kw_only=True):
    """An event of a provider, with everything known about it."""

    id: EventId
    object: Annotated[str, described("The kind of object.", const="event")]
    provider: ProviderName
    account: AccountName
    provider_event_id: ProviderEventId
    type: EventType
    state: StateOfEvent
    detail: Annotated[str | None, described("Why it has this state, for people.", None)]
    merchant_id: MerchantOfEvent
    payment_id: PaymentOfEvent
    tries: Annotated[Count, described("How often it was tried since it arrived or was replayed.")]
    replays: Annotated[Count, described("How often an operator had it processed again.", 0)]
    deliveries: Annotated[Count, described("How often it arrived.")]
    last_delivered_at: Annotated[Time, described("When it arrived last.")]
    next_try_at: Annotated[Time | None, described("When it is tried next; null where it is closed.", None)]
    envelope: Annotated[
        dict[str, Any],
        described("Its CloudEvents attributes.", {"specversion": "1.0", "id": "ev_1", "type": "charge.captured"}),
    ]
    checkpoints: Annotated[list[Checkpoint], described("Each step of its processing, as it was reached.")]
    attempts: Annotated[list[EventTry], described("Each try, and what operators did, oldest first.")]


async def trace_event(inbox: Inbox, evidence: EvidenceBook, event_id: str) -> EventTrace | None:
    """The trace of one event, or None if it does not exist."""
    event = await inbox.event(event_id)
    if event is None:
        return None
    name = event.name()
    deliveries, tries = await inbox.deliveries(name), await inbox.processing(name)
    checkpoints = [
        *_arrivals(deliveries),
        *[checkpoint for row in tries async for checkpoint in _of_try(inbox, event, row)],
        *await _reconciled(inbox, evidence, event, tries),
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


async def _reconciled(
    inbox: Inbox, evidence: EvidenceBook, event: StoredEvent, tries: Sequence[TryOfEvent]
) -> list[Checkpoint]:
    """What settlement rows say of what the event did, or of the charge that it names."""
    if event.merchant_id is None or event.payment_id is None:
        return [_NOT_RECONCILED]
    rows = await evidence.of_payment(event.merchant_id, event.payment_id)
    changes = dict.fromkeys(row.change_id for row in tries if row.change_id is not None) if rows else {}
    did = {
        (step.subject_id, step.version)
        for change_id in changes
        for step in await inbox.persisted(event.merchant_id, event.payment_id, change_id)
    }
    newest = {(row.file_id, row.position): row for row in rows}  # the newest version is read last
    found = [
        row
        for row in newest.values()
        if (row.subject_id, row.subject_version) in did
        or (
            event.charge_reference is not None
            and event.charge_reference in (row.row_reference, row.provider_reference, row.payment_reference)
        )
    ]
    return [_reconcile(row) for row in found] or [_NOT_RECONCILED]


_NOT_RECONCILED: Final = Checkpoint(
    name="reconcile", at=None, result=None, detail="no settlement has named this event yet"
)


def _reconcile(row: Evidence) -> Checkpoint:
    said = f"{REASON_MEANINGS[row.reason]}; {row.file_id}, line {row.line}, batch {row.batch}"
    return Checkpoint(name="reconcile", at=row.compared_at, result=row.status, detail=said)


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
