"""What is waiting about a payment, who acts next, and until when."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Final, Literal

from msgspec import Struct

from tallystick.domain.dispute_position import DECIDED
from tallystick.domain.json_types import AnySubjectId, Time, described
from tallystick.domain.lifecycles.attempt import ATTEMPT_OPEN
from tallystick.oversight.trace import words
from tallystick.oversight.trace.facts import is_in_doubt
from tallystick.record.postgres.trace_parts import TraceRows
from tallystick.settings.load import Settings

#: Who can act on a payment. ``platform``: Tallystick's own processes, ``operator``: a person who runs it.
Role = Literal["merchant", "payer", "provider", "platform", "operator"]

#: What can wait. ``in_doubt``: a person resolves what recovery could not; ``unknown_outcome``: recovery still asks.
Wait = Literal[
    "payer_action", "provider_answer", "unknown_outcome", "recovery", "in_doubt", "capture_or_cancel", "late_money",
    "dispute_evidence", "dispute_verdict", "dispute_money", "case", "event", "dead_letter", "message",
    "message_given_up",
]  # fmt: skip

#: Each in words; {} is the operation, the type of the event or message, or what the case is about.
_SAYS: Final[Mapping[Wait, str]] = {
    "payer_action": "the payer's action",
    "provider_answer": "the provider's answer to the {}",
    "unknown_outcome": "the outcome of the {}: the provider is asked what became of it",
    "recovery": "the {} is sent again, or given up",
    "in_doubt": "the outcome of the {}: nobody knows it, and an operator resolves it (tallystick in-doubt list)",
    "capture_or_cancel": "a capture or a cancel of the hold",
    "late_money": "money that came after the end: accept it or return it (tallystick late-money list)",
    "dispute_evidence": "evidence for the dispute, or its acceptance",
    "dispute_verdict": "the verdict on the dispute",
    "dispute_money": "whose the disputed money is",
    "case": "a refused step: {}",
    "event": "event {} is processed again",
    "dead_letter": "event {} could not be processed: replay or discard it (tallystick dead-letters list)",
    "message": "message {} is sent",
    "message_given_up": "message {} was given up: it never arrived",
}

#: Where several wait, the one that is named first: what needs a person stands before what happens by itself.
_FIRST: Final[Sequence[Role]] = ("operator", "payer", "merchant", "provider", "platform")


class Waiting(Struct, frozen=True, kw_only=True):
    """One thing that is not finished."""

    kind: Annotated[Wait, described("What is waiting, for programs.", "capture_or_cancel")]
    what: Annotated[str, described("What is waiting, for people.", "a capture or a cancel of the hold")]
    subject_id: Annotated[AnySubjectId, described("What it is about.")]
    actor: Annotated[
        Role,
        described("Who acts next. `platform` is Tallystick itself, `operator` a person who runs it.", "merchant"),
    ]
    until: Annotated[
        Time | None,
        described("When the platform looks again or the time to act ends; null where there is no such time."),
    ]


def waiting_on(rows: TraceRows, settings: Settings) -> list[Waiting]:
    """Everything that waits; first what is named as next."""
    found = [*_attempts(rows, settings), *_payment(rows), *_disputes(rows)]
    found += [*_cases(rows), *_events(rows), *_messages(rows)]
    return sorted(found, key=lambda each: (_FIRST.index(each.actor), each.until is None, each.until, each.what))


def _attempts(rows: TraceRows, settings: Settings) -> Iterator[Waiting]:
    for watched in rows.record.attempts:
        attempt, until = watched.attempt, watched.next_check_at
        if attempt.state not in ATTEMPT_OPEN:
            continue
        kind: Wait
        actor: Role
        if watched.parked_at is not None:
            kind, actor = "in_doubt", "operator"
            until = watched.parked_at + timedelta(milliseconds=settings.in_doubt_alarm_age_ms)
        elif attempt.state == "requires_action":
            kind, actor = "payer_action", "payer"
        elif attempt.state in ("submitted", "pending"):
            kind, actor = "provider_answer", "provider"
        else:
            kind, actor = ("unknown_outcome" if is_in_doubt(watched) else "recovery"), "platform"
        yield _waiting(kind, attempt.attempt_id, actor, until, words.OPERATIONS[attempt.operation])


def _payment(rows: TraceRows) -> Iterator[Waiting]:
    payment = rows.record.payment
    if payment.state == "authorized":
        yield _waiting("capture_or_cancel", payment.payment_id, "merchant", rows.record.due_at)
    decided = payment.amount_late_accepted + payment.amount_late_returning + payment.amount_late_returned
    if payment.amount_late > decided:
        yield _waiting("late_money", payment.payment_id, "operator")


def _disputes(rows: TraceRows) -> Iterator[Waiting]:
    for dispute in rows.record.disputes:
        if dispute.contested or any(each.amount is None for each in dispute.movements):
            yield _waiting("dispute_money", dispute.dispute_id, "operator")
        elif dispute.state == "opened":
            yield _waiting("dispute_evidence", dispute.dispute_id, "merchant")
        elif dispute.state not in DECIDED:
            yield _waiting("dispute_verdict", dispute.dispute_id, "provider")


def _cases(rows: TraceRows) -> Iterator[Waiting]:
    for case in rows.cases:
        if case.state != "resolved":
            owner = "nobody has it" if case.owner is None else f"{case.owner} has it"
            what = words.refused(case.subject, case.event)
            about = f"{what}, which {words.one_of(words.CATEGORIES, case.category)}; {owner}"
            yield _waiting("case", case.case_id, "operator", about=about)


def _events(rows: TraceRows) -> Iterator[Waiting]:
    for event in rows.events:
        if event.state == "dead":
            yield _waiting("dead_letter", event.event_id, "operator", about=event.type)
        elif event.next_try_at is not None:
            yield _waiting("event", event.event_id, "platform", event.next_try_at, event.type)


def _messages(rows: TraceRows) -> Iterator[Waiting]:
    for message in rows.messages:
        if message.dispatched_at is None:
            yield _waiting("message", message.message_id, "platform", about=message.type)
    for each in rows.deliveries:
        about = f"{each.type} to {each.endpoint_id}"
        if each.state == "open":
            yield _waiting("message", each.message_id, "platform", each.next_try_at, about)
        elif each.state == "exhausted":
            yield _waiting("message_given_up", each.message_id, "merchant", about=about)


def _waiting(kind: Wait, subject_id: str, actor: Role, until: datetime | None = None, about: str = "") -> Waiting:
    return Waiting(kind=kind, what=_SAYS[kind].format(about), subject_id=subject_id, actor=actor, until=until)
