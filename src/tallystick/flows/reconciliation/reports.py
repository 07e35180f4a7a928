"""A report that posts nothing is compared with the record, row by row, and what that comes to is kept.

The rules are those of settlement rows. Nothing is taken: a movement that a settlement file has is no duplicate here,
nor does a row of a report keep it from one. What a report lacks is nothing.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from tallystick.decisions.settlement_match import Match
from tallystick.decisions.settlement_matching import FileMatcher
from tallystick.decisions.settlement_names import names_of
from tallystick.domain.report_evidence import ReportEvidence
from tallystick.domain.settlement_file import SettlementFile
from tallystick.flows.reconciliation.matching import Compared, NotComparable, expects_many_rows, fees_of
from tallystick.flows.reconciliation.races import looked_again
from tallystick.flows.runtime import Runtime
from tallystick.record.postgres.report_evidence import ComparingReport

#: Evidence that is written at once.
_PIECE: Final = 10_000


async def compare_report(runtime: Runtime, file_id: str, actor: str) -> Compared:
    """Compare all rows of the report, once. Another process that does the same at once is no harm: one of the two
    writes. Raises NotComparable and LostRaces."""
    file = await runtime.stores.settlement_files.find(file_id)
    if file is None:
        raise NotComparable(f"there is no settlement file {file_id}")
    return await looked_again(f"rows of {file_id}", lambda: _compared(runtime, file, actor))


async def _compared(runtime: Runtime, file: SettlementFile, actor: str) -> Compared:
    schedules = await runtime.stores.fee_schedules.of_account(file.provider, file.account)
    async with runtime.stores.report_evidence.comparing(file) as comparing:
        is_compared = await comparing.is_compared()
        if is_compared is None:
            raise NotComparable(f"{file.file_id} is no report to compare: it is {file.state}, to {file.purpose}")
        if is_compared:
            return Compared()
        if expects_many_rows(file):
            await comparing.expect_many_rows()
        writer, matcher = _Writer(comparing, file, actor, runtime.clock.now()), FileMatcher()
        names = names_of(file.format, file.provider)
        async for row, found in comparing.rows():
            if (match := matcher.add(row, found, fees_of(row, schedules), names)) is not None:
                await writer.add(match)
        for match in matcher.rest(await comparing.with_named_captures(matcher.payments_in_question())):
            await writer.add(match)
        return await writer.end()


class _Writer:
    """Writes the evidence of one report."""

    def __init__(self, comparing: ComparingReport, file: SettlementFile, actor: str, at: datetime) -> None:
        self._comparing, self._file, self._actor, self._at = comparing, file, actor, at
        self._piece: list[ReportEvidence] = []
        self._by_reason: dict[tuple[str, str], int] = {}

    async def add(self, match: Match) -> None:
        self._piece.append(_evidence_of(match, self._file, self._actor, self._at))
        reason = (match.status, match.reason)
        self._by_reason[reason] = self._by_reason.get(reason, 0) + 1
        if len(self._piece) >= _PIECE:
            await self._write()

    async def end(self) -> Compared:
        await self._write()
        return Compared(rows=sum(self._by_reason.values()), by_reason=self._by_reason)

    async def _write(self) -> None:
        await self._comparing.add(self._piece)
        self._piece = []


def _evidence_of(match: Match, file: SettlementFile, actor: str, at: datetime) -> ReportEvidence:
    row, of = match.row, match.of
    return ReportEvidence(
        file_id=file.file_id,
        position=row.position,
        line=row.line,
        currency=row.currency,
        kind=row.kind,
        row_key=row.row_key,
        gross=row.gross,
        fee=row.fee,
        net=row.net,
        status=match.status,
        reason=match.reason,
        stage=match.stage,
        merchant_id=None if of is None else of.merchant_id,
        payment_id=None if of is None else of.payment_id,
        subject_id=None if of is None else of.subject_id,
        row_reference=row.reference,
        payment_reference=row.payment_reference,
        compared=match.compared,
        parser=file.format,
        parser_version=file.parser_version,
        actor=actor,
        compared_at=at,
    )
