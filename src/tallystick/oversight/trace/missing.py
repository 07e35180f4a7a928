"""What is missing beside the steps of a payment: each edge declares its checkpoints, and an absent one is named."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from datetime import datetime, timedelta
from itertools import chain
from typing import Annotated, Literal

from msgspec import Struct

from tallystick.domain.json_types import AnySubjectId, described
from tallystick.domain.kinds import kind_of
from tallystick.domain.lifecycles.machines import recorded_edge
from tallystick.domain.lifecycles.table import Checkpoint
from tallystick.domain.replay import HistoryStep
from tallystick.domain.subjects import Attempt, Payment
from tallystick.oversight.invariants.ledger import HOLDING
from tallystick.oversight.invariants.messages import DueMessage, due_messages
from tallystick.record.postgres.payment_record import PaymentRecord
from tallystick.record.postgres.trace_parts import TraceRows
from tallystick.settings.load import Settings

#: What else is looked for: the row of a subject that has a history or an instruction, an event's arrival, and the try
#: or act that closed it.
Absent = Checkpoint | Literal["stored row", "arrival", "try"]


def longest_wait(settings: Settings) -> timedelta:
    """No attempt waits longer for its next look, with jitter and by far: a day, or twice the longest wait that is
    set."""
    longest_ms = max(
        settings.recovery_backoff_cap_ms,
        settings.pending_poll_ms,
        settings.provider_circuit_patience_ms,
        settings.provider_retry_after_limit_ms,
    )
    return max(timedelta(days=1), timedelta(milliseconds=2 * longest_ms))


class Missing(Struct, frozen=True, kw_only=True):
    """Something that must exist, and does not."""

    checkpoint: Annotated[
        str,
        described(
            "What is missing: `history`, `posting`, `message`, `request`, `recorded answer`, `schedule`, `provider's"
            " word`, `rejection`, `stored row`, `arrival` or `try`.",
            "recorded answer",
        ),
    ]
    subject_id: Annotated[AnySubjectId, described("What it is missing of.")]
    version: Annotated[int | None, described("The step that it is missing beside, if it is one's.", 2)] = None
    says: Annotated[str, described("In a sentence, for people.", "captured has no message payment.captured")]


class Recorded(Struct, frozen=True, kw_only=True):
    """What is stored of a payment, for the checkpoints that edges declare. ``words``: by change, of each thing that was
    said beside its steps the event that it names, or None. ``events``: those that were routed to the payment."""

    record: PaymentRecord
    words: Mapping[str, Sequence[str | None]]
    events: Set[str]
    now: datetime


def missing_of(rows: TraceRows, settings: Settings) -> list[Missing]:
    """Everything that is missing, in the order of subjects and versions."""
    found = [*_stored_rows(rows), *_gaps(rows.record, rows.stored), *missing_beside(_recorded(rows), settings)]
    found += [*_deliveries(rows), *_events(rows)]
    return sorted(found, key=lambda each: (each.subject_id, each.version or 0, each.checkpoint))


def missing_beside(recorded: Recorded, settings: Settings) -> Iterator[Missing]:
    """What the edges of its steps declare, and is not there."""
    return _Looked(recorded, settings).beside_steps()


def missing_checkpoints(recorded: Recorded, settings: Settings) -> Iterator[Missing]:
    """Of a payment whose subjects are all stored: gaps in its history, and what is missing beside its steps."""
    yield from _gaps(recorded.record, {id_ for id_, _ in recorded.record.subjects})
    yield from missing_beside(recorded, settings)


def _recorded(rows: TraceRows) -> Recorded:
    words: dict[str, list[str | None]] = {}
    for step in rows.steps:
        if step.change_id is not None and step.evidence is not None:
            said = step.evidence if isinstance(step.evidence, dict) else {}
            words.setdefault(step.change_id, []).append(said.get("event_id"))
    return Recorded(record=rows.record, words=words, events={each.event_id for each in rows.events}, now=rows.now)


def _stored_rows(rows: TraceRows) -> Iterator[Missing]:
    record = rows.record
    for subject_id in record.histories:
        if subject_id not in rows.stored:
            yield _missing("stored row", subject_id, "has a history, and no row that can be read")
    for subject_id in sorted(rows.stored - record.histories.keys()):
        yield _missing("history", subject_id, "is stored, and has no history")
    keys = {each.attempt.idempotency_key for each in record.attempts}
    keys |= {each.idempotency_key for each in rows.rejections}
    for key, instruction in rows.instructions.items():
        if key not in keys and instruction.payment_id == record.stream_id:
            says = f"key {key} was claimed for it, and neither an attempt nor a rejection has the key"
            yield _missing("stored row", instruction.subject_id, says)
    if isinstance(record.head, Payment) and all(each.attempt.operation != "authorize" for each in record.attempts):
        yield _missing("stored row", record.stream_id, "no attempt authorizes it")


def _gaps(record: PaymentRecord, with_rows: Set[str]) -> Iterator[Missing]:
    """Gaps, and steps without the step that their change begins with. ``with_rows``: the subjects that have a row."""
    stored = {id_: subject.version for id_, subject in record.subjects if id_ in with_rows}
    for subject_id, steps in record.histories.items():
        versions = {step.version for step in steps}
        for version in range(1, max(*versions, stored.get(subject_id, 0)) + 1):
            if version not in versions:
                yield _missing("history", subject_id, f"version {version} is not in history", version)
        for step in steps:
            if step.change_id is None:
                says = f"{step.event}: the first step of its change is not in history"
                yield _missing("history", subject_id, says, step.version)


class _Looked:
    """What stands beside each step."""

    def __init__(self, recorded: Recorded, settings: Settings) -> None:
        record = recorded.record
        self._recorded = recorded
        self._settings = settings
        self._record = record
        self._attempts = {each.attempt.attempt_id: each for each in record.attempts}
        self._told = {(each.version, each.subject_id): each.type for each in record.messages}
        self._due = _by_step(due_messages(record))
        self._alerts: set[datetime] = {each.at for each in record.rejections if each.alert}
        self._posted: dict[tuple[str, int], int] = {}
        for transfer in record.transfers:
            place = (transfer.subject_id, transfer.version)
            self._posted[place] = self._posted.get(place, 0) + 1
        self._last = {id_: max(step.version for step in steps) for id_, steps in record.histories.items()}
        self._looks: Mapping[Checkpoint, Callable[[HistoryStep], str | None]] = {
            "posting": self._posting,
            "message": self._message,
            "request": self._request,
            "recorded answer": self._answer,
            "schedule": self._schedule,
            "provider's word": self._word,
            "rejection": self._rejection,
        }

    def beside_steps(self) -> Iterator[Missing]:
        for step in chain.from_iterable(self._record.histories.values()):
            edge = recorded_edge(step.subject, step.from_state, step.event)
            if edge is None or edge.retired:
                continue  # what is no edge is found by the rebuild; rows of retired edges had other checkpoints
            for checkpoint in edge.checkpoints:
                look = self._looks.get(checkpoint)
                says = None if look is None else look(step)
                if says is not None:
                    yield _missing(checkpoint, step.subject_id, f"{step.event}: {says}", step.version)

    def _posting(self, step: HistoryStep) -> str | None:
        edge = recorded_edge(step.subject, step.from_state, step.event)
        replay = self._record.replays.get(step.subject_id)
        after = None if replay is None else replay.states.get(step.version)
        before = None if replay is None else replay.states.get(step.version - 1)
        if edge is None or edge.posts is None or after is None or (before is None and step.version > 1):
            return None  # the history says so itself
        due, posted = len(edge.posts(before, after)), self._posted.get((step.subject_id, step.version), 0)
        return None if posted >= due else f"has {posted} of {due} ledger rows"

    def _message(self, step: HistoryStep) -> str | None:
        due = self._due.get((step.subject_id, step.version))
        if due is None:
            return None  # a later step of its change is told
        place, type_ = due
        return None if self._told.get(place) == type_ else f"has no message {type_}"

    def _attempt_of(self, step: HistoryStep) -> Attempt | None:
        watched = self._attempts.get(step.subject_id)
        return None if watched is None else watched.attempt

    def _request(self, step: HistoryStep) -> str | None:
        attempt = self._attempt_of(step)
        key = None if attempt is None else attempt.idempotency_key
        return None if key is None or key in self._record.answers else f"the request under key {key} is not there"

    def _answer(self, step: HistoryStep) -> str | None:
        attempt = self._attempt_of(step)
        key = None if attempt is None else attempt.idempotency_key
        recorded = None if key is None else self._record.answers.get(key)
        has_answer = recorded is not None and recorded.body is not None
        return None if key is None or has_answer else f"key {key} has no recorded answer"

    def _schedule(self, step: HistoryStep) -> str | None:
        if step.version != self._last[step.subject_id]:
            return None
        watched = self._attempts.get(step.subject_id)
        if watched is not None:
            if watched.parked_at is not None:
                return None
            if watched.next_check_at is None:
                return "nobody looks at it again: it is neither scheduled nor on the in-doubt list"
            return self._too_late(watched.next_check_at, self._recorded.now + longest_wait(self._settings))
        head = self._record.head
        if step.subject_id != self._record.stream_id or head.state not in HOLDING or not head.amount_authorized:
            return None
        if self._record.due_at is None:
            return "money is held, and nobody looks at it again: it has no deadline"
        held_for = timedelta(milliseconds=self._settings.authorization_deadline_ms) + longest_wait(self._settings)
        return self._too_late(self._record.due_at, self._recorded.now + held_for)

    def _too_late(self, at: datetime, latest: datetime) -> str | None:
        return f"nobody looks at it before {at:%Y-%m-%d}: no rule waits so long" if at > latest else None

    def _word(self, step: HistoryStep) -> str | None:
        words = self._recorded.words.get(step.change_id or "", ())
        if not words:
            return "nothing says what the provider said"
        events = [each for each in words if each is not None]
        if events and self._recorded.events.isdisjoint(events):
            return f"event {events[0]}, which said so, is not there"
        return None

    def _rejection(self, step: HistoryStep) -> str | None:
        return None if step.at in self._alerts else "nobody was alerted: no rejection stands beside it"


def _by_step(due: Mapping[tuple[int, str], DueMessage]) -> dict[tuple[str, int], tuple[tuple[int, str], str]]:
    """By the step that is told, the place of its message and its type."""
    steps: dict[tuple[str, int], tuple[tuple[int, str], str]] = {}
    for place, message in due.items():
        subject = message.subject
        steps[kind_of(subject).id_of(subject), subject.version] = place, message.type
    return steps


def _deliveries(rows: TraceRows) -> Iterator[Missing]:
    for each in rows.deliveries:
        if each.state == "open" and each.endpoint_id not in rows.queues:
            says = f"{each.type} waits for {each.endpoint_id} in no queue: nobody sends it"
            yield _missing("schedule", each.message_id, says)


def _events(rows: TraceRows) -> Iterator[Missing]:
    changes = {step.change_id for step in rows.steps}
    for event in rows.events:
        arrivals, tries = rows.arrivals.get(event.provider_event_id, ()), rows.tries.get(event.provider_event_id, ())
        if all(each.result != "first" for each in arrivals):
            yield _missing("arrival", event.event_id, f"{event.type}: its first arrival is not there")
        closed = {each.result for each in tries}
        if event.next_try_at is None and not (tries if event.state == "dead" else event.state in closed):
            yield _missing("try", event.event_id, f"{event.type}: is {event.state}, and no try or act came to that")
        for each in tries:
            if each.result == "applied" and each.change_id not in changes:
                says = f"{event.type}: applied by change {each.change_id}, which is not in history"
                yield _missing("history", event.event_id, says)


def _missing(checkpoint: Absent, subject_id: str, says: str, version: int | None = None) -> Missing:
    return Missing(checkpoint=checkpoint, subject_id=subject_id, version=version, says=says)


def named(missing: Sequence[Missing]) -> set[str]:
    """The checkpoints that are missing."""
    return {each.checkpoint for each in missing}
