"""The reads behind decisions and answers. All from the primary: a replica may not have the newest version."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final, TypeVar

import asyncpg
from msgspec import Struct
from msgspec.structs import replace

from tallystick.domain.api_keys import KeyKind
from tallystick.domain.instruction import StoredInstruction
from tallystick.domain.kinds import ATTEMPT_KIND, DISPUTE_KIND, PAYMENT_KIND, REFUND_KIND, SubjectKind
from tallystick.domain.origin import Origin
from tallystick.domain.payment_filter import PaymentFilter
from tallystick.domain.replay import with_defaults
from tallystick.domain.snapshot import PaymentSnapshot
from tallystick.domain.subjects import Attempt, Dispute, Payment, Refund, Subject
from tallystick.kit.clock import Clock
from tallystick.record.postgres import sql
from tallystick.record.postgres.payment_pages import PASSED_OVER, is_created, page_statement
from tallystick.record.postgres.personal import MISSING, instruction_of, is_sealed, personal_of
from tallystick.record.postgres.structs import structs_of
from tallystick.record.postgres.subject_reads import Row, reader

Owned = TypeVar("Owned", Attempt, Refund, Dispute)

READS: Final = sql.load("reads.sql")


class AttemptClock(Struct, frozen=True, kw_only=True):
    """An attempt's times by the database's clock, at the moment of loading."""

    attempt: Attempt
    sending: bool  # before its deadline
    settled: bool  # "no such charge" would be evidence
    age_ms: int  # since its first submission
    parked: bool


class SentBetween(Struct, frozen=True, kw_only=True):
    """When an attempt was opened, and when its last sender had to give up, on the database's clock."""

    opened_at: datetime
    deadline: datetime


class SnapshotWithClocks(Struct, frozen=True, kw_only=True):
    """A payment's snapshot with its attempts' clocks, by attempt id."""

    stored: PaymentSnapshot
    clocks: Mapping[str, AttemptClock]


class HistoryRow(Struct, frozen=True, kw_only=True):
    """A row of ``history``. ``change`` and ``evidence`` are JSON texts; version 1 has every field of its kind."""

    merchant_id: str
    subject_id: str
    version: int
    change_id: str
    subject: str
    stream_id: str
    from_state: str
    to_state: str
    event: str
    cause: str
    actor: str
    provider_reference: str | None
    at: datetime
    occurred_at: datetime | None
    change: str
    evidence: str | None
    key_kind: KeyKind | None


class RejectionRow(Struct, frozen=True, kw_only=True):
    """A row of ``rejection``, without its evidence."""

    at: datetime
    subject: str
    subject_id: str
    state: str
    version: int
    event: str
    cause: str
    actor: str
    origin: Origin
    reason: str
    alert: bool
    idempotency_key: str | None
    key_kind: KeyKind | None


class AccountRow(Struct, frozen=True, kw_only=True):
    """One account and currency of a merchant's ledger, in minor units."""

    account: str
    currency: str
    debits: int
    credits: int


class TransferRow(Struct, frozen=True, kw_only=True):
    """A row of ``transfer``, without its stream."""

    subject_id: str
    version: int
    leg: int
    kind: str
    debit: str
    credit: str
    amount: int
    currency: str
    at: datetime


#: A row of ``attempt``, without its schedule, as the subject.
attempt_of: Final[Callable[[Row], Attempt]] = reader(ATTEMPT_KIND)

#: A row of ``payment`` as the subject.
payment_of: Final[Callable[[Row], Payment]] = reader(PAYMENT_KIND)

#: A row of ``refund`` as the subject.
refund_of: Final[Callable[[Row], Refund]] = reader(REFUND_KIND)

#: A row of ``dispute`` as the subject.
dispute_of: Final[Callable[[Row], Dispute]] = reader(DISPUTE_KIND)


