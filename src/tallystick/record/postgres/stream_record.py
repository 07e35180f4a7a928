"""Everything stored about one stream, read in pages: the input of the invariants of every kind."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from operator import attrgetter
from typing import Any, Final, Self, TypeVar, overload

import asyncpg
import msgspec
from msgspec import Struct

from tallystick.domain.compiled_replay import replayed
from tallystick.domain.kinds import SubjectKind, kind_of, members_of
from tallystick.domain.origin import Origin
from tallystick.domain.personal import has_holes
from tallystick.domain.replay import HistoryStep, Replay
from tallystick.domain.subjects import Subject
from tallystick.record.postgres.histories import histories_of
from tallystick.record.postgres.invariant_statements import STATEMENT_TIMEOUT_S, as_list, fetch_all
from tallystick.record.postgres.message_bodies import stored_body
from tallystick.record.postgres.personal import personal_of
from tallystick.record.postgres.structs import unchecked_structs
from tallystick.record.postgres.subject_reads import subjects_of

Row = TypeVar("Row")
T = TypeVar("T")

#: Streams looked at together. What is made of their rows and looked at stays in the processor's caches.
TOGETHER: Final = 25

#: Streams read at a time: a few megabytes with their history, and few enough round trips for millions.
PAGE_STREAMS: Final = 500


class StoredTransfer(Struct, frozen=True, kw_only=True, gc=False):
    """A ledger row, with the fields that invariants need."""

    stream_id: str
    subject_id: str
    version: int
    leg: int
    kind: str
    debit: str
    credit: str
    amount: int
    currency: str


class StoredRejection(Struct, frozen=True, kw_only=True, gc=False):
    """A refused transition, with the fields that invariants need."""

    stream_id: str
    rejection_id: str
    subject_id: str
    state: str
    version: int
    event: str
    origin: Origin
    alert: bool
    idempotency_key: str | None
    at: datetime


class RecordedAnswer(Struct, frozen=True, kw_only=True, gc=False):
    """A claimed key, and its recorded answer if there is one. ``api_version``: the answer's version, as stored."""

    idempotency_key: str
    payment_id: str
    subject_id: str
    status: int | None
    body: bytes | None
    api_version: str | None = None


class StoredMessage(Struct, frozen=True, kw_only=True, gc=False):
    """A message to the merchant, as written: its ``body``, or the ``answer`` that is its data. It has neither where the
    answer that it names is missing. ``api_version``: the version that it is written in, as stored."""

    stream_id: str
    version: int
    subject_id: str
    message_id: str
    type: str
    at: datetime | None = None
    body: bytes | None = None
    answer: bytes | None = None
    api_version: str | None = None
    key_kind: str | None = None  # its letter
    traceparent: str | None = None

    @property
    def sent(self) -> bytes:
        """The body as it is sent; empty where its answer is missing."""
        return stored_body(msgspec.structs.asdict(self))


_STREAM: Final = attrgetter("stream_id")


class computed_once(cached_property[T]):
    """``cached_property`` without its lock, as of Python 3.12: the lock costs more than most of what is computed."""

    @overload
    def __get__(self, instance: None, owner: type[Any] | None = None) -> Self: ...

    @overload
    def __get__(self, instance: object, owner: type[Any] | None = None) -> T: ...

    def __get__(self, instance: Any, owner: type[Any] | None = None) -> Any:
        """The value, computed when it is first asked for."""
        if instance is None:
            return self
        value = instance.__dict__[self.attrname] = self.func(instance)
        return value


