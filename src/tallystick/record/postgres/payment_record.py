"""Everything stored about one payment, read in pages: the input of a payment's invariants."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime

import asyncpg
from msgspec import Struct

from tallystick.domain.compiled_replay import replayed
from tallystick.domain.kinds import ATTEMPT_KIND, PAYMENT_KIND, members_of
from tallystick.domain.subjects import Attempt, Dispute, Payment, Refund
from tallystick.kit.clock import Clock
from tallystick.record.postgres.invariant_statements import as_list, fetch_all
from tallystick.record.postgres.stream_record import (
    PAGE_STREAMS,
    RecordedAnswer,
    StreamRecord,
    StreamRows,
    batched,
    computed_once,
    members,
    stream_rows,
)
from tallystick.record.postgres.subject_reads import subjects_of


class ScheduledAttempt(Struct, frozen=True, kw_only=True):
    """An attempt with its place in recovery's schedule."""

    attempt: Attempt
    next_check_at: datetime | None
    parked_at: datetime | None
    parked_for_ms: int | None
    settled_for_ms: int  # since nothing of it can be in transit any more; negative before


class PaymentRecord(StreamRecord, frozen=True, kw_only=True, dict=True):
    """The stream of a payment, with recovery's schedule and the recorded answers."""

    due_at: datetime | None  # when recovery looks at its authorization
    attempts: Sequence[ScheduledAttempt]
    answers: dict[str, RecordedAnswer]

    @property
    def payment(self) -> Payment:
        """The payment itself."""
        payment: Payment = self.head
        return payment

    @computed_once
    def refunds(self) -> list[Refund]:
        """Its refunds, in the order of their ids."""
        return [each for each in self.others if isinstance(each, Refund)]

    @computed_once
    def disputes(self) -> list[Dispute]:
        """Its disputes, in the order of their ids."""
        return [each for each in self.others if isinstance(each, Dispute)]


async def payment_records(
    connection: asyncpg.Connection, merchant_id: str, clock: Clock, *, after: str = "", limit: int | None = None
) -> AsyncIterator[list[PaymentRecord]]:
    """A merchant's payments, a few at a time, in the order of their ids: those above ``after``, ``limit`` of them or
    all."""
    kinds = [kind for kind in members_of(PAYMENT_KIND) if kind is not ATTEMPT_KIND]
    last, left = after, limit
    while left != 0:
        size = PAGE_STREAMS if left is None else min(PAGE_STREAMS, left)
        page = await fetch_all(connection, "payments", merchant_id, last, size)
        if not page:
            return
        left = None if left is None else left - len(page)
        ids = [row["payment_id"] for row in page]
        others = await members(connection, merchant_id, kinds, ids)
        watched = await _watched(connection, merchant_id, ids, clock)
        keys = []
        for payment_id, group in watched.items():
            others.setdefault(payment_id, []).extend(each.attempt for each in group)
            keys += [each.attempt.idempotency_key for each in group]
        rows = await stream_rows(
            connection, merchant_id, ids, [each for group in others.values() for each in group], keys
        )
        heads = subjects_of(PAYMENT_KIND, page)
        for some in batched(list(zip(ids, heads, page, strict=True))):
            yield [
                _payment_record(payment, row["due_at"], others.get(id_, []), watched.get(id_, []), rows)
                for id_, payment, row in some
            ]
        last = ids[-1]


async def _watched(
    connection: asyncpg.Connection, merchant_id: str, payment_ids: Sequence[str], clock: Clock
) -> dict[str, list[ScheduledAttempt]]:
    """The attempts of these payments, by payment."""
    rows = await fetch_all(connection, "attempts", merchant_id, *as_list(payment_ids), clock.shift_ms)
    watched: dict[str, list[ScheduledAttempt]] = {}
    for attempt, row in zip(subjects_of(ATTEMPT_KIND, rows), rows, strict=True):
        next_check_at, parked_at, parked_for_ms, settled_for_ms = row[-4:]
        scheduled = ScheduledAttempt(
            attempt=attempt,
            next_check_at=next_check_at,
            parked_at=parked_at,
            parked_for_ms=parked_for_ms,
            settled_for_ms=settled_for_ms,
        )
        watched.setdefault(attempt.payment_id, []).append(scheduled)
    return watched


def _payment_record(
    payment: Payment,
    due_at: datetime | None,
    others: Sequence[Refund | Dispute | Attempt],
    attempts: Sequence[ScheduledAttempt],
    rows: StreamRows,
) -> PaymentRecord:
    histories = rows.histories_in(payment, others)
    rejections = rows.rejections.get(payment.payment_id, ())
    keys = [watched.attempt.idempotency_key for watched in attempts]
    keys += [rejection.idempotency_key for rejection in rejections]
    return PaymentRecord(
        head=payment,
        others=others,
        due_at=due_at,
        attempts=attempts,
        histories=histories,
        replays={subject_id: replayed(steps) for subject_id, steps in histories.items()},
        transfers=rows.transfers.get(payment.payment_id, ()),
        rejections=rejections,
        messages=rows.messages.get(payment.payment_id, ()),
        answers={key: rows.answers[key] for key in keys if key is not None and key in rows.answers},
    )