class Reads:
    """Queries over a pool of connections. They raise what asyncpg raises."""

    def __init__(self, pool: asyncpg.Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    async def load(self, merchant_id: str, payment_id: str) -> SnapshotWithClocks | None:
        """A payment with everything that belongs to it, or None. The reads need not be one snapshot of the database:
        every decision is guarded by the versions that it read."""
        async with self._pool.acquire() as connection:
            # Attempts and refunds are read before the payment: a version missed here is then missed there too, and
            # the guard refuses both. Disputes are read after it: each step of one is a version of the payment, and
            # decisions on them name the payment's version alone.
            attempts = await connection.fetch(READS["attempts"], merchant_id, payment_id, self._clock.shift_ms)
            refunds = await connection.fetch(READS["refunds"], merchant_id, payment_id)
            payment = await connection.fetchrow(READS["payment"], merchant_id, payment_id, self._clock.shift_ms)
            disputes = await connection.fetch(READS["disputes"], merchant_id, payment_id)
        if payment is None:
            return None
        clocks = {record["attempt_id"]: _clock(record) for record in attempts}
        stored = PaymentSnapshot(
            payment=payment_of(payment),
            attempts=tuple(clock.attempt for clock in clocks.values()),
            refunds=tuple(refund_of(record) for record in refunds),
            disputes=tuple(dispute_of(record) for record in disputes),
        )
        return SnapshotWithClocks(stored=stored, clocks=clocks)

    async def sent_between(self, attempt: Attempt) -> SentBetween | None:
        """When an attempt was sent, at the earliest and at the latest."""
        record = await self._pool.fetchrow(
            READS["sent_between"], attempt.merchant_id, attempt.payment_id, attempt.attempt_id
        )
        return None if record is None else SentBetween(**dict(record))

    async def known_attempts(self, names: Sequence[tuple[str, str, str]]) -> set[str]:
        """Which of these attempts (merchant, payment, attempt) the record has."""
        columns = list(zip(*names, strict=True)) or [(), (), ()]
        return {row["attempt_id"] for row in await self._pool.fetch(READS["known_attempts"], *columns)}

    async def known_payments(self, names: Sequence[tuple[str, str]]) -> set[str]:
        """Which of these payments (merchant, payment) the record has."""
        columns = list(zip(*names, strict=True)) or [(), ()]
        return {row["payment_id"] for row in await self._pool.fetch(READS["known_payments"], *columns)}

    async def load_many(self, names: Sequence[tuple[str, str]]) -> dict[tuple[str, str], PaymentSnapshot]:
        """Payments with everything that belongs to them, by (merchant, payment); missing ones are left out."""
        columns = list(zip(*names, strict=True)) or [(), ()]
        async with self._pool.acquire() as connection:  # in the order of ``load``, for its reason
            attempts = _by_payment(
                attempt_of(row) for row in await connection.fetch(READS["attempts_of_many"], *columns)
            )
            refunds = _by_payment(refund_of(row) for row in await connection.fetch(READS["refunds_of_many"], *columns))
            payments = [payment_of(row) for row in await connection.fetch(READS["payments_of_many"], *columns)]
            disputes = _by_payment(
                dispute_of(row) for row in await connection.fetch(READS["disputes_of_many"], *columns)
            )
        loaded = {}
        for payment in payments:
            name = (payment.merchant_id, payment.payment_id)
            loaded[name] = PaymentSnapshot(
                payment=payment,
                attempts=tuple(attempts.get(name, ())),
                refunds=tuple(refunds.get(name, ())),
                disputes=tuple(disputes.get(name, ())),
            )
        return loaded

    async def payment(self, merchant_id: str, payment_id: str) -> tuple[Payment, bool] | None:
        """A payment and whether it is in doubt."""
        record = await self._pool.fetchrow(READS["payment"], merchant_id, payment_id, self._clock.shift_ms)
        return None if record is None else (payment_of(record), record["in_doubt"])

    async def payment_at(self, merchant_id: str, payment_id: str) -> tuple[Payment, str] | None:
        """A payment, and the account of its provider that has the charge."""
        record = await self._pool.fetchrow(READS["payment_at"], merchant_id, payment_id)
        return None if record is None else (payment_of(record), record["account"])

    async def late_money(self, merchant_id: str | None, limit: int, after_id: str = "") -> list[Payment]:
        """Payments with late money that waits to be decided on, oldest first, after one of them."""
        return [payment_of(row) for row in await self._pool.fetch(READS["late_money"], merchant_id, limit, after_id)]

    async def merchant_of_late_money(self, payment_id: str) -> str | None:
        """Whose a payment with late money is, or None where there is no such payment."""
        found = await self._pool.fetchval(READS["merchant_of_late_money"], payment_id)
        return None if found is None else str(found)

    async def disputes_of_unknown_amount(self, merchant_id: str | None, limit: int) -> list[Dispute]:
        """Disputes with a movement whose amount nobody said, the oldest first."""
        rows = await self._pool.fetch(READS["disputes_of_unknown_amount"], merchant_id, limit)
        return [dispute_of(row) for row in rows]

    async def stream_of_dispute(self, dispute_id: str) -> tuple[str, str] | None:
        """(merchant, payment) of a dispute, or None where there is no such dispute."""
        record = await self._pool.fetchrow(READS["stream_of_dispute"], dispute_id)
        return None if record is None else (record["merchant_id"], record["payment_id"])

    async def refund(self, merchant_id: str, refund_id: str) -> tuple[Refund, bool] | None:
        """A refund and whether it is in doubt."""
        record = await self._pool.fetchrow(READS["refund"], merchant_id, refund_id, self._clock.shift_ms)
        return None if record is None else (refund_of(record), record["in_doubt"])

    async def subject(self, kind: SubjectKind, merchant_id: str, subject_id: str) -> Subject | None:
        """One subject of any kind."""
        statement = f"SELECT * FROM {kind.table} WHERE merchant_id = $1 AND {kind.id_field} = $2"
        record = await self._pool.fetchrow(statement, merchant_id, subject_id)
        return None if record is None else reader(kind)(record)

    async def dispute(self, merchant_id: str, dispute_id: str) -> Dispute | None:
        """A dispute."""
        record = await self._pool.fetchrow(READS["dispute"], merchant_id, dispute_id)
        return None if record is None else dispute_of(record)

    async def disputes(self, merchant_id: str, payment_id: str) -> list[Dispute]:
        """The disputes of a payment."""
        return [dispute_of(row) for row in await self._pool.fetch(READS["disputes"], merchant_id, payment_id)]

    async def payments(
        self,
        merchant_id: str,
        wanted: PaymentFilter,
        *,
        before_id: str | None,
        limit: int,
    ) -> list[tuple[Payment, bool]]:
        """A page of payments, newest first, each with whether it is in doubt: those below ``before_id``. Raises
        ValueError for a filter that may read too much."""
        async with self._pool.acquire() as connection:
            payments: list[Payment] = []
            read = limit
            while True:
                statement, parameters = page_statement(merchant_id, wanted, before_id=before_id, limit=read)
                rows = [payment_of(row) for row in await connection.fetch(READS[statement], *parameters)]
                payments += [row for row in rows if is_created(wanted, row.created_at)]
                if len(rows) < read or len(payments) >= limit:
                    break
                # What is just beyond the range took places.
                before_id, read = rows[-1].payment_id, min(2 * read, PASSED_OVER)
            del payments[limit:]
            ids = [payment.payment_id for payment in payments]
            doubts = await connection.fetch(READS["payments_in_doubt"], merchant_id, ids, self._clock.shift_ms)
        in_doubt = {row["payment_id"] for row in doubts}
        return [(payment, payment.payment_id in in_doubt) for payment in payments]

    async def instruction(self, merchant_id: str, idempotency_key: str) -> StoredInstruction | None:
        """The instruction that has a key."""
        record = await self._pool.fetchrow(READS["instruction"], merchant_id, idempotency_key)
        return None if record is None else instruction_of(dict(record))

    async def sending_for_ms(self, merchant_id: str, payment_id: str, idempotency_key: str) -> int | None:
        """How long the instruction's newest attempt may still be in transit, or None if it cannot be."""
        left_ms = await self._pool.fetchval(
            READS["sending"], merchant_id, payment_id, idempotency_key, self._clock.shift_ms
        )
        return None if left_ms is None else int(left_ms)

    async def history(self, merchant_id: str, subject_id: str) -> list[HistoryRow]:
        """The transitions of one subject."""
        rows = structs_of(await self._pool.fetch(READS["history"], merchant_id, subject_id), HistoryRow)
        return [_whole(await self._opened(row)) if row.version == 1 else row for row in rows]

    async def _opened(self, first: HistoryRow) -> HistoryRow:
        """A first step with its personal fields."""
        if not is_sealed(first.change):
            return first
        name = (first.merchant_id, first.stream_id)
        personal = (await personal_of(self._pool, [name])).get(name, MISSING)
        return replace(first, change=personal.opened(first.change, *name))

    async def rejections(self, merchant_id: str, payment_id: str) -> list[RejectionRow]:
        """The refused transitions of a payment."""
        return structs_of(await self._pool.fetch(READS["rejections"], merchant_id, payment_id), RejectionRow)

    async def accounts(self, merchant_id: str) -> list[AccountRow]:
        """The accounts of a merchant's ledger."""
        return [
            AccountRow(account=account, currency=currency, debits=int(debits), credits=int(credits))
            for account, currency, debits, credits in await self._pool.fetch(READS["accounts"], merchant_id)
        ]

    async def transfers(self, merchant_id: str, payment_id: str) -> list[TransferRow]:
        """The ledger rows of a payment and its refunds."""
        return structs_of(await self._pool.fetch(READS["transfers"], merchant_id, payment_id), TransferRow)

    async def event_age_ms(self, event_id: str) -> int:
        """How long ago a provider's event first arrived, on the database's clock; 0 for one that is not there."""
        age: int | None = await self._pool.fetchval(READS["event_age"], event_id, self._clock.shift_ms)
        return age or 0

    async def hasten(self, merchant_id: str, payment_id: str, interval_ms: int) -> None:
        """Let recovery look up a payment in doubt now: it may get an answer sooner, and never a different one."""
        await self._pool.execute(READS["hasten"], merchant_id, payment_id, interval_ms, self._clock.shift_ms)


def _by_payment(subjects: Iterable[Owned]) -> dict[tuple[str, str], list[Owned]]:
    groups: dict[tuple[str, str], list[Owned]] = {}
    for subject in subjects:
        groups.setdefault((subject.merchant_id, subject.payment_id), []).append(subject)
    return groups


def _whole(first: HistoryRow) -> HistoryRow:
    change = with_defaults(first.merchant_id, first.subject, first.subject_id, first.at, first.change)
    return replace(first, change=change)


def _clock(record: asyncpg.Record) -> AttemptClock:
    return AttemptClock(
        attempt=attempt_of(record),
        sending=record["sending"],
        settled=record["settled"],
        age_ms=record["age_ms"],
        parked=record["parked_at"] is not None,
    )