class StreamRecord(Struct, frozen=True, kw_only=True, dict=True):
    """One stream: its own subject (``head``), the others in it, their history, ledger rows, rejections and messages.
    It has a dict for what several invariants ask and is computed once."""

    head: Any  # a Subject; a struct cannot check a protocol
    others: Sequence[Any] = ()
    histories: Mapping[str, Sequence[HistoryStep]]
    replays: Mapping[str, Replay]
    transfers: Sequence[StoredTransfer]
    rejections: Sequence[StoredRejection]
    messages: Sequence[StoredMessage]

    @computed_once
    def stream_id(self) -> str:
        """The id of its own subject."""
        return kind_of(self.head).id_of(self.head)

    @computed_once
    def subjects(self) -> Sequence[tuple[str, Subject]]:
        """Each stored subject, by its id."""
        return [(kind_of(subject).id_of(subject), subject) for subject in (self.head, *self.others)]

    @computed_once
    def debits(self) -> Mapping[str, int]:
        """Debits less credits of the stream's ledger rows on each account."""
        sums: dict[str, int] = {}
        for row in self.transfers:
            sums[row.debit] = sums.get(row.debit, 0) + row.amount
            sums[row.credit] = sums.get(row.credit, 0) - row.amount
        return sums

    def step(self, subject_id: str, version: int) -> HistoryStep | None:
        """One step of history."""
        for step in self.histories.get(subject_id, ()):
            if step.version == version:
                return step
        return None


class StreamRows(Struct, frozen=True, kw_only=True):
    """Rows of several streams, grouped by stream or by subject."""

    histories: Mapping[str, Sequence[HistoryStep]]
    transfers: Mapping[str, Sequence[StoredTransfer]]
    rejections: Mapping[str, Sequence[StoredRejection]]
    messages: Mapping[str, Sequence[StoredMessage]]
    answers: Mapping[str, RecordedAnswer]

    def histories_in(self, head: Subject, others: Iterable[Subject]) -> dict[str, Sequence[HistoryStep]]:
        """The histories of a stream's subjects, by subject."""
        found: dict[str, Sequence[HistoryStep]] = {}
        for subject in (head, *others):
            subject_id = kind_of(subject).id_of(subject)
            if (steps := self.histories.get(subject_id)) is not None:
                found[subject_id] = steps
        return found


async def stream_records(
    connection: asyncpg.Connection, merchant_id: str, head: SubjectKind
) -> AsyncIterator[list[StreamRecord]]:
    """A merchant's streams of one kind in pages, in the order of their ids."""
    last = ""
    while True:
        page = await connection.fetch(
            f"SELECT * FROM {head.table} WHERE merchant_id = $1 AND {head.id_field} > $2"
            f" ORDER BY {head.id_field} LIMIT $3",
            merchant_id,
            last,
            PAGE_STREAMS,
            timeout=STATEMENT_TIMEOUT_S,
        )
        if not page:
            return
        heads = subjects_of(head, page)
        ids = [head.id_of(each) for each in heads]
        others = await members(connection, merchant_id, members_of(head), ids)
        rows = await stream_rows(connection, merchant_id, ids, [each for group in others.values() for each in group])
        for some in batched(heads):
            yield [assembled(each, others.get(head.id_of(each), []), rows) for each in some]
        last = ids[-1]


def assembled(head: Subject, others: Sequence[Subject], rows: StreamRows) -> StreamRecord:
    """One stream's record out of the rows of several."""
    stream_id = kind_of(head).id_of(head)
    histories = rows.histories_in(head, others)
    return StreamRecord(
        head=head,
        others=others,
        histories=histories,
        replays={each: replayed(steps) for each, steps in histories.items()},
        transfers=rows.transfers.get(stream_id, []),
        rejections=rows.rejections.get(stream_id, []),
        messages=rows.messages.get(stream_id, []),
    )


async def members(
    connection: asyncpg.Connection, merchant_id: str, kinds: Sequence[SubjectKind], stream_ids: Sequence[str]
) -> dict[str, list[Any]]:
    """The subjects of these kinds in these streams, by stream."""
    found: dict[str, list[Any]] = {}
    for kind in kinds:
        statement = (
            f"SELECT {', '.join(kind.columns)} FROM {kind.table}"
            f" WHERE merchant_id = $1 AND {kind.stream_field} = ANY(string_to_array($2::text, $3::text))"
            f" ORDER BY {kind.id_field}"
        )
        rows = await connection.fetch(statement, merchant_id, *as_list(stream_ids), timeout=STATEMENT_TIMEOUT_S)
        for subject in subjects_of(kind, rows):
            found.setdefault(getattr(subject, kind.stream_field), []).append(subject)
    return found


