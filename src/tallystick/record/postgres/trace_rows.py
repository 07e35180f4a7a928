"""All durable rows about one payment, for its trace: two statements, each a snapshot of the tables that it reads.

A row comes as a JSON document, so that rows of every table are one statement's. Nothing that is sealed is read: neither
what arrived from a provider, nor a secret.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Protocol, TypeVar

import msgspec
from msgspec import Struct

from tallystick.domain.compiled_replay import replayed
from tallystick.domain.kinds import PAYMENT_KIND, SubjectKind, kind_of, members_of
from tallystick.domain.personal import PersonalValues
from tallystick.domain.replay import HistoryStep
from tallystick.domain.subjects import Attempt, Subject
from tallystick.record.postgres import trace_statements
from tallystick.record.postgres.payment_record import PaymentRecord, ScheduledAttempt
from tallystick.record.postgres.personal import MISSING, SEALED, Personal, in_document
from tallystick.record.postgres.pipeline import Call, PipelineConnection
from tallystick.record.postgres.stream_record import RecordedAnswer, StoredMessage
from tallystick.record.postgres.trace_parts import (
    ActRow,
    AnswerRow,
    ArrivalRow,
    CaseRow,
    DeliveryRow,
    EventRow,
    EvidenceRow,
    InstructionRow,
    MessageRow,
    RejectionRow,
    ReplayRow,
    SendRow,
    StepRow,
    TraceRows,
    TransferRow,
    TryRow,
)

Row = TypeVar("Row", bound=Struct)

_JSON: Final = msgspec.json.Decoder()

_TIME: Final = msgspec.json.Decoder(datetime)

#: The structs of rows, each with what reads it.
_DECODERS: Final[Mapping[type[Any], msgspec.json.Decoder[Any]]] = {
    StepRow: msgspec.json.Decoder(StepRow),
    RejectionRow: msgspec.json.Decoder(RejectionRow),
    TransferRow: msgspec.json.Decoder(TransferRow),
    InstructionRow: msgspec.json.Decoder(InstructionRow),
    AnswerRow: msgspec.json.Decoder(AnswerRow),
    ReplayRow: msgspec.json.Decoder(ReplayRow),
    MessageRow: msgspec.json.Decoder(MessageRow),
    DeliveryRow: msgspec.json.Decoder(DeliveryRow),
    SendRow: msgspec.json.Decoder(SendRow),
    EventRow: msgspec.json.Decoder(EventRow),
    ArrivalRow: msgspec.json.Decoder(ArrivalRow),
    TryRow: msgspec.json.Decoder(TryRow),
    CaseRow: msgspec.json.Decoder(CaseRow),
    ActRow: msgspec.json.Decoder(ActRow),
    EvidenceRow: msgspec.json.Decoder(EvidenceRow),
}


class Fetches(Protocol):
    """A connection or a pool that answers one statement."""

    async def fetch(self, query: str, *args: Any) -> Sequence[Any]:
        """Its rows."""


async def trace_rows(connection: Fetches, merchant_id: str, payment_id: str, shift_ms: int = 0) -> TraceRows | None:
    """The rows of one payment, or None where this merchant has none. ``shift_ms``: of this process's clock. Raises what
    the connection raises."""
    stored = await connection.fetch(trace_statements.of_payment(), merchant_id, payment_id, shift_ms)
    events = await connection.fetch(trace_statements.events_of_payment(), merchant_id, payment_id)
    return rows_of(stored, events)


async def piped_trace_rows(
    connection: PipelineConnection, merchant_id: str, payment_id: str, shift_ms: int = 0
) -> TraceRows | None:
    """The same in one round trip, also where the connection has prepared nothing yet."""
    whose = (merchant_id, payment_id)
    stored, events = await piped(
        connection,
        [Call(trace_statements.of_payment(), (*whose, shift_ms)), Call(trace_statements.events_of_payment(), whose)],
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
        (now,) = map(_TIME.decode, self._documents["clock"])
        personal = next(map(in_document, self._raw("payment")), MISSING)
        steps = sorted(
            (_opened(each, personal) for each in self._all("step", StepRow)),
            key=lambda each: (each.subject_id, each.version),
        )
        payments = self._subjects(PAYMENT_KIND)
        others = [subject for kind in members_of(PAYMENT_KIND) for subject in self._subjects(kind)]
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
            messages=[_stored_message(each, bodies, personal.values) for each in messages],
            answers={key: _recorded(each, answered.get(key), personal.values) for key, each in instructions.items()},
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
            cases=sorted(self._all("case", CaseRow), key=lambda each: (each.created_at, each.case_id)),
            acts=sorted(self._all("act", ActRow), key=lambda each: (each.at, each.act_id)),
            evidence=sorted(
                self._all("evidence", EvidenceRow),
                key=lambda each: (each.compared_at, each.file_id, each.position, each.version),
            ),
        )

    def _raw(self, part: str) -> list[dict[str, Any]]:
        return [_JSON.decode(each) for each in self._documents.get(part, ())]

    def _all(self, part: str, row: type[Row]) -> list[Row]:
        decode = _DECODERS[row].decode
        return [decode(each) for each in self._documents.get(part, ())]

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


def _opened(step: StepRow, personal: Personal) -> StepRow:
    """A step with its personal fields."""
    if not (isinstance(step.change, dict) and SEALED in step.change):
        return step
    change = personal.opened(_text(step.change), step.merchant_id, step.stream_id)
    return msgspec.structs.replace(step, change=_JSON.decode(change))


def _filled(digits: str | None, values: PersonalValues) -> bytes | None:
    body = bytes_of(digits)
    return None if body is None else values.filled(body)


def _stored_message(row: MessageRow, answers: Mapping[str, AnswerRow], values: PersonalValues) -> StoredMessage:
    answer = answers.get(row.answer_key or "")
    return StoredMessage(
        stream_id=row.stream_id,
        version=row.version,
        subject_id=row.subject_id,
        message_id=row.message_id,
        type=row.type,
        at=row.at,
        body=_filled(row.body, values),
        answer=None if answer is None else _filled(answer.body, values),
        api_version=row.api_version,
        key_kind=row.key_kind,
        traceparent=row.traceparent,
    )


def _recorded(row: InstructionRow, answer: AnswerRow | None, values: PersonalValues) -> RecordedAnswer:
    return RecordedAnswer(
        idempotency_key=row.idempotency_key,
        payment_id=row.payment_id,
        subject_id=row.subject_id,
        status=None if answer is None else answer.status,
        body=None if answer is None else _filled(answer.body, values),
        api_version=None if answer is None else answer.api_version,
    )


def _by_event(rows: Sequence[Any]) -> dict[str, list[Any]]:
    grouped: dict[str, list[Any]] = {}
    for row in rows:
        grouped.setdefault(row.provider_event_id, []).append(row)
    for of in grouped.values():
        of.sort(key=lambda each: getattr(each, "started_at", None) or each.recorded_at)
    return grouped
