"""The subjects of a change as rows, and the statements that write them.

The first row of a payment or an attempt has every column. Later rows have its key and the columns that can change:
half as much to encode, and an update finds its row without trying to insert first.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from operator import attrgetter
from typing import Any, Final, NamedTuple, get_type_hints

import msgspec

from tallystick.domain.change import Change
from tallystick.domain.kinds import ATTEMPT_KIND, KINDS, PAYMENT_KIND, SubjectKind, kind_of
from tallystick.domain.provider_keys import provider_key
from tallystick.domain.subjects import Attempt, Payment
from tallystick.record.postgres import sql
from tallystick.record.postgres.column_types import array_type, is_json

STATEMENTS: Final = sql.load("journal.sql")

Row = tuple[Any, ...]

_ENCODER: Final = msgspec.json.Encoder()


def json_text(value: object) -> str:
    """JSON as text for a json column."""
    return _ENCODER.encode(value).decode()


def json_or_none(value: object | None) -> str | None:
    """JSON as text, or SQL's null."""
    return None if value is None else json_text(value)


def payment_row(payment: Payment) -> Row:
    """Columns of ``insert_payments``. What has its default is null. The last one is the key of personal fields; it is
    no part of the payment, and ``give_key`` gives it."""
    return (
        payment.merchant_id,
        payment.payment_id,
        payment.version,
        payment.state,
        payment.amount,
        payment.currency,
        payment.amount_authorized or None,
        payment.amount_captured or None,
        payment.amount_refunded or None,
        payment.amount_refund_pending or None,
        payment.amount_reversed or None,
        payment.amount_late or None,
        payment.amount_late_accepted or None,
        payment.amount_late_returning or None,
        payment.amount_late_returned or None,
        json_text(payment.late_movements) if payment.late_movements else None,
        json_text(payment.provider_operations) if payment.provider_operations else None,
        None if payment.capture_method == "automatic" else payment.capture_method,
        payment.payment_method,
        payment.provider,
        payment.provider_reference,
        json_or_none(payment.next_action),
        json_or_none(payment.failure),
        payment.description,
        json_text(payment.metadata),
        payment.created_at,
        payment.updated_at,
        payment.exponent,
        payment.provider_exponent,
        None,
    )


def payment_move_row(payment: Payment) -> Row:
    """Columns of ``move_payments``. What has its default is null."""
    return (
        payment.merchant_id,
        payment.payment_id,
        payment.version,
        payment.state,
        payment.amount_authorized or None,
        payment.amount_captured or None,
        payment.amount_refunded or None,
        payment.amount_refund_pending or None,
        payment.amount_reversed or None,
        payment.amount_late or None,
        payment.amount_late_accepted or None,
        payment.amount_late_returning or None,
        payment.amount_late_returned or None,
        json_text(payment.late_movements) if payment.late_movements else None,
        json_text(payment.provider_operations) if payment.provider_operations else None,
        payment.provider_reference,
        json_or_none(payment.next_action),
        json_or_none(payment.failure),
        payment.updated_at,
    )


def attempt_row(attempt: Attempt) -> Row:
    """Columns of ``insert_attempts``. A provider key that follows from the instruction's is null."""
    schedule = attempt.schedule
    return (
        attempt.merchant_id,
        attempt.payment_id,
        attempt.attempt_id,
        attempt.version,
        attempt.state,
        attempt.operation,
        attempt.purpose,
        attempt.refund_id,
        attempt.idempotency_key,
        attempt.amount,
        attempt.currency,
        attempt.capture,
        attempt.payment_method,
        attempt.provider,
        attempt.account,
        None if attempt.provider_key == _derived_key(attempt) else attempt.provider_key,
        attempt.provider_reference,
        attempt.parent_reference,
        attempt.submissions,
        attempt.late_effect,
        attempt.key_taken,
        schedule.next_check_in_ms,
        schedule.deadline_in_ms,
        schedule.settled_in_ms,
        schedule.parked,
        attempt.api_version,
        attempt.key_kind,
        attempt.traceparent,
    )


def _derived_key(attempt: Attempt) -> str | None:
    key = attempt.idempotency_key
    return None if key is None else provider_key(attempt.merchant_id, key, attempt.operation, 1)