async def stream_rows(
    connection: asyncpg.Connection,
    merchant_id: str,
    stream_ids: Sequence[str],
    others: Iterable[Subject],
    keys: Iterable[str | None] = (),
) -> StreamRows:
    """History, ledger, rejections and messages of these streams and of the other subjects in them; and the instructions
    under ``keys`` and those of the rejections."""
    subject_ids = [*stream_ids, *(kind_of(each).id_of(each) for each in others)]
    listed = as_list(stream_ids)
    histories = await histories_of(connection, merchant_id, subject_ids)
    transfers = await fetch_all(connection, "transfers", merchant_id, *listed)
    refused = await fetch_all(connection, "rejections", merchant_id, *listed)
    rejections = unchecked_structs(refused, StoredRejection)
    claimed = {key for key in (*keys, *(each.idempotency_key for each in rejections)) if key is not None}
    found = await fetch_all(connection, "answers", merchant_id, *as_list(claimed)) if claimed else []
    answers = {each.idempotency_key: each for each in await _filled(connection, merchant_id, found)}
    return StreamRows(
        histories=histories,
        transfers=grouped(unchecked_structs(transfers, StoredTransfer), _STREAM),
        rejections=grouped(rejections, _STREAM),
        messages=grouped(await _messages(connection, merchant_id, stream_ids, answers), _STREAM),
        answers=answers,
    )


async def _messages(
    connection: asyncpg.Connection, merchant_id: str, stream_ids: Sequence[str], answers: Mapping[str, RecordedAnswer]
) -> list[StoredMessage]:
    """The messages of these streams. The answers that they name are nearly always among ``answers``."""
    rows = await fetch_all(connection, "messages", merchant_id, *as_list(stream_ids))
    bodies = {key: answer.body for key, answer in answers.items()}
    if elsewhere := {row["answer_key"] for row in rows} - bodies.keys() - {None}:
        found = await fetch_all(connection, "responses", merchant_id, *as_list(elsewhere))
        bodies |= {each["idempotency_key"]: each["body"] for each in found}
    with_holes = [
        row["stream_id"] for row in rows if has_holes(row["body"]) or has_holes(bodies.get(row["answer_key"]))
    ]
    personal = await personal_of(connection, [(merchant_id, each) for each in with_holes])

    def filled(body: bytes | None, stream_id: str) -> bytes | None:
        if body is None or (found := personal.get((merchant_id, stream_id))) is None:
            return body
        return found.values.filled(body)

    return [
        StoredMessage(
            stream_id=stream_id,
            version=version,
            subject_id=subject_id,
            message_id=message_id,
            type=type_,
            at=at,
            body=filled(body, stream_id),
            answer=filled(bodies.get(answer_key), stream_id),
            api_version=api_version,
            key_kind=kind,
            traceparent=trace,
        )
        for stream_id, version, subject_id, message_id, type_, at, body, answer_key, api_version, kind, trace in rows
    ]


async def _filled(connection: asyncpg.Connection, merchant_id: str, found: Sequence[Any]) -> list[RecordedAnswer]:
    """Answers as they were given."""
    answers = unchecked_structs(found, RecordedAnswer)
    names = {(merchant_id, each.payment_id) for each in answers if has_holes(each.body)}
    personal = await personal_of(connection, names)
    if not personal:
        return answers
    filled = []
    for each in answers:
        of = personal.get((merchant_id, each.payment_id))
        body = each.body if each.body is None or of is None else of.values.filled(each.body)
        filled.append(msgspec.structs.replace(each, body=body))
    return filled


def batched(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    """The rows of a page, ``TOGETHER`` at a time."""
    for start in range(0, len(rows), TOGETHER):
        yield rows[start : start + TOGETHER]


def grouped(rows: Iterable[Row], key: Callable[[Row], str]) -> dict[str, list[Row]]:
    """Rows by a key, each group in the rows' order."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


async def merchants(connection: asyncpg.Connection, only: str | None) -> AsyncIterator[str]:
    """Every merchant with rows in the record, or only the given one."""
    if only is not None:
        yield only
        return
    last = ""
    while (rows := await fetch_all(connection, "next_merchant", last))[0][0] is not None:
        last = rows[0][0]
        yield last
