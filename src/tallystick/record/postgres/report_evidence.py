"""Rows of reports that post nothing, beside what the record has of them, and the evidence of their comparison."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final

import asyncpg
import msgspec

from tallystick.decisions.settlement_matching import PaymentKey
from tallystick.domain.report_evidence import ComparedReport, OpenReport, ReportCount, ReportEvidence
from tallystick.domain.settlement_evidence import Candidate
from tallystick.domain.settlement_file import SettlementFile
from tallystick.domain.settlement_row import SettlementRow
from tallystick.record.postgres import sql
from tallystick.record.postgres.settlement_evidence import FOR_LISTS, Comparing
from tallystick.record.postgres.structs import structs_of

_STATEMENTS: Final = sql.load("report_evidence.sql")

_COLUMNS: Final = ReportEvidence.__struct_fields__
_ENCODER: Final = msgspec.json.Encoder(order="deterministic")

#: What a row comes to, beside the values that were compared.
_OUTCOME: Final = ("status", "reason", "stage", "merchant_id", "payment_id", "subject_id")

#: Rows that a cursor fetches at once.
_FETCHED: Final = 5_000

#: What a statement over a whole file may take.
_LONG_S: Final = 600.0


class ComparingReport:
    """One transaction in which a report's rows are read beside their candidates, and evidence is written."""

    def __init__(self, connection: Any, file: SettlementFile) -> None:
        self._connection, self._file = connection, file
        self._comparing = Comparing(connection, file.file_id, takes=())

    async def comparisons(self) -> int | None:
        """How often it was compared; it stays imported until this transaction ends. None: its rows are posted, or it is
        not imported."""
        found: int | None = await self._connection.fetchval(_STATEMENTS["hold_report"], self._file.file_id)
        return found

    async def open_outcomes(self) -> Mapping[int, int]:
        """What each row that does not agree came to last, by its position: a number that is another one where it comes
        to something else, in this process."""
        given, at_once = (self._file.file_id, None), {"prefetch": _FETCHED, "timeout": _LONG_S}
        cursor = self._connection.cursor(_STATEMENTS["exceptions_of_report"], *given, **at_once)
        return {row["position"]: _outcome(row) async for row in cursor}

    async def expect_many_rows(self) -> None:
        """As ``Comparing`` does."""
        await self._comparing.expect_many_rows()

    async def rows(self) -> AsyncIterator[tuple[SettlementRow, list[Candidate]]]:
        """All of its rows, in its order, each with what it may be about. What other rows have is as good as what none
        has: a settlement file names the same movements."""
        found = await self._connection.fetch(_STATEMENTS["batches_of_report"], self._file.file_id)
        batches = [(row["batch"], row["currency"]) for row in found]
        async for row, candidates in self._comparing.rows(self._file, batches):
            yield row, candidates

    async def with_named_captures(self, payments: Collection[PaymentKey]) -> frozenset[PaymentKey]:
        """As ``Comparing`` does."""
        return await self._comparing.with_named_captures(payments)

    async def add(self, evidence: Sequence[ReportEvidence]) -> None:
        """Write evidence. UniqueViolationError where another process was first."""
        await self._connection.copy_records_to_table(
            "report_evidence", records=map(_record, evidence), columns=_COLUMNS, timeout=_LONG_S
        )

    async def close(self, comparison: int, rows: int, open_rows: int, actor: str, at: datetime) -> None:
        """The comparison is whole. UniqueViolationError where another process has made one of this number."""
        given = (self._file.file_id, comparison, rows, open_rows, actor, at)
        await self._connection.execute(_STATEMENTS["insert_comparison"], *given)


class ReportEvidenceBook:
    """Over a pool of connections. Its methods raise what asyncpg raises."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    @asynccontextmanager
    async def comparing(self, file: SettlementFile) -> AsyncIterator[ComparingReport]:
        """The transaction in which a report is compared."""
        async with self._pool.acquire() as connection, connection.transaction():
            for statement in FOR_LISTS:
                await connection.execute(statement)
            yield ComparingReport(connection, file)

    async def reports_to_compare(self) -> Sequence[str]:
        """Imported reports that have no evidence yet."""
        return [row["file_id"] for row in await self._pool.fetch(_STATEMENTS["reports_to_compare"], timeout=_LONG_S)]

    async def open_reports(self, after: datetime) -> Sequence[OpenReport]:
        """Imported reports that were compared first after this time, and of which rows did not agree the last time;
        those that wait longest first."""
        return structs_of(await self._pool.fetch(_STATEMENTS["open_reports"], after, timeout=_LONG_S), OpenReport)

    async def of_file(self, file: SettlementFile, limit: int) -> ComparedReport | None:
        """What a report's rows came to, with the first ones that do not agree; None for a file whose rows are posted,
        and for a report that is not compared yet."""
        if file.purpose != "compare":
            return None
        counts = structs_of(await self._pool.fetch(_STATEMENTS["counts_of_report"], file.file_id), ReportCount)
        found = await self._pool.fetch(_STATEMENTS["exceptions_of_report"], file.file_id, limit)
        return ComparedReport(counts=counts, exceptions=[_evidence_in(row) for row in found]) if counts else None


def outcome_of(evidence: ReportEvidence) -> int:
    """As ``ComparingReport.open_outcomes`` has it."""
    compared = _ENCODER.encode(evidence.compared).decode()
    return hash((*(getattr(evidence, name) for name in _OUTCOME), compared))


def _outcome(row: Any) -> int:
    return hash((*(row[name] for name in _OUTCOME), row["compared"]))


def _record(evidence: ReportEvidence) -> tuple[Any, ...]:
    held = msgspec.structs.asdict(evidence)
    held["compared"] = _ENCODER.encode(evidence.compared).decode()
    return tuple(held[name] for name in _COLUMNS)


def _evidence_in(row: Any) -> ReportEvidence:
    held = {name: row[name] for name in _COLUMNS}
    held["compared"] = msgspec.json.decode(held["compared"])
    return msgspec.convert(held, ReportEvidence)
