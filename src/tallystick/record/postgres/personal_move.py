"""Rows of before personal fields had keys are moved under keys, by the owner of the tables: the application may not
change history.

Four looks, in this order: at payments with the first step of their history, at instructions with their answers, at
messages, at events of providers with their arrivals. Each goes page by page; a page is one transaction with the note
of how far it came, so that a move goes on after a kill. A row is changed only where its holes, filled again, are the
very bytes that it had.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from os import urandom
from typing import Any, Final, NamedTuple

import msgspec
import psycopg

from tallystick.domain.errors import TallystickError
from tallystick.domain.personal import FIELDS, NotMasked, PersonalValues, has_personal
from tallystick.domain.requests.fingerprint import fingerprint
from tallystick.record.postgres.arrival_keys import new_key, wrapped
from tallystick.record.postgres.personal import KEY_BYTES, SEALED, sealed_change
from tallystick.record.sealing import WRAPPED_VERSION

#: Rows in one transaction: some hundred kilobytes, and less than a second on a slow machine.
PAGE_ROWS: Final = 500

Row = Mapping[str, Any]


class SealedAlready(TallystickError):
    """Rows of before are in the trees of the audit: to move them would break what was signed."""


class Look(NamedTuple):
    """One look at a table. ``page``: its next rows after a key, which are its first ``key`` columns. ``move``: changes
    those rows, and returns how many it changed and how many it had to leave. ``is_sealed``: what it
    changes is in leaves of the audit."""

    moves: str
    key: int
    page: str
    move: Callable[[psycopg.Connection, Sequence[tuple[Any, ...]]], tuple[int, int]]
    is_sealed: bool = True


class Moved(NamedTuple):
    """How many rows were changed, and how many had to be left as they were: they are not what their payment says."""

    rows: int
    left: int


def is_moved(connection: psycopg.Connection) -> bool:
    """Whether every look has ended once."""
    found = connection.execute("SELECT count(*) FROM personal_move WHERE finished_at IS NOT NULL").fetchone()
    return found is not None and found[0] == len(LOOKS)


def move_personal_fields(
    connection: psycopg.Connection, announce: Callable[[str], None] = lambda _: None, *, again: bool = False
) -> Moved:
    """Move what is left to be moved. ``again``: from the beginning, also where a move has ended. ``announce`` is told
    how far it is. Raises SealedAlready, and what the database raises."""
    rows = left = 0
    if again:
        connection.execute("DELETE FROM personal_move")
    for look in LOOKS:
        moved = _looked(connection, look, announce)
        rows, left = rows + moved.rows, left + moved.left
    return Moved(rows, left)


def _looked(connection: psycopg.Connection, look: Look, announce: Callable[[str], None]) -> Moved:
    rows = left = 0
    after, finished = _begun(connection, look)
    while not finished:
        with connection.transaction():
            page = connection.execute(look.page, (*after, PAGE_ROWS)).fetchall()
            changed, kept = look.move(connection, page)
            if changed and look.is_sealed and connection.execute("SELECT 1 FROM audit_head LIMIT 1").fetchone():
                raise SealedAlready(
                    "the record is sealed already, with personal fields in it: empty the five tables audit_… and seal"
                    " again, or leave these rows as they are; nothing more was moved"
                )
            finished = len(page) < PAGE_ROWS
            after = tuple(map(str, page[-1][: look.key])) if page else after
            _note(connection, look, after, changed, finished)
        rows, left = rows + changed, left + kept
        if changed:
            announce(f"personal fields: {rows} rows of {look.moves} moved under keys")
    if left:
        announce(f"personal fields: {left} rows of {look.moves} are not what their payment says, and were left")
    return Moved(rows, left)


def _begun(connection: psycopg.Connection, look: Look) -> tuple[tuple[str, ...], bool]:
    row = connection.execute(
        "SELECT after, finished_at IS NOT NULL FROM personal_move WHERE moves = %s", (look.moves,)
    ).fetchone()
    begin = ("",) * look.key if look.moves != "outbox" else ("", "", "0", "")
    return (begin, False) if row is None else (tuple(row[0]), row[1])


def _note(connection: psycopg.Connection, look: Look, after: Sequence[str], changed: int, finished: bool) -> None:
    connection.execute(
        "INSERT INTO personal_move (moves, after, moved, finished_at) VALUES (%s, %s, %s, %s)"
        " ON CONFLICT (moves) DO UPDATE SET after = excluded.after, moved = personal_move.moved + excluded.moved,"
        " finished_at = excluded.finished_at",
        (look.moves, list(after), changed, datetime.now(UTC) if finished else None),
    )


def _move_history(connection: psycopg.Connection, page: Sequence[tuple[Any, ...]]) -> tuple[int, int]:
    changed = left = 0
    for merchant_id, payment_id, description, metadata, key, erased_by, change in page:
        values = _values(description, metadata)
        if not values or key is not None or erased_by is not None:
            continue
        step = None if change is None else msgspec.json.decode(change)
        if step is None or SEALED in step or _personal(step) != _personal_of(values):
            left += 1
            continue
        own = urandom(KEY_BYTES)
        sealed = msgspec.json.encode(sealed_change(own, step, merchant_id, payment_id)).decode()
        connection.execute(
            "UPDATE transition SET change = %s::text::json WHERE merchant_id = %s AND subject_id = %s AND version = 1",
            (sealed, merchant_id, payment_id),
        )
        connection.execute(
            "UPDATE payment SET personal_key = %s WHERE merchant_id = %s AND payment_id = %s",
            (own, merchant_id, payment_id),
        )
        changed += 1
    return changed, left


def _move_instructions(connection: psycopg.Connection, page: Sequence[tuple[Any, ...]]) -> tuple[int, int]:
    changed = left = 0
    for merchant_id, name, operation, path, printed, request, body, description, metadata, key in page:
        has_it = has_personal(request), body is not None and has_personal(body)
        if not any(has_it):
            continue
        values, method = _values(description, metadata), operation.partition(" ")[0]
        new_request, new_body = _masked_request(values, request), None if body is None else _masked(values, body)
        unlike = fingerprint(method, path, request) != printed or new_request is None
        if key is None or unlike or (body is not None and new_body is None):
            left += 1
            continue
        whose = (merchant_id, name)
        if has_it[0]:
            connection.execute(
                "UPDATE instruction SET request = %s, fingerprint = %s WHERE merchant_id = %s AND idempotency_key = %s",
                (new_request, fingerprint(method, path, new_request or b""), *whose),
            )
        if has_it[1]:
            connection.execute(
                "UPDATE response SET body = %s WHERE merchant_id = %s AND idempotency_key = %s", (new_body, *whose)
            )
        changed += 1
    return changed, left


def _move_messages(connection: psycopg.Connection, page: Sequence[tuple[Any, ...]]) -> tuple[int, int]:
    changed = left = 0
    for *place, body, description, metadata, key in page:
        if body is None or not has_personal(body):
            continue
        masked = None if key is None else _masked(_values(description, metadata), body)
        if masked is None:
            left += 1
            continue
        connection.execute(
            "UPDATE outbox SET body = %s"
            " WHERE merchant_id = %s AND stream_id = %s AND version = %s AND subject_id = %s",
            (masked, *place),
        )
        changed += 1
    return changed, left


def _move_events(connection: psycopg.Connection, page: Sequence[tuple[Any, ...]]) -> tuple[int, int]:
    """What is sealed is wrapped as it is: no sealing key is needed. An older process also leaves arrivals as they are
    of events that have a key, or are erased: those of an erased one take a key that is thrown away."""
    changed = 0
    for *event, key, erased_by, is_left in page:
        if not is_left and (key is not None or erased_by is not None):
            continue
        own = key or new_key()
        where = "provider = %s AND account = %s AND provider_event_id = %s"
        unwrapped = f"SELECT delivery_id, sealed FROM delivery WHERE {where} AND substr(sealed, 1, 1) <> %s"
        arrivals = connection.execute(unwrapped, (*event, WRAPPED_VERSION)).fetchall()
        for delivery_id, sealed in arrivals:
            connection.execute(
                f"UPDATE delivery SET sealed = %s WHERE {where} AND delivery_id = %s",
                (wrapped(own, sealed, (*event, delivery_id)), *event, delivery_id),
            )
        connection.execute(f"UPDATE inbox SET raw_key = %s WHERE {where} AND erased_by IS NULL", (own, *event))
        changed += 1
    return changed, 0


def _values(description: str | None, metadata: Mapping[str, str] | None) -> PersonalValues:
    return PersonalValues(description=description, metadata=metadata or {})


def _personal(step: Row) -> Row:
    return {name: step[name] for name in FIELDS if step.get(name)}


def _personal_of(values: PersonalValues) -> Row:
    return _personal({"description": values.description, "metadata": values.metadata})


def _masked(values: PersonalValues, body: bytes) -> bytes | None:
    try:
        masked = values.masked(body)
    except NotMasked:
        return None
    return masked if values.filled(masked) == body else None


def _masked_request(values: PersonalValues, request: bytes) -> bytes | None:
    try:
        masked = values.masked_request(request)
    except NotMasked:
        return None
    return masked if values.filled_request(masked) == request else None


#: In this order: instructions and messages are moved of payments that have a key.
LOOKS: Final = (
    Look(
        "history",
        2,
        "SELECT p.merchant_id, p.payment_id, p.description, p.metadata, p.personal_key, p.erased_by, t.change::text"
        " FROM (SELECT * FROM payment WHERE (merchant_id, payment_id) > (%s, %s)"
        "       ORDER BY merchant_id, payment_id LIMIT %s) p"
        " LEFT JOIN transition t ON t.merchant_id = p.merchant_id AND t.subject_id = p.payment_id AND t.version = 1"
        " ORDER BY p.merchant_id, p.payment_id",
        _move_history,
    ),
    Look(
        "instruction",
        2,
        "SELECT i.merchant_id, i.idempotency_key, i.operation,"
        " coalesce(i.path, substr(i.operation, strpos(i.operation, ' ') + 1)), i.fingerprint, i.request, r.body,"
        " p.description, p.metadata, p.personal_key"
        " FROM (SELECT * FROM instruction WHERE (merchant_id, idempotency_key) > (%s, %s)"
        "       ORDER BY merchant_id, idempotency_key LIMIT %s) i"
        " LEFT JOIN response r ON r.merchant_id = i.merchant_id AND r.idempotency_key = i.idempotency_key"
        " LEFT JOIN payment p ON p.merchant_id = i.merchant_id AND p.payment_id = i.payment_id"
        " ORDER BY i.merchant_id, i.idempotency_key",
        _move_instructions,
    ),
    Look(
        "outbox",
        4,
        "SELECT o.merchant_id, o.stream_id, o.version, o.subject_id, o.body, p.description, p.metadata, p.personal_key"
        " FROM (SELECT * FROM outbox WHERE (merchant_id, stream_id, version, subject_id) > (%s, %s, %s::int, %s)"
        "       ORDER BY merchant_id, stream_id, version, subject_id LIMIT %s) o"
        " LEFT JOIN payment p ON p.merchant_id = o.merchant_id AND p.payment_id = o.stream_id"
        " ORDER BY o.merchant_id, o.stream_id, o.version, o.subject_id",
        _move_messages,
    ),
    Look(
        "inbox",
        3,
        "SELECT e.provider, e.account, e.provider_event_id, e.raw_key, e.erased_by,"
        " EXISTS (SELECT 1 FROM delivery d WHERE d.provider = e.provider AND d.account = e.account"
        "         AND d.provider_event_id = e.provider_event_id"
        f"         AND substr(d.sealed, 1, 1) <> '\\x{WRAPPED_VERSION.hex()}')"
        " FROM inbox e WHERE (e.provider, e.account, e.provider_event_id) > (%s, %s, %s)"
        " ORDER BY e.provider, e.account, e.provider_event_id LIMIT %s",
        _move_events,
        is_sealed=False,
    ),
)