def attempt_move_row(attempt: Attempt) -> Row:
    """Columns of ``move_attempts``."""
    schedule = attempt.schedule
    return (
        attempt.merchant_id,
        attempt.payment_id,
        attempt.attempt_id,
        attempt.version,
        attempt.state,
        attempt.provider_reference,
        attempt.submissions,
        attempt.late_effect,
        attempt.key_taken,
        schedule.next_check_in_ms,
        schedule.deadline_in_ms,
        schedule.settled_in_ms,
        schedule.parked,
    )


class SubjectWrite(NamedTuple):
    """How rows of one kind are written: the statement, and a subject as its row. ``takes_clock``: the last parameter is
    the shift of the database's clock in ms."""

    name: str
    statement: str
    row: Callable[[Any], Row]
    takes_clock: bool = False


class KindWrites(NamedTuple):
    """The writes of a kind: of a subject's first version, and of a later one. They may be the same."""

    first: SubjectWrite
    later: SubjectWrite


_FIRST_PAYMENT: Final = "insert_payments"

#: Kinds with statements of their own: payments for an update that sends only what can change, attempts also for their
#: schedule. Every other kind has one statement, built from its declaration.
_OWN_WRITES: Final = {
    PAYMENT_KIND.name: KindWrites(
        SubjectWrite(_FIRST_PAYMENT, STATEMENTS[_FIRST_PAYMENT], payment_row),
        SubjectWrite("move_payments", STATEMENTS["move_payments"], payment_move_row),
    ),
    ATTEMPT_KIND.name: KindWrites(
        SubjectWrite("insert_attempts", STATEMENTS["insert_attempts"], attempt_row, takes_clock=True),
        SubjectWrite("move_attempts", STATEMENTS["move_attempts"], attempt_move_row, takes_clock=True),
    ),
}


@cache
def writes_of(kind: SubjectKind) -> KindWrites:
    """How subjects of a kind are written."""
    own = _OWN_WRITES.get(kind.name)
    if own is not None:
        return own
    upsert = SubjectWrite(f"write_{kind.name}", upsert_statement(kind), _row_maker(kind))
    return KindWrites(upsert, upsert)


def subject_writes() -> list[SubjectWrite]:
    """Every write, in the order in which a batch runs them."""
    return list({write.name: write for kind in KINDS.values() for write in writes_of(kind)}.values())


def upsert_statement(kind: SubjectKind) -> str:
    """Insert a subject's first row, or replace an older version."""
    hints = get_type_hints(kind.struct)
    columns = ", ".join(kind.columns)
    values = ", ".join(
        f"unnest(${number}::{array_type(hints[name])}){'::json' if is_json(hints[name]) else ''}"
        for number, name in enumerate(kind.columns, 1)
    )
    moving = [name for name in kind.columns if name not in ("merchant_id", kind.id_field)]
    return (
        f"INSERT INTO {kind.table} ({columns})\n"
        f"SELECT {values}\n"
        f"ON CONFLICT (merchant_id, {kind.id_field}) DO UPDATE SET\n"
        f"    {', '.join(f'{name} = excluded.{name}' for name in moving)}\n"
        f"WHERE {kind.table}.version < excluded.version"
    )


def _row_maker(kind: SubjectKind) -> Callable[[Any], Row]:
    """A subject's columns in order. All fields are read at once; JSON is then encoded."""
    hints = get_type_hints(kind.struct)
    read = attrgetter(*kind.columns)
    json_at = [number for number, name in enumerate(kind.columns) if is_json(hints[name])]

    def row(subject: Any) -> Row:
        values = list(read(subject))
        for number in json_at:
            values[number] = json_or_none(values[number])
        return tuple(values)

    return row


class SubjectRows:
    """The subjects of one change, and of those beside it, as rows by the name of their write."""

    __slots__ = ("by_write", "count")

    def __init__(self, change: Change) -> None:
        self.by_write: dict[str, list[Row]] = {}
        self.count = 0
        self.add(change)

    def give_key(self, key: bytes) -> None:
        """The key of the personal fields of the payment that the change opens."""
        self.by_write[_FIRST_PAYMENT] = [(*row[:-1], key) for row in self.by_write[_FIRST_PAYMENT]]

    def add(self, change: Change) -> None:
        """The subjects of one more change, of another stream."""
        opened = {transition.subject_id for transition in change.transitions if transition.version == 1}
        for subject in change.subjects:
            kind = kind_of(subject)
            writes = writes_of(kind)
            write = writes.first if kind.id_of(subject) in opened else writes.later
            self.by_write.setdefault(write.name, []).append(write.row(subject))
        self.count += len(change.subjects)
