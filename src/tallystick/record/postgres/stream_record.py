"""Everything stored about one stream, read in pages: the input of the invariants of every kind."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from functools import cached_property
from itertools import groupby
from operator import attrgetter
from typing import Any, Final, TypeVar

import asyncpg
from msgspec import Struct

from tallystick.domain.change import Transfer
from tallystick.domain.kinds import SubjectKind, kind_of, members_of
from tallystick.domain.replay import HistoryStep, Replay, replay
from tallystick.domain.subjects import Subject
from tallystick.record.postgres import sql
from tallystick.record.postgres.message_bodies import stored_body
from tallystick.record.postgres.structs import unchecked_reader
from tallystick.record.postgres.subject_reads import reader

Row = TypeVar("Row")

STATEMENTS: Final = sql.load("invariants.sql")

#: Streams read at a time: a few megabytes with their history, and few enough round trips for millions.
PAGE_STREAMS: Final = 500

#: The longest time for one statement: one adds up a merchant's whole ledger.
STATEMENT_TIMEOUT_S: Final = 3_600.0


class StoredRejection(Struct, frozen=True, kw_only=True):
    """A refused transition, with the fields that invariants need."""

    stream_id: str
    rejection_id: str
    subject_id: str
    state: str
    version: int
    event: str
    origin: str
    alert: bool
    idempotency_key: str | None


class StoredMessage(Struct, frozen=True, kw_only=True):
    """A message to the merchant, as written."""

    stream_id: str
    version: int
    subject_id: str
    message_id: str
    type: str
    body: bytes


_step: Final = unchecked_reader(HistoryStep)
_transfer: Final = unchecked_reader(Transfer)
_rejection: Final = unchecked_reader(StoredRejection)

_SUBJECT: Final = attrgetter("subject_id")
_STREAM: Final = attrgetter("stream_id")


class StreamRecord(Struct, frozen=True, kw_only=True, dict=True):
    """One stream: its own subject (``head``), the others in it, their history, ledger rows, rejections and messages.
    It has a dict for what several invariants ask and is computed once."""

    head: Any  # a Subject; a struct cannot check a protocol
    others: Sequence[Any] = ()
    histories: Mapping[str, Sequence[HistoryStep]]
    replays: Mapping[str, Replay]
    transfers: Sequence[Transfer]
    rejections: Sequence[StoredRejection]
    messages: Sequence[StoredMessage]

    @cached_property
    def stream_id(self) -> str:
        """The id of its own subject."""
        return kind_of(self.head).id_of(self.head)

    @cached_property
    def subjects(self) -> Sequence[tuple[str, Subject]]:
        """Each stored subject, by its id."""
        return [(kind_of(subject).id_of(subject), subject) for subject in (self.head, *self.others)]

    @cached_property
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
    replays: Mapping[str, Replay]
    transfers: Mapping[str, Sequence[Transfer]]
    rejections: Mapping[str, Sequence[StoredRejection]]
    messages: Mapping[str, Sequence[StoredMessage]]


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
        heads = [reader(head)(row) for row in page]
        ids = [head.id_of(each) for each in heads]
        others = await members(connection, merchant_id, members_of(head), ids)
        rows = await stream_rows(connection, merchant_id, ids, [each for group in others.values() for each in group])
        yield [assembled(each, others.get(head.id_of(each), []), rows) for each in heads]
        last = ids[-1]


def assembled(head: Subject, others: Sequence[Subject], rows: StreamRows) -> StreamRecord:
    """One stream's record out of the rows of several."""
    stream_id = kind_of(head).id_of(head)
    ids = [stream_id, *(kind_of(each).id_of(each) for each in others)]
    return StreamRecord(
        head=head,
        others=others,
        histories={each: rows.histories[each] for each in ids if each in rows.histories},
        replays={each: rows.replays[each] for each in ids if each in rows.replays},
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
            f"SELECT * FROM {kind.table} WHERE merchant_id = $1 AND {kind.stream_field} = ANY($2::text[])"
            f" ORDER BY {kind.id_field}"
        )
        for row in await connection.fetch(statement, merchant_id, stream_ids, timeout=STATEMENT_TIMEOUT_S):
            found.setdefault(row[kind.stream_field], []).append(reader(kind)(row))
    return found


async def stream_rows(
    connection: asyncpg.Connection, merchant_id: str, stream_ids: Sequence[str], others: Iterable[Subject]
) -> StreamRows:
    """History, ledger, rejections and messages of these streams and of the other subjects in them."""
    subject_ids = [*stream_ids, *(kind_of(each).id_of(each) for each in others)]
    steps = [_step(row) for row in await fetch_all(connection, "transitions", merchant_id, subject_ids)]
    histories = {subject_id: tuple(group) for subject_id, group in groupby(steps, key=_SUBJECT)}
    transfers = await fetch_all(connection, "transfers", merchant_id, stream_ids)
    rejections = await fetch_all(connection, "rejections", merchant_id, stream_ids)
    messages = await fetch_all(connection, "messages", merchant_id, stream_ids)
    return StreamRows(
        histories=histories,
        replays={subject_id: replay(history) for subject_id, history in histories.items()},
        transfers=grouped([_transfer(row) for row in transfers], _STREAM),
        rejections=grouped([_rejection(row) for row in rejections], _STREAM),
        messages=grouped([_message(row) for row in messages], _STREAM),
    )


def _message(row: asyncpg.Record) -> StoredMessage:
    return StoredMessage(
        stream_id=row["stream_id"],
        version=row["version"],
        subject_id=row["subject_id"],
        message_id=row["message_id"],
        type=row["type"],
        body=stored_body(row),
    )


def grouped(rows: Iterable[Row], key: Callable[[Row], str]) -> dict[str, list[Row]]:
    """Rows by a key, each group in the rows' order."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


async def fetch_all(connection: asyncpg.Connection, name: str, *values: Any) -> list[asyncpg.Record]:
    """The rows of one of the statements."""
    return await connection.fetch(STATEMENTS[name], *values, timeout=STATEMENT_TIMEOUT_S)


async def merchants(connection: asyncpg.Connection, only: str | None) -> AsyncIterator[str]:
    """Every merchant with rows in the record, or only the given one."""
    if only is not None:
        yield only
        return
    last = ""
    while (rows := await fetch_all(connection, "next_merchant", last))[0][0] is not None:
        last = rows[0][0]
        yield last
