"""Everything stored about one payment, read in pages: the input of a payment's invariants."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from functools import cached_property
from typing import Final

import asyncpg
from msgspec import Struct

from tallystick.domain.kinds import ATTEMPT_KIND, PAYMENT_KIND, members_of
from tallystick.domain.subjects import Attempt, Dispute, Payment, Refund
from tallystick.kit.clock import Clock
from tallystick.record.postgres.reads import attempt_of, payment_of
from tallystick.record.postgres.stream_record import (
    PAGE_STREAMS,
    StreamRecord,
    StreamRows,
    assembled,
    fetch_all,
    grouped,
    members,
    stream_rows,
)
from tallystick.record.postgres.structs import unchecked_reader


class ScheduledAttempt(Struct, frozen=True, kw_only=True):
    """An attempt with its place in recovery's schedule."""

    attempt: Attempt
    next_check_at: datetime | None
    parked_at: datetime | None
    parked_for_ms: int | None
    settled_for_ms: int  # since nothing of it can be in transit any more; negative before


class RecordedAnswer(Struct, frozen=True, kw_only=True):
    """A claimed key, and its recorded answer if there is one."""

    idempotency_key: str
    payment_id: str
    subject_id: str
    status: int | None
    body: bytes | None


_answer: Final = unchecked_reader(RecordedAnswer)


class PaymentRecord(StreamRecord, frozen=True, kw_only=True, dict=True):
    """The stream of a payment, with recovery's schedule and the recorded answers."""

    due_at: datetime | None  # when recovery looks at its authorization
    attempts: Sequence[ScheduledAttempt]
    answers: dict[str, RecordedAnswer]

    @cached_property
    def payment(self) -> Payment:
        """The payment itself."""
        payment: Payment = self.head
        return payment

    @cached_property
    def refunds(self) -> list[Refund]:
        """Its refunds, in the order of their ids."""
        return [each for each in self.others if isinstance(each, Refund)]

    @cached_property
    def disputes(self) -> list[Dispute]:
        """Its disputes, in the order of their ids."""
        return [each for each in self.others if isinstance(each, Dispute)]


async def payment_records(
    connection: asyncpg.Connection, merchant_id: str, clock: Clock, *, after: str = "", limit: int | None = None
) -> AsyncIterator[list[PaymentRecord]]:
    """A merchant's payments in pages, in the order of their ids: those above ``after``, ``limit`` of them or all."""
    kinds = [kind for kind in members_of(PAYMENT_KIND) if kind is not ATTEMPT_KIND]
    last, left = after, limit
    while left != 0:
        size = PAGE_STREAMS if left is None else min(PAGE_STREAMS, left)
        page = await fetch_all(connection, "payments", merchant_id, last, size)
        if not page:
            return
        left = None if left is None else left - len(page)
        ids = [row["payment_id"] for row in page]
        attempts = await fetch_all(connection, "attempts", merchant_id, ids, clock.shift_ms)
        watched = grouped([_watched(row) for row in attempts], lambda each: each.attempt.payment_id)
        others = await members(connection, merchant_id, kinds, ids)
        for payment_id, group in watched.items():
            others.setdefault(payment_id, []).extend(each.attempt for each in group)
        rows = await stream_rows(connection, merchant_id, ids, [each for group in others.values() for each in group])
        keys = {each.attempt.idempotency_key for group in watched.values() for each in group}
        keys |= {each.idempotency_key for group in rows.rejections.values() for each in group}
        found = await fetch_all(connection, "answers", merchant_id, list(keys - {None}))
        answers = {row["idempotency_key"]: _answer(row) for row in found}
        yield [
            _payment_record(row, others.get(row["payment_id"], []), watched.get(row["payment_id"], []), rows, answers)
            for row in page
        ]
        last = ids[-1]


def _payment_record(
    row: asyncpg.Record,
    others: Sequence[Refund | Dispute | Attempt],
    attempts: Sequence[ScheduledAttempt],
    rows: StreamRows,
    answers: dict[str, RecordedAnswer],
) -> PaymentRecord:
    stream = assembled(payment_of(row), others, rows)
    keys = {watched.attempt.idempotency_key for watched in attempts}
    keys |= {rejection.idempotency_key for rejection in stream.rejections}
    return PaymentRecord(
        head=stream.head,
        others=stream.others,
        due_at=row["due_at"],
        attempts=attempts,
        histories=stream.histories,
        replays=stream.replays,
        transfers=stream.transfers,
        rejections=stream.rejections,
        messages=stream.messages,
        answers={key: answers[key] for key in keys if key in answers},
    )


def _watched(row: asyncpg.Record) -> ScheduledAttempt:
    return ScheduledAttempt(
        attempt=attempt_of(row),
        next_check_at=row["next_check_at"],
        parked_at=row["parked_at"],
        parked_for_ms=row["parked_for_ms"],
        settled_for_ms=row["settled_for_ms"],
    )
