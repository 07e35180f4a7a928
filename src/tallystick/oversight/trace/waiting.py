"""What is waiting about a payment, who acts next, and until when."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Final, Literal

from msgspec import Struct

from tallystick.domain.dispute_position import DECIDED
from tallystick.domain.json_types import Time, described
from tallystick.domain.lifecycles.attempt import ATTEMPT_OPEN
from tallystick.oversight.trace.facts import is_in_doubt
from tallystick.record.postgres.payment_record import ScheduledAttempt
from tallystick.record.postgres.trace_rows import TraceRows
from tallystick.settings.load import Settings

#: Who can act on a payment. ``platform``: Tallystick's own processes, ``operator``: a person who runs it.
Role = Literal["merchant", "payer", "provider", "platform", "operator"]

#: Where several wait, the one that is named first: what needs a person stands before what happens by itself.
_FIRST: Final[Sequence[Role]] = ("operator", "payer", "merchant", "provider", "platform")


class Waiting(Struct, frozen=True, kw_only=True):
    """One thing that is not settled."""

    what: Annotated[str, described("What is waiting, for people.", "a capture or a cancel of the hold")]
    subject_id: Annotated[str, described("What it is about.", "pay_0198f3c2a1b47c6d8e9fa0b1c2d3e4f5")]
    actor: Annotated[
        Role,
        described(
            "Who acts next. `platform` is Tallystick itself, `operator` a person who runs it.", "merchant"
        ),
    ]
    until: Annotated[
        Time | None,
        described("When the platform looks again or the time to act ends; null where there is no such time."),
    ]


def waiting_on(rows: TraceRows, settings: Settings) -> list[Waiting]:
    """Everything that waits; first what is named as next."""
    found = [*_attempts(rows, settings), *_payment(rows), *_disputes(rows), *_events(rows), *_messages(rows)]
    return sorted(found, key=lambda each: (_FIRST.index(each.actor), each.until is None, each.until, each.what))


def _attempts(rows: TraceRows, settings: Settings) -> Iterator[Waiting]:
    for watched in rows.record.attempts:
        attempt = watched.attempt
        if attempt.state not in ATTEMPT_OPEN:
            continue
        until = watched.next_check_at
        if watched.parked_at is not None:
            until = watched.parked_at + timedelta(milliseconds=settings.in_doubt_alarm_age_ms)
            yield _waiting(f"the outcome of {attempt.operation}, on the in-doubt list", attempt.attempt_id, "operator", until)
        elif attempt.state == "requires_action":
            yield _waiting("the payer's action", attempt.attempt_id, "payer", until)
        elif attempt.state in ("submitted", "pending"):
            yield _waiting(f"the provider's answer to {attempt.operation}", attempt.attempt_id, "provider", until)
        else:
            yield _waiting(_of_recovery(watched), attempt.attempt_id, "platform", until)


def _of_recovery(watched: ScheduledAttempt) -> str:
    operation = watched.attempt.operation
    if is_in_doubt(watched):
        return f"the outcome of {operation}: the provider is asked what became of it"
    return f"{operation} is {watched.attempt.state}: it is sent again, or given up"


def _payment(rows: TraceRows) -> Iterator[Waiting]:
    payment = rows.record.payment
    if payment.state == "authorized":
        yield _waiting("a capture or a cancel of the hold", payment.payment_id, "merchant", rows.record.due_at)
    decided = payment.amount_late_accepted + payment.amount_late_returning + payment.amount_late_returned
    if payment.amount_late > decided:
        yield _waiting("late money in suspense: accepted or returned", payment.payment_id, "operator", None)


def _disputes(rows: TraceRows) -> Iterator[Waiting]:
    for dispute in rows.record.disputes:
        if dispute.contested or any(each.amount is None for each in dispute.movements):
            yield _waiting("whose the disputed money is", dispute.dispute_id, "operator", None)
        elif dispute.state == "opened":
            yield _waiting("evidence for the dispute, or its acceptance", dispute.dispute_id, "merchant", None)
        elif dispute.state not in DECIDED:
            yield _waiting("the verdict on the dispute", dispute.dispute_id, "provider", None)


def _events(rows: TraceRows) -> Iterator[Waiting]:
    for event in rows.events:
        if event.state == "dead":
            yield _waiting(f"event {event.type}: a dead letter", event.event_id, "operator", None)
        elif event.next_try_at is not None:
            yield _waiting(f"event {event.type}: its next try", event.event_id, "platform", event.next_try_at)


def _messages(rows: TraceRows) -> Iterator[Waiting]:
    for message in rows.messages:
        if message.dispatched_at is None:
            yield _waiting(f"message {message.type}: to be dispatched", message.message_id, "platform", None)
    for each in rows.deliveries:
        if each.state == "open":
            what = f"message {each.type}: its next try at {each.endpoint_id}"
            yield _waiting(what, each.message_id, "platform", each.next_try_at)
        elif each.state == "exhausted":
            what = f"message {each.type}: {each.endpoint_id} never took it"
            yield _waiting(what, each.message_id, "merchant", None)


def _waiting(what: str, subject_id: str, actor: Role, until: datetime | None) -> Waiting:
    return Waiting(what=what, subject_id=subject_id, actor=actor, until=until)
