"""Runs the invariants over the record: read-only, in one snapshot, in pages, so that it can run on a live or large
system."""

from __future__ import annotations

import time
from typing import Final

import asyncpg

from tallystick.domain.kinds import PAYMENT_KIND, heads
from tallystick.kit.clock import Clock
from tallystick.oversight.invariants.catalogue import INVARIANTS, ORPHANS_OF_SUBJECTS, Invariant
from tallystick.oversight.invariants.finding import Finding
from tallystick.oversight.invariants.report import Findings, InvariantName, InvariantReport, Progress
from tallystick.record.postgres.orphans import orphans_statement
from tallystick.record.postgres.payment_record import PaymentRecord, payment_records
from tallystick.record.postgres.stream_record import (
    STATEMENT_TIMEOUT_S,
    STATEMENTS,
    StreamRecord,
    merchants,
    stream_records,
)
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
    verification = _Verification(connection, settings)
    await verification.platform()
    total = await connection.fetchval(STATEMENTS["payment_count"], merchant_id, timeout=STATEMENT_TIMEOUT_S)
    async for each in merchants(connection, merchant_id):
        await verification.merchant(each, total, progress)
    return verification.findings.report(elapsed_ms=(time.monotonic_ns() - started_ns) // 1_000_000)


class _Verification:
    def __init__(self, connection: asyncpg.Connection, settings: Settings) -> None:
        self._connection = connection
        self._settings = settings
        self.findings = Findings((InvariantName(each.name, each.says) for each in INVARIANTS), _COUNTED)

    async def platform(self) -> None:
        for invariant in INVARIANTS:
            for statement in invariant.of_platform:
                await self._ask(invariant, "", statement, *invariant.given(self._settings))

    async def merchant(self, merchant_id: str, total: int, progress: Progress | None) -> None:
        self.findings.checked["merchants"] += 1
        pages = payment_records(self._connection, merchant_id, Clock(self._settings.clock_shift_ms))
        async for page in pages:
            for record in page:
                self._look(merchant_id, record)
            if progress is not None:
                progress(self.findings.checked["payments"], total)
        for head in heads():
            if head is not PAYMENT_KIND:
                async for streams in stream_records(self._connection, merchant_id, head):
                    for stream in streams:
                        self._look(merchant_id, stream)
        for invariant in INVARIANTS:
            for statement in invariant.of_merchant:
                await self._ask(invariant, merchant_id, statement, merchant_id)

    def _look(self, merchant_id: str, record: StreamRecord) -> None:
        checked = self.findings.checked
        if isinstance(record, PaymentRecord):
            checked["payments"] += 1
            checked["refunds"] += len(record.refunds)
            checked["disputes"] += len(record.disputes)
            checked["attempts"] += len(record.attempts)
            checked["instructions"] += len(record.answers)
        else:
            checked["other_subjects"] += sum(1 for _ in record.subjects())
        checked["transitions"] += sum(map(len, record.histories.values()))
        checked["transfers"] += len(record.transfers)
        checked["rejections"] += len(record.rejections)
        for invariant in INVARIANTS:
            self.findings.add(invariant.name, merchant_id, invariant.look(record, self._settings))

    async def _ask(self, invariant: Invariant, merchant_id: str, statement: str, *values: object) -> None:
        # A cursor: if everything is broken, there are as many breaches as payments.
        text = orphans_statement() if statement == ORPHANS_OF_SUBJECTS else STATEMENTS[statement]
        rows = self._connection.cursor(text, *values, timeout=STATEMENT_TIMEOUT_S)
        async for row in rows:
            self.findings.add(invariant.name, merchant_id, [Finding(row["subject_id"], row["detail"])])
