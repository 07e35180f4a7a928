"""One entry of a timeline, and the entries of what people did and have to do about a payment."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Literal

from msgspec import Struct

from tallystick.record.postgres.trace_parts import CaseRow, TraceRows

#: What an entry is about. ``call``: a step of an attempt: what was sent to a provider, and what came back. ``step``: a
#: transition of a payment, refund or dispute. ``send``: one try at a message. ``act``: of an operator. ``case``: a
#: refused transition that somebody has to look at, as it stands. ``evidence``: what comparing a settlement row came to.
EntryKind = Literal[
    "request", "answer", "replay", "step", "rejection", "call", "arrival", "try", "transfer", "message",
    "delivery", "send", "act", "case", "evidence",
]  # fmt: skip


class Entry(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line. ``what``: the operation, event, verdict, type or result. ``count`` and ``last_at``: of what happened
    several times, and is one entry. ``state``, ``owner``, ``age_ms``: of a case as it stands; its age ends when it is
    resolved. ``reason`` and ``result``: an operator's, and what the act came to."""

    at: datetime | None
    kind: EntryKind
    what: str
    subject: str | None = None
    subject_id: str | None = None
    version: int | None = None
    from_state: str | None = None
    to_state: str | None = None
    cause: str | None = None
    actor: str | None = None
    key_kind: str | None = None
    idempotency_key: str | None = None
    status: int | None = None
    provider: str | None = None
    account: str | None = None
    reference: str | None = None
    verdict: str | None = None
    amount: int | None = None
    currency: str | None = None
    debit: str | None = None
    credit: str | None = None
    event_id: str | None = None
    message_id: str | None = None
    endpoint_id: str | None = None
    number: int | None = None
    duration_ms: int | None = None
    occurred_at: datetime | None = None
    detail: str | None = None
    alert: bool | None = None
    count: int | None = None
    last_at: datetime | None = None
    case_id: str | None = None
    state: str | None = None
    owner: str | None = None
    age_ms: int | None = None
    act_id: str | None = None
    reason: str | None = None
    result: dict[str, Any] | None = None


def acts(rows: TraceRows) -> Iterator[Entry]:
    """What operators did about the payment, or about what belongs to it."""
    for each in rows.acts:
        yield Entry(
            at=each.at,
            kind="act",
            what=each.act,
            subject_id=each.target,
            actor=each.operator,
            key_kind=each.key_kind,
            act_id=each.act_id,
            reason=each.reason,
            result=each.result,
        )


def evidence(rows: TraceRows) -> Iterator[Entry]:
    """What settlement rows say of the payment, each comparison at its time; a later one of a row supersedes it."""
    for each in rows.evidence:
        again = "" if each.supersedes is None else f"; supersedes comparison {each.supersedes}"
        fee = "" if each.fee == 0 else f", fee {each.fee}"
        yield Entry(
            at=each.compared_at,
            kind="evidence",
            what=each.status,
            subject=each.kind,
            subject_id=each.subject_id,
            version=each.subject_version,
            actor=each.actor,
            idempotency_key=each.idempotency_key,
            reference=each.row_reference,
            amount=each.gross,
            currency=each.currency,
            number=each.version,
            detail=f"{each.reason} by {each.stage}{fee}; {each.file_id}, line {each.line}, batch {each.batch}{again}",
        )


def cases(rows: TraceRows) -> Iterator[Entry]:
    """Refused transitions that somebody has or had to look at, each at the time of its refusal."""
    for each in rows.cases:
        yield Entry(
            at=each.created_at,
            kind="case",
            what=each.category,
            subject=each.subject,
            subject_id=each.subject_id,
            version=each.subject_version,
            from_state=each.subject_state,
            cause=each.tried_by,
            event_id=each.event_id,
            case_id=each.case_id,
            state=each.state,
            owner=each.owner,
            age_ms=_age(rows, each) // timedelta(milliseconds=1),
            detail=each.reason,
        )


def _age(rows: TraceRows, case: CaseRow) -> timedelta:
    """Until it was resolved, or until now. By clocks of two hosts it may be negative: then it is none."""
    until = case.updated_at if case.state == "resolved" else rows.now
    return max(until - case.created_at, timedelta())
