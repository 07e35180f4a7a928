"""All durable rows about one payment, for its trace: two statements, each a snapshot of the tables that it reads.

A row comes as a JSON document, so that rows of every table are one statement's. Nothing that is sealed is read: neither
what arrived from a provider, nor a secret.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Protocol, TypeVar

import msgspec
from msgspec import Struct, field

from tallystick.domain.compiled_replay import replayed
from tallystick.domain.kinds import ATTEMPT_KIND, DISPUTE_KIND, PAYMENT_KIND, REFUND_KIND, SubjectKind, kind_of
from tallystick.domain.replay import HistoryStep
from tallystick.domain.subjects import Attempt, Subject
from tallystick.record.postgres import sql
from tallystick.record.postgres.payment_record import PaymentRecord, ScheduledAttempt
from tallystick.record.postgres.pipeline import Call, PipelineConnection
from tallystick.record.postgres.stream_record import RecordedAnswer, StoredMessage, StoredRejection, StoredTransfer

STATEMENTS: Final = sql.load("trace.sql")

Row = TypeVar("Row", bound=Struct)

_JSON: Final = msgspec.json.Decoder()


class Fetches(Protocol):
    """A connection or a pool that answers one statement."""

    async def fetch(self, query: str, *args: Any) -> Sequence[Any]:
        """Its rows."""


class StepRow(Struct, frozen=True, kw_only=True):
    """A row of ``history``."""

    merchant_id: str
    subject_id: str
    version: int
    change_id: str | None
    subject: str | None
    stream_id: str
    from_state: str
    to_state: str
    event: str
    cause: str | None
    actor: str | None
    provider_reference: str | None
    at: datetime | None
    occurred_at: datetime | None
    change: Any
    evidence: Any
    payment_id: str | None
    key_kind: str | None


class RejectionRow(StoredRejection, frozen=True, kw_only=True):
    """A row of ``rejection``."""

    subject: str
    cause: str
    actor: str
    reason: str
    at: datetime
    evidence: Any = None
    key_kind: str | None = None


class TransferRow(StoredTransfer, frozen=True, kw_only=True):
    """A row of ``transfer``."""

    at: datetime


class InstructionRow(Struct, frozen=True, kw_only=True):
    """A row of ``answered_instruction``, without its answer; bytes in hexadecimal digits, as the database has them in
    JSON."""

    idempotency_key: str
    instruction_id: str
    operation: str
    path: str
    payment_id: str
    subject_id: str
    at: datetime
    status: int | None
    request: str = ""
    fingerprint: str = ""


class AnswerRow(Struct, frozen=True, kw_only=True):
    """A row of ``response``; the body in hexadecimal digits, as the database has bytes in JSON."""

    idempotency_key: str
    status: int
    body: str
    at: datetime
    api_version: str | None = None


class ReplayRow(Struct, frozen=True, kw_only=True):
    """How often a request was repeated and got one kind of answer."""

    idempotency_key: str
    kind: str
    n: int
    first_at: datetime
    last_at: datetime


class MessageRow(Struct, frozen=True, kw_only=True):
    """A row of ``outbox``."""

    stream_id: str
    version: int
    subject_id: str
    message_id: str
    type: str
    at: datetime
    body: str | None = None
    answer_key: str | None = None
    dispatched_at: datetime | None = None
    api_version: str | None = None
    key_kind: str | None = None
    traceparent: str | None = None


class DeliveryRow(Struct, frozen=True, kw_only=True):
    """A message on its way to one endpoint."""

    endpoint_id: str
    message_id: str
    type: str
    state: str
    tries: int
    resends: int
    next_try_at: datetime | None
    dispatched_at: datetime
    closed_at: datetime | None


class SendRow(Struct, frozen=True, kw_only=True):
    """One try at one message to one endpoint, or the request of more."""

    endpoint_id: str
    message_id: str
    number: int
    started_at: datetime
    duration_ms: int
    result: str
    status: int | None
    detail: str | None
    actor: str | None


class EventRow(Struct, frozen=True, kw_only=True):
    """A provider's event that was routed to the payment."""

    provider: str
    account: str
    provider_event_id: str
    event_id: str
    type: str
    received_at: datetime
    occurred_at: datetime | None
    charge_reference: str | None
    state: str
    detail: str | None
    tries: int
    replays: int
    next_try_at: datetime | None
    closed_at: datetime | None
    notice: Any = None


class ArrivalRow(Struct, frozen=True, kw_only=True):
    """One arrival of an event."""

    provider_event_id: str
    delivery_id: str
    received_at: datetime
    validated_at: datetime
    recorded_at: datetime
    result: str


class TryRow(Struct, frozen=True, kw_only=True):
    """One try at an event, or an operator's act."""

    provider_event_id: str
    number: int
    started_at: datetime
    ended_at: datetime
    result: str
    detail: str | None
    change_id: str | None
    actor: str | None


