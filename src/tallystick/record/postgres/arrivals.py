"""Arrived events and their deliveries, as one transaction in two exchanges.

Two batches cannot deadlock: rows are sorted by the name of their event. What a connection committed before it was lost
stays as it is: rows keep their ids.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any, Final, Literal, NamedTuple

from msgspec import Struct

from tallystick.record.postgres.arrival_keys import new_key, wrapped
from tallystick.record.postgres.batch import JournalConnection
from tallystick.record.postgres.inbox import STATEMENTS
from tallystick.record.postgres.inbox_rows import EventName
from tallystick.record.postgres.pipeline import Call
from tallystick.record.postgres.results import Answer

Row = tuple[Any, ...]

#: How an arrival was taken: the first of its event, the same again, or other bytes under the event's name.
ArrivalResult = Literal["first", "redelivery", "other_bytes"]

_BEGIN: Final = Call("BEGIN")
_COMMIT: Final = Call("COMMIT")


class NotKept(Exception):
    """An arrival has no event: a defect, or rows changed by hand."""


class ArrivalRow(Struct, frozen=True, kw_only=True):
    """One event of one delivery. ``event``: what the inbox keeps of it besides name, id and digest, in the order of
    ``insert_events``. ``times``: when it was received and when it was verified."""

    name: EventName
    event_id: str
    delivery_id: str
    digest: bytes
    event: Row
    times: Row
    sealed: bytes


class Later(NamedTuple):
    """An arrival of an event that is in the record already, under the id ``known_as``."""

    result: ArrivalResult
    known_as: str


def _result(later: Later | None) -> ArrivalResult:
    return "first" if later is None else later.result


async def write_arrivals(
    connection: JournalConnection, rows: Sequence[ArrivalRow], shift_ms: int, *, after_loss: bool
) -> Mapping[str, Later]:
    """Commit them. Returns how those were taken that are not the first of their event, by event id. ``after_loss``: a
    connection was lost before, so they may be committed already.

    Raises NotKept (rolled back), and whatever the database raises.
    """
    rows = sorted(rows, key=attrgetter("name"))
    try:
        keys: dict[str, bytes | None] = {row.event_id: new_key() for row in rows}
        later = await _write_events(connection, rows, keys, shift_ms, after_loss=after_loss)
        deliveries = [
            (*row.name, row.delivery_id, *row.times, _result(later.get(row.event_id)), row.digest, _kept(row, keys))
            for row in rows
        ]
        # One that is there already is refused, so that none is lost unseen. After a refusal the server skips COMMIT.
        write = STATEMENTS["insert_missing_deliveries" if after_loss else "insert_deliveries"]
        await _exchange(connection, [Call(write, _columns(deliveries)), _COMMIT])
    except BaseException:
        if not connection.is_closed():
            await connection.execute("ROLLBACK")
        raise
    return later


def _kept(row: ArrivalRow, keys: Mapping[str, bytes | None]) -> bytes:
    """What is kept of its bytes. Those of an event of before keys are as it has them, until they are moved."""
    key = keys[row.event_id]
    return row.sealed if key is None else wrapped(key, row.sealed, (*row.name, row.delivery_id))


async def _write_events(
    connection: JournalConnection,
    rows: Sequence[ArrivalRow],
    keys: dict[str, bytes | None],
    shift_ms: int,
    *,
    after_loss: bool,
) -> dict[str, Later]:
    """``keys``: of each arrival's event, if it is the first. The key of a known event is put in its place; an erased
    one keeps that which nobody has. Raises NotKept where an arrival is neither the first of its event nor a later
    one."""
    events = [(*row.name, row.event_id, row.digest, *row.event, keys[row.event_id]) for row in rows]
    names = [(*row.name, row.event_id, row.digest) for row in rows]
    _, inserted, known = await _exchange(
        connection,
        [
            _BEGIN,
            Call(STATEMENTS["insert_events"], [*_columns(events), shift_ms]),
            Call(STATEMENTS["known_events"], [*_columns(names), after_loss]),
        ],
    )
    if known.count + (0 if after_loss else inserted.count) != len(rows):
        raise NotKept(f"{inserted.count} new and {known.count} known events of {len(rows)} arrivals")
    later = {}
    for event_id, is_first, same_bytes, known_as, raw_key, erased in known.rows():
        if not erased:
            keys[event_id] = raw_key
        if not is_first:
            later[event_id] = Later("redelivery" if same_bytes else "other_bytes", known_as)
    return later


async def _exchange(connection: JournalConnection, calls: Sequence[Call]) -> list[Answer]:
    done, refusal = await connection.exchange(calls)
    if refusal is not None:
        raise refusal
    return done


def _columns(rows: Sequence[Row]) -> list[Row]:
    return list(zip(*rows, strict=True))
