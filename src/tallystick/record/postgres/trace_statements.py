"""The statements of a payment's trace. Those of ``trace.sql`` name the tables of the kinds that have more in them than
their rows; every other kind whose subjects belong to a payment is read by its declaration."""

from __future__ import annotations

from functools import cache
from typing import Final

from tallystick.domain.kinds import ATTEMPT_KIND, DISPUTE_KIND, PAYMENT_KIND, REFUND_KIND, SubjectKind, members_of
from tallystick.record.postgres import sql

STATEMENTS: Final = sql.load("trace.sql")

#: The kinds whose tables ``trace.sql`` names: attempts lead to instructions and refunds, and all of them to acts.
_NAMED: Final = (ATTEMPT_KIND, REFUND_KIND, DISPUTE_KIND)


def of_payment() -> str:
    """All that the merchant's tables have of one payment ($1: merchant, $2: payment, $3: shift in ms)."""
    return _of_payment(_further())


def events_of_payment() -> str:
    """What is kept under no merchant's key ($1: merchant, $2: payment)."""
    return _events_of_payment(_further())


def _further() -> tuple[SubjectKind, ...]:
    return tuple(kind for kind in members_of(PAYMENT_KIND) if kind not in _NAMED)


@cache
def _of_payment(kinds: tuple[SubjectKind, ...]) -> str:
    parts = [STATEMENTS["of_payment"]]
    for kind in kinds:
        parts += [
            f"SELECT '{kind.name}', to_json(m)::text FROM {_rows(kind)}",
            f"SELECT 'step', to_json(h)::text FROM {kind.table} m"
            f" JOIN history h ON h.merchant_id = m.merchant_id AND h.subject_id = m.{kind.id_field}"
            f" WHERE {_of(kind)} AND NOT EXISTS (SELECT 1 FROM subjects s WHERE s.subject_id = m.{kind.id_field})",
        ]
    return "\nUNION ALL ".join(parts)


@cache
def _events_of_payment(kinds: tuple[SubjectKind, ...]) -> str:
    parts = [STATEMENTS["events_of_payment"]]
    parts += [
        f"SELECT 'act', to_json(o)::text FROM {kind.table} m JOIN operator_act o ON o.target = m.{kind.id_field}"
        f" AND (o.payment_id IS NULL OR o.payment_id <> $2::text) WHERE {_of(kind)}"
        for kind in kinds
    ]
    return "\nUNION ALL ".join(parts)


def _rows(kind: SubjectKind) -> str:
    return f"{kind.table} m WHERE {_of(kind)}"


def _of(kind: SubjectKind) -> str:
    return f"m.merchant_id = $1::text AND m.{kind.stream_field} = $2::text"
