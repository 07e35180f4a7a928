"""Everything that the record holds of one payment, read in pages: what the invariants of a payment look at."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any, Final, TypeVar

import asyncpg
from msgspec import Struct

from tallystick.domain.change import Transfer
from tallystick.domain.replay import Replay, Step, replay
from tallystick.domain.subjects import Attempt, Dispute, Payment, Refund
from tallystick.record.postgres import sql
from tallystick.record.postgres.reads import attempt_of, dispute_of, payment_of, refund_of

Row = TypeVar("Row")

STATEMENTS: Final = sql.load("invariants.sql")

#: Payments read at a time: a few megabytes with their history, and few enough round trips for millions.
PAGE_PAYMENTS: Final = 500

#: Longest that one statement may take: a merchant's whole ledger is added up in one.
STATEMENT_TIMEOUT_S: Final = 3_600.0


class WatchedAttempt(Struct, frozen=True, kw_only=True):
    """An attempt with its place in recovery's schedule."""

    attempt: Attempt
    next_check_at: datetime | None
    parked_at: datetime | None
    parked_for_ms: int | None
    settled_for_ms: int  # since nothing of it can be on its way any more; negative before


class Refusal(Struct, frozen=True, kw_only=True):
    """A rejected transition, as far as the invariants look."""

    payment_id: str
    rejection_id: str
    subject_id: str
    state: str
    version: int
    event: str
    origin: str
    alert: bool
    idempotency_key: str | None


class Answer(Struct, frozen=True, kw_only=True):
    """A claimed key, and the recorded response where there is one."""

    idempotency_key: str
    payment_id: str
    subject_id: str
    status: int | None
    body: bytes | None


class Told(Struct, frozen=True, kw_only=True):
    """A message to the merchant, as it was written."""

    payment_id: str
    version: int
    subject_id: str
    message_id: str
    type: str
    body: bytes


class PaymentRecord(Struct, frozen=True, kw_only=True):
    """One payment with all that belongs to it: refunds, disputes, attempts, history, ledger rows, rejections, answers
    and messages."""

    payment: Payment
    due_at: datetime | None  # when recovery looks at its authorization
    refunds: Sequence[Refund]
    disputes: Sequence[Dispute]
    attempts: Sequence[WatchedAttempt]
    histories: Mapping[str, Sequence[Step]]
    replays: Mapping[str, Replay]
    transfers: Sequence[Transfer]
    refusals: Sequence[Refusal]
    answers: Mapping[str, Answer]
    messages: Sequence[Told]

    def subjects(self) -> Iterable[tuple[str, Payment | Refund | Attempt | Dispute]]:
        """Each stored row that has a life, by its id."""
        yield self.payment.payment_id, self.payment
        for refund in self.refunds:
            yield refund.refund_id, refund
        for dispute in self.disputes:
            yield dispute.dispute_id, dispute
        for watched in self.attempts:
            yield watched.attempt.attempt_id, watched.attempt

    def step(self, subject_id: str, version: int) -> Step | None:
        """One step of history."""
        for step in self.histories.get(subject_id, ()):
            if step.version == version:
                return step
        return None


async def payment_records(
    connection: asyncpg.Connection, merchant_id: str, *, clock_shift_ms: int
) -> AsyncIterator[list[PaymentRecord]]:
    """A merchant's payments in pages, in the order of their ids."""
    last = ""
    while True:
        page = await fetch_all(connection, "payments", merchant_id, last, PAGE_PAYMENTS)
        if not page:
            return
        rows = await _rows_of(connection, merchant_id, [row["payment_id"] for row in page], clock_shift_ms)
        yield list(_assembled(page, rows))
        last = page[-1]["payment_id"]


class _Rows(Struct, frozen=True, kw_only=True):
    refunds: list[Refund]
    disputes: list[Dispute]
    messages: list[Told]
    attempts: list[WatchedAttempt]
    steps: list[Step]
    transfers: list[Transfer]
    refusals: list[Refusal]
    answers: list[Answer]


