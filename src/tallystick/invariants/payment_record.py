"""Everything that the record holds of one payment, read in pages: what the invariants of a payment look at."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any, Final

import asyncpg
from msgspec import Struct

from tallystick import sql
from tallystick.invariants.replay import Replay, Step, replay
from tallystick.model import Attempt, Payment, Refund, Transfer
from tallystick.record.reads import attempt_of, payment_of, refund_of

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


class PaymentRecord(Struct, frozen=True, kw_only=True):
    """One payment with its refunds, attempts, history, ledger rows, rejections and answers."""

    payment: Payment
    due_at: datetime | None  # when recovery looks at its authorization
    refunds: Sequence[Refund]
    attempts: Sequence[WatchedAttempt]
    histories: Mapping[str, Sequence[Step]]
    replays: Mapping[str, Replay]
    transfers: Sequence[Transfer]
    refusals: Sequence[Refusal]
    answers: Mapping[str, Answer]

    def subjects(self) -> Iterable[tuple[str, Payment | Refund | Attempt]]:
        """Each stored row that has a life, by its id."""
        yield self.payment.payment_id, self.payment
        for refund in self.refunds:
            yield refund.refund_id, refund
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
        page = await _fetch(connection, "payments", merchant_id, last, PAGE_PAYMENTS)
        if not page:
            return
        last = page[-1]["payment_id"]
        yield await _assembled(connection, merchant_id, page, clock_shift_ms)


async def _assembled(
    connection: asyncpg.Connection, merchant_id: str, page: Sequence[asyncpg.Record], clock_shift_ms: int
) -> list[PaymentRecord]:
    payment_ids = [row["payment_id"] for row in page]
    refunds = [refund_of(row) for row in await _fetch(connection, "refunds", merchant_id, payment_ids)]
    attempts = [
        WatchedAttempt(
            attempt=attempt_of(row),
            next_check_at=row["next_check_at"],
            parked_at=row["parked_at"],
            parked_for_ms=row["parked_for_ms"],
        )
        for row in await _fetch(connection, "attempts", merchant_id, payment_ids, clock_shift_ms)
    ]
    subject_ids = [
        *payment_ids,
        *(refund.refund_id for refund in refunds),
        *(watched.attempt.attempt_id for watched in attempts),
    ]
    steps = [Step(**dict(row)) for row in await _fetch(connection, "transitions", merchant_id, subject_ids)]
    transfers = [Transfer(**dict(row)) for row in await _fetch(connection, "transfers", merchant_id, payment_ids)]
    refusals = [Refusal(**dict(row)) for row in await _fetch(connection, "rejections", merchant_id, payment_ids)]
    keys = {watched.attempt.idempotency_key for watched in attempts}
    keys |= {refusal.idempotency_key for refusal in refusals}
    answers = [Answer(**dict(row)) for row in await _fetch(connection, "answers", merchant_id, list(keys - {None}))]

    histories = {subject_id: tuple(group) for subject_id, group in groupby(steps, key=lambda step: step.subject_id)}
    replays = {subject_id: replay(history) for subject_id, history in histories.items()}
    by_key = {answer.idempotency_key: answer for answer in answers}
    refunds_of = _by_payment(refunds, lambda refund: refund.payment_id)
    attempts_of = _by_payment(attempts, lambda watched: watched.attempt.payment_id)
    transfers_of = _by_payment(transfers, lambda transfer: transfer.payment_id)
    refusals_of = _by_payment(refusals, lambda refusal: refusal.payment_id)
    records = []
    for row in page:
        payment_id = row["payment_id"]
        own_attempts, own_refusals = attempts_of.get(payment_id, []), refusals_of.get(payment_id, [])
        own_refunds = refunds_of.get(payment_id, [])
        own_ids = {payment_id, *(refund.refund_id for refund in own_refunds)}
        own_ids |= {watched.attempt.attempt_id for watched in own_attempts}
        own_keys = {watched.attempt.idempotency_key for watched in own_attempts}
        own_keys |= {refusal.idempotency_key for refusal in own_refusals}
        records.append(
            PaymentRecord(
                payment=payment_of(row),
                due_at=row["due_at"],
                refunds=own_refunds,
                attempts=own_attempts,
                histories={subject_id: histories[subject_id] for subject_id in own_ids if subject_id in histories},
                replays={subject_id: replays[subject_id] for subject_id in own_ids if subject_id in replays},
                transfers=transfers_of.get(payment_id, []),
                refusals=own_refusals,
                answers={key: by_key[key] for key in own_keys if key is not None and key in by_key},
            )
        )
    return records


def _by_payment(rows: Iterable[Any], payment_id: Any) -> dict[str, list[Any]]:
    grouped: dict[str, list[Any]] = {}
    for row in rows:
        grouped.setdefault(payment_id(row), []).append(row)
    return grouped


async def _fetch(connection: asyncpg.Connection, name: str, *values: Any) -> list[asyncpg.Record]:
    return await connection.fetch(STATEMENTS[name], *values, timeout=STATEMENT_TIMEOUT_S)