class TraceRows(Struct, frozen=True, kw_only=True):
    """Everything stored about one payment. ``record`` is what ``verify`` looks at; where the row of the payment itself
    is missing, its head is the last state that the history gives. ``stored``: the ids of subjects that have rows.
    ``parked_at``, ``closed_at`` and the like are the database's times; ``now`` too."""

    record: PaymentRecord
    stored: frozenset[str]
    now: datetime
    deadlines: Mapping[str, datetime]
    steps: Sequence[StepRow]
    rejections: Sequence[RejectionRow]
    transfers: Sequence[TransferRow]
    instructions: Mapping[str, InstructionRow]
    answered: Mapping[str, AnswerRow]
    replays: Sequence[ReplayRow]
    messages: Sequence[MessageRow]
    deliveries: Sequence[DeliveryRow]
    sends: Sequence[SendRow]
    queues: frozenset[str] = field(default_factory=frozenset)
    events: Sequence[EventRow] = ()
    arrivals: Mapping[str, Sequence[ArrivalRow]] = field(default_factory=dict)
    tries: Mapping[str, Sequence[TryRow]] = field(default_factory=dict)


async def trace_rows(connection: Fetches, merchant_id: str, payment_id: str) -> TraceRows | None:
    """The rows of one payment, or None where this merchant has none. Raises what the connection raises."""
    stored = await connection.fetch(STATEMENTS["of_payment"], merchant_id, payment_id)
    events = await connection.fetch(STATEMENTS["events_of_payment"], merchant_id, payment_id)
    return rows_of(stored, events)


async def piped_trace_rows(connection: PipelineConnection, merchant_id: str, payment_id: str) -> TraceRows | None:
    """The same in one round trip, also where the connection has prepared nothing yet."""
    stored, events = await piped(
        connection, [Call(STATEMENTS[name], (merchant_id, payment_id)) for name in ("of_payment", "events_of_payment")]
    )
    return rows_of(stored, events)


async def piped(connection: PipelineConnection, calls: Sequence[Call]) -> list[list[tuple[Any, ...]]]:
    """The rows of statements that are sent together. Raises what the server refuses one with, and as ``exchange``."""
    done, refusal = await connection.exchange(calls)
    if refusal is not None:
        raise refusal
    return [answer.rows() for answer in done]


def rows_of(stored: Sequence[Any], events: Sequence[Any]) -> TraceRows | None:
    """The answers of both statements as rows; None where there is neither a row nor a history of the payment."""
    return _Parts([*stored, *events]).rows()


class _Parts:
    """Documents by the part that they are of."""

    def __init__(self, answered: Sequence[Any]) -> None:
        self._documents: dict[str, list[str]] = {}
        for part, document in answered:
            self._documents.setdefault(part, []).append(document)

    def rows(self) -> TraceRows | None:
        (now,) = (msgspec.json.decode(each, type=datetime) for each in self._documents["clock"])
        steps = sorted(self._all("step", StepRow), key=lambda each: (each.subject_id, each.version))
        payments = self._subjects(PAYMENT_KIND)
        others = [subject for kind in (ATTEMPT_KIND, REFUND_KIND, DISPUTE_KIND) for subject in self._subjects(kind)]
        histories = _histories(steps)
        replays = {each: replayed(of) for each, of in histories.items()}
        head = payments[0] if payments else _last_of(PAYMENT_KIND, histories, replays)
        if head is None:
            return None
        rejections = sorted(self._all("rejection", RejectionRow), key=lambda each: (each.at, each.rejection_id))
        transfers = sorted(
            self._all("transfer", TransferRow), key=lambda each: (each.at, each.subject_id, each.version, each.leg)
        )
        bodies = {each.idempotency_key: each for each in self._all("answer", AnswerRow)}
        # A message may name the answer of another payment, which is none of this one's.
        instructions = {
            each.idempotency_key: each
            for each in self._all("instruction", InstructionRow)
            if each.payment_id == kind_of(head).id_of(head)
        }
        answered = {key: bodies[key] for key in instructions if key in bodies}
        messages = sorted(self._all("message", MessageRow), key=lambda each: (each.version, each.subject_id))
        deadlines = {each["payment_id"]: _time(each["due_at"]) for each in self._raw("deadline")}
        due_at = next(iter(deadlines.values()), None)
        record = PaymentRecord(
            head=head,
            others=others,
            due_at=due_at,
            attempts=self._scheduled([each for each in others if isinstance(each, Attempt)], now),
            histories=histories,
            replays=replays,
            transfers=sorted(transfers, key=lambda each: (each.subject_id, each.version, each.leg)),
            rejections=rejections,
            messages=[_stored_message(each, bodies) for each in messages],
            answers={key: _recorded(each, answered.get(key)) for key, each in instructions.items()},
        )
        return TraceRows(
            record=record,
            stored=frozenset(kind_of(each).id_of(each) for each in (*payments, *others)),
            now=now,
            deadlines=deadlines,
            steps=sorted(steps, key=lambda each: (each.at is None, each.at, each.subject_id, each.version)),
            rejections=rejections,
            transfers=transfers,
            instructions=instructions,
            answered=answered,
            replays=self._all("replay", ReplayRow),
            messages=messages,
            deliveries=self._all("delivery", DeliveryRow),
            sends=sorted(self._all("send", SendRow), key=lambda each: each.started_at),
            queues=frozenset(each["endpoint_id"] for each in self._raw("queue")),
            events=sorted(self._all("event", EventRow), key=lambda each: (each.received_at, each.event_id)),
            arrivals=_by_event(self._all("arrival", ArrivalRow)),
            tries=_by_event(self._all("try", TryRow)),
        )

    def _raw(self, part: str) -> list[dict[str, Any]]:
        return [_JSON.decode(each) for each in self._documents.get(part, ())]

    def _all(self, part: str, row: type[Row]) -> list[Row]:
        return [msgspec.json.decode(each, type=row) for each in self._documents.get(part, ())]

    def _subjects(self, kind: SubjectKind) -> list[Any]:
        found = [subject_of(kind, each) for each in self._raw(kind.name)]
        return sorted((each for each in found if each is not None), key=kind.id_of)

    def _scheduled(self, attempts: Sequence[Attempt], now: datetime) -> list[ScheduledAttempt]:
        rows = {each["attempt_id"]: each for each in self._raw("attempt")}
        return [_scheduled(attempt, rows[attempt.attempt_id], now) for attempt in attempts]