async def _rows_of(
    connection: asyncpg.Connection, merchant_id: str, payment_ids: list[str], clock_shift_ms: int
) -> _Rows:
    async def fetch(name: str, *values: Any) -> list[asyncpg.Record]:
        return await fetch_all(connection, name, merchant_id, *values)

    refunds = [refund_of(row) for row in await fetch("refunds", payment_ids)]
    disputes = [dispute_of(row) for row in await fetch("disputes", payment_ids)]
    attempts = [_watched(row) for row in await fetch("attempts", payment_ids, clock_shift_ms)]
    refusals = [Refusal(**dict(row)) for row in await fetch("rejections", payment_ids)]
    subject_ids = [*payment_ids, *(refund.refund_id for refund in refunds)]
    subject_ids += [dispute.dispute_id for dispute in disputes]
    subject_ids += [watched.attempt.attempt_id for watched in attempts]
    keys = {watched.attempt.idempotency_key for watched in attempts}
    keys |= {refusal.idempotency_key for refusal in refusals}
    return _Rows(
        refunds=refunds,
        disputes=disputes,
        messages=[Told(**dict(row)) for row in await fetch("messages", payment_ids)],
        attempts=attempts,
        steps=[Step(**dict(row)) for row in await fetch("transitions", subject_ids)],
        transfers=[Transfer(**dict(row)) for row in await fetch("transfers", payment_ids)],
        refusals=refusals,
        answers=[Answer(**dict(row)) for row in await fetch("answers", list(keys - {None}))],
    )


def _assembled(page: Sequence[asyncpg.Record], rows: _Rows) -> Iterator[PaymentRecord]:
    histories = {subject_id: tuple(group) for subject_id, group in groupby(rows.steps, key=lambda s: s.subject_id)}
    replays = {subject_id: replay(history) for subject_id, history in histories.items()}
    answers = {answer.idempotency_key: answer for answer in rows.answers}
    refunds = _grouped(rows.refunds, lambda refund: refund.payment_id)
    disputes = _grouped(rows.disputes, lambda dispute: dispute.payment_id)
    messages = _grouped(rows.messages, lambda message: message.payment_id)
    attempts = _grouped(rows.attempts, lambda watched: watched.attempt.payment_id)
    transfers = _grouped(rows.transfers, lambda transfer: transfer.payment_id)
    refusals = _grouped(rows.refusals, lambda refusal: refusal.payment_id)
    for row in page:
        payment_id = row["payment_id"]
        own_refunds, own_attempts = refunds.get(payment_id, []), attempts.get(payment_id, [])
        own_refusals = refusals.get(payment_id, [])
        ids = [payment_id, *(refund.refund_id for refund in own_refunds)]
        ids += [dispute.dispute_id for dispute in disputes.get(payment_id, ())]
        ids += [watched.attempt.attempt_id for watched in own_attempts]
        keys = {watched.attempt.idempotency_key for watched in own_attempts}
        keys |= {refusal.idempotency_key for refusal in own_refusals}
        yield PaymentRecord(
            payment=payment_of(row),
            due_at=row["due_at"],
            refunds=own_refunds,
            disputes=disputes.get(payment_id, []),
            messages=messages.get(payment_id, []),
            attempts=own_attempts,
            histories={each: histories[each] for each in ids if each in histories},
            replays={each: replays[each] for each in ids if each in replays},
            transfers=transfers.get(payment_id, []),
            refusals=own_refusals,
            answers={key: answers[key] for key in keys if key in answers},
        )


def _watched(row: asyncpg.Record) -> WatchedAttempt:
    return WatchedAttempt(
        attempt=attempt_of(row),
        next_check_at=row["next_check_at"],
        parked_at=row["parked_at"],
        parked_for_ms=row["parked_for_ms"],
        settled_for_ms=row["settled_for_ms"],
    )


def _grouped(rows: Iterable[Row], key: Callable[[Row], str]) -> dict[str, list[Row]]:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


async def fetch_all(connection: asyncpg.Connection, name: str, *values: Any) -> list[asyncpg.Record]:
    """The rows of one of the statements."""
    return await connection.fetch(STATEMENTS[name], *values, timeout=STATEMENT_TIMEOUT_S)


async def merchants(connection: asyncpg.Connection, only: str | None) -> AsyncIterator[str]:
    """Every merchant that has anything in the record, or the one that was asked for."""
    if only is not None:
        yield only
        return
    last = ""
    while (rows := await fetch_all(connection, "next_merchant", last))[0][0] is not None:
        last = rows[0][0]
        yield last
