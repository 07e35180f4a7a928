"""Runs the invariants over the record: read-only, in one snapshot, in pages, so that it can run on a live or large
system."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import chain
from operator import itemgetter
from typing import Any, Final

import asyncpg

from tallystick.domain.kinds import PAYMENT_KIND, heads
from tallystick.kit.clock import Clock
from tallystick.oversight.invariants.catalogue import INVARIANTS, ORPHANS_OF_SUBJECTS, Invariant
from tallystick.oversight.invariants.finding import Finding
from tallystick.oversight.invariants.parts import Part, planned
from tallystick.oversight.invariants.report import Findings, InvariantName, InvariantReport, Progress
from tallystick.record.postgres.connections import FIND_BY_KEY
from tallystick.record.postgres.invariant_statements import STATEMENT_TIMEOUT_S, STATEMENTS
from tallystick.record.postgres.orphans import orphans_statement
from tallystick.record.postgres.payment_record import PaymentRecord, payment_records
from tallystick.record.postgres.stream_record import StreamRecord, stream_records
from tallystick.settings.load import Settings

_COUNTED: Final = (
    "merchants",
    "payments",
    "refunds",
    "disputes",
    "attempts",
    "other_subjects",
    "transitions",
    "transfers",
    "rejections",
    "instructions",
)

_NAMES: Final = tuple([InvariantName(each.name, each.says) for each in INVARIANTS])

#: Reads whole tables, and joins them as sets.
_PLAN_FOR_MANY: Final = "; ".join(f"SET LOCAL {name} = on" for name in FIND_BY_KEY)


async def verify(
    connection: asyncpg.Connection,
    *,
    settings: Settings,
    merchant_id: str | None = None,
    progress: Progress | None = None,
) -> InvariantReport:
    """Every invariant, over all merchants or one, in one read-only snapshot of a connection without a transaction.

    Raises what the database raises.
    """
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        return await examine(connection, settings=settings, merchant_id=merchant_id, progress=progress)


async def examine(
    connection: asyncpg.Connection,
    *,
    settings: Settings,
    merchant_id: str | None = None,
    progress: Progress | None = None,
) -> InvariantReport:
    """As ``verify``, inside a transaction of the caller, who chooses its isolation."""
    started_ns = time.monotonic_ns()
    findings = no_findings()
    total = await payment_count(connection, merchant_id)
    done = 0

    def count(payments: int) -> None:
        nonlocal done
        done += payments
        if progress is not None:
            progress(done, total)

    for part in await planned(connection, merchant_id):
        findings.extend(await examined(connection, settings, part, count))
    return findings.report(elapsed_ms=(time.monotonic_ns() - started_ns) // 1_000_000)


def no_findings() -> Findings:
    """The findings before anything was looked at."""
    return Findings(_NAMES, _COUNTED)


async def payment_count(connection: asyncpg.Connection, merchant_id: str | None) -> int:
    """The number of payments of one merchant, or of all."""
    count: int = await connection.fetchval(STATEMENTS["payment_count"], merchant_id, timeout=STATEMENT_TIMEOUT_S)
    return count


async def examined(
    connection: asyncpg.Connection, settings: Settings, part: Part, count: Callable[[int], None]
) -> Findings:
    """What one part of the record shows. ``count`` is called with the number of payments of each page."""
    look = _Examination(connection, settings)
    if part.merchant_id is None:
        await look.platform()
    else:
        if part.payments is not None:
            await look.payments(part.merchant_id, *part.payments, count)
        if part.rest:
            await look.rest(part.merchant_id)
    return look.findings


@asynccontextmanager
async def _whole_tables(connection: asyncpg.Connection) -> AsyncIterator[None]:
    """Inside, statements are planned for all rows of a merchant or of the platform. Outside, as pages of payments need
    it, for few rows by key."""
    savepoint = connection.transaction()
    await savepoint.start()
    await connection.execute(_PLAN_FOR_MANY)
    yield
    await savepoint.rollback()  # and the settings with it; after an error the caller's transaction takes them back


class _Examination:
    def __init__(self, connection: asyncpg.Connection, settings: Settings) -> None:
        self._connection = connection
        self._settings = settings
        self.findings = no_findings()
        self._at_payment = [(each.name, look) for each in INVARIANTS for look in each.looks_at_payment(settings)]
        self._at_stream = [(each.name, each.of_stream) for each in INVARIANTS if each.of_stream is not None]

    async def platform(self) -> None:
        async with _whole_tables(self._connection):
            for invariant in INVARIANTS:
                for statement in invariant.of_platform:
                    await self._ask(invariant, "", statement, *invariant.given(self._settings))

    async def payments(self, merchant_id: str, after: str, limit: int, count: Callable[[int], None]) -> None:
        clock = Clock(self._settings.clock_shift_ms)
        async for page in payment_records(self._connection, merchant_id, clock, after=after, limit=limit):
            self._count_payments(page)
            self._look(merchant_id, page, self._at_payment)
            count(len(page))

    async def rest(self, merchant_id: str) -> None:
        self.findings.checked["merchants"] += 1
        for head in heads():
            if head is not PAYMENT_KIND:
                async for page in stream_records(self._connection, merchant_id, head):
                    self.findings.checked["other_subjects"] += sum([len(record.subjects) for record in page])
                    self._count_rows(page)
                    self._look(merchant_id, page, self._at_stream)
        async with _whole_tables(self._connection):
            for invariant in INVARIANTS:
                for statement in invariant.of_merchant:
                    await self._ask(invariant, merchant_id, statement, merchant_id)

    def _count_payments(self, page: Sequence[PaymentRecord]) -> None:
        checked = self.findings.checked
        checked["payments"] += len(page)
        checked["refunds"] += sum([len(record.refunds) for record in page])
        checked["disputes"] += sum([len(record.disputes) for record in page])
        checked["attempts"] += sum([len(record.attempts) for record in page])
        checked["instructions"] += sum([len(record.answers) for record in page])
        self._count_rows(page)

    def _count_rows(self, page: Sequence[StreamRecord]) -> None:
        checked = self.findings.checked
        checked["transitions"] += sum([len(steps) for record in page for steps in record.histories.values()])
        checked["transfers"] += sum([len(record.transfers) for record in page])
        checked["rejections"] += sum([len(record.rejections) for record in page])

    def _look(self, merchant_id: str, page: Sequence[Any], looks: Sequence[tuple[str, Callable[[Any], Any]]]) -> None:
        """Look at each record of a page, and keep the findings in the order of the records. Each look goes over the
        whole page: its code stays in the processor's caches, which is a third of the time."""
        found: list[tuple[int, str, Finding]] = []
        for name, look in looks:
            if next(chain.from_iterable(map(look, page)), None) is None:
                continue  # as nearly always
            for number, record in enumerate(page):
                for finding in look(record):
                    found.append((number, name, finding))
        found.sort(key=itemgetter(0))
        for _, name, finding in found:
            self.findings.add(name, merchant_id, [finding])

    async def _ask(self, invariant: Invariant, merchant_id: str, statement: str, *values: object) -> None:
        # A cursor: if everything is broken, there are as many breaches as payments.
        text = orphans_statement() if statement == ORPHANS_OF_SUBJECTS else STATEMENTS[statement]
        rows = self._connection.cursor(text, *values, timeout=STATEMENT_TIMEOUT_S)
        async for row in rows:
            self.findings.add(invariant.name, merchant_id, [Finding(row["subject_id"], row["detail"])])