def subject_of(kind: SubjectKind, row: Mapping[str, Any]) -> Any:
    """A subject out of its row's JSON; None where a value is none of its field's."""
    values = {name: row[name] for name in kind.columns if row.get(name) is not None}
    try:
        values |= {name: derive(row) for name, derive in kind.derived.items() if name not in values}
        return msgspec.convert(values, kind.struct)
    except (msgspec.ValidationError, KeyError, ValueError, TypeError):
        return None


def _scheduled(attempt: Attempt, row: Mapping[str, Any], now: datetime) -> ScheduledAttempt:
    parked_at = _time(row["parked_at"])
    return ScheduledAttempt(
        attempt=attempt,
        next_check_at=_time(row["next_check_at"]),
        parked_at=parked_at,
        parked_for_ms=None if parked_at is None else _ms(now, parked_at),
        settled_for_ms=_ms(now, _time(row["settled_after"]) or now),
    )


def _ms(until: datetime, since: datetime) -> int:
    return int((until - since).total_seconds() * 1000)


def _time(text: Any) -> Any:
    return None if text is None else msgspec.convert(text, datetime)


def _histories(steps: Sequence[StepRow]) -> dict[str, list[HistoryStep]]:
    histories: dict[str, list[HistoryStep]] = {}
    for step in steps:
        histories.setdefault(step.subject_id, []).append(
            HistoryStep(
                step.merchant_id,
                step.subject_id,
                step.version,
                step.change_id,
                step.subject or "",
                step.stream_id,
                step.from_state,
                step.to_state,
                step.event,
                step.at,
                _text(step.change),
                None if step.evidence is None else _text(step.evidence),
                step.payment_id is not None,
                step.key_kind,  # type: ignore[arg-type]  # the view gives one of the kinds
            )
        )
    return histories


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _last_of(kind: SubjectKind, histories: Mapping[str, Any], replays: Mapping[str, Any]) -> Subject | None:
    for subject_id, replay in replays.items():
        if histories[subject_id][0].subject == kind.name and replay.states:
            last: Subject = replay.states[max(replay.states)]
            return last
    return None


def bytes_of(digits: str | None) -> bytes | None:
    """Bytes out of what the database makes of them in JSON."""
    return None if digits is None else bytes.fromhex(digits.removeprefix("\\x"))


def _stored_message(row: MessageRow, answers: Mapping[str, AnswerRow]) -> StoredMessage:
    answer = answers.get(row.answer_key or "")
    return StoredMessage(
        stream_id=row.stream_id,
        version=row.version,
        subject_id=row.subject_id,
        message_id=row.message_id,
        type=row.type,
        at=row.at,
        body=bytes_of(row.body),
        answer=None if answer is None else bytes_of(answer.body),
        api_version=row.api_version,
        key_kind=row.key_kind,
        traceparent=row.traceparent,
    )


def _recorded(row: InstructionRow, answer: AnswerRow | None) -> RecordedAnswer:
    return RecordedAnswer(
        idempotency_key=row.idempotency_key,
        payment_id=row.payment_id,
        subject_id=row.subject_id,
        status=None if answer is None else answer.status,
        body=None if answer is None else bytes_of(answer.body),
        api_version=None if answer is None else answer.api_version,
    )


def _by_event(rows: Sequence[Any]) -> dict[str, list[Any]]:
    grouped: dict[str, list[Any]] = {}
    for row in rows:
        grouped.setdefault(row.provider_event_id, []).append(row)
    for of in grouped.values():
        of.sort(key=lambda each: getattr(each, "started_at", None) or each.recorded_at)
    return grouped
