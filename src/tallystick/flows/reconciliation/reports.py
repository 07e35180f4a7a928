"""A report that posts nothing is compared with the record, row by row, and what that comes to is kept.

The rules are those of settlement rows. Nothing is taken: a movement that a settlement file has is no duplicate here,
nor does a row of a report keep it from one. What a report lacks is nothing.

Postings are only ever added, so a row that agrees with one goes on agreeing. One that does not is compared again: a
webhook, a look-up or another file may bring what it is about later. What it comes to then is its next evidence.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from msgspec.structs import replace

from tallystick.decisions.settlement_match import Match
from tallystick.decisions.settlement_matching import FileMatcher
from tallystick.decisions.settlement_names import names_of
from tallystick.domain.report_evidence import ReportEvidence
from tallystick.domain.settlement_evidence import OPEN_STATUSES
from tallystick.domain.settlement_file import SettlementFile
from tallystick.flows.reconciliation.matching import Compared, NotComparable, expects_many_rows, fees_of
from tallystick.flows.reconciliation.races import looked_again
from tallystick.flows.runtime import Runtime
from tallystick.record.postgres.report_evidence import ComparingReport, outcome_of

#: Evidence that is written at once.
_PIECE: Final = 10_000

#: What nobody has brought to the record in a month is not looked for any more: reports with such rows pile up.
COMPARED_AGAIN_FOR: Final = timedelta(days=31)


async def compare_report(runtime: Runtime, file_id: str, actor: str) -> Compared:
    """Compare all rows of the report, where it was not compared before. Another process that does the same at once is
    no harm: one of the two writes. Raises NotComparable and LostRaces."""
    return await _compare(runtime, file_id, actor, 0)


async def compare_report_again(runtime: Runtime, file_id: str, actor: str, comparison: int) -> Compared:
    """Compare the rows of the report that did not agree with the record, after its comparison of this number: what
    they come to now, where that is something else. Nothing where another process has compared it since. Raises as
    ``compare_report``."""
    return await _compare(runtime, file_id, actor, comparison)


async def _compare(runtime: Runtime, file_id: str, actor: str, comparison: int) -> Compared:
    file = await runtime.stores.settlement_files.find(file_id)
    if file is None:
        raise NotComparable(f"there is no settlement file {file_id}")
    return await looked_again(f"rows of {file_id}", lambda: _compared(runtime, file, actor, comparison))


async def _compared(runtime: Runtime, file: SettlementFile, actor: str, comparison: int) -> Compared:
    """``comparison``: the last one that there is."""
    schedules = await runtime.stores.fee_schedules.of_account(file.provider, file.account)
    async with runtime.stores.report_evidence.comparing(file) as comparing:
        before = await comparing.comparisons()
        if before is None:
            raise NotComparable(f"{file.file_id} is no report to compare: it is {file.state}, to {file.purpose}")
        if before != comparison:
            return Compared()
        if expects_many_rows(file):
            await comparing.expect_many_rows()
        was_open = await comparing.open_outcomes() if comparison else None
        writer = _Writer(comparing, file, actor, runtime.clock.now(), comparison + 1, was_open)
        matcher = FileMatcher()
        names = names_of(file.format, file.provider)
        async for row, found in comparing.rows():
            if (match := matcher.add(row, found, fees_of(row, schedules), names)) is not None:
                await writer.add(match)
        for match in matcher.rest(await comparing.with_named_captures(matcher.payments_in_question())):
            await writer.add(match)
        return await writer.end()


class _Writer:
    """Writes the evidence of one comparison of a report. ``was_open``: of a later one, what the rows that did not agree
    came to before: what the others come to is known, and so is what comes to the same again."""

    def __init__(
        self,
        comparing: ComparingReport,
        file: SettlementFile,
        actor: str,
        at: datetime,
        comparison: int,
        was_open: Mapping[int, int] | None,
    ) -> None:
        self._comparing, self._file, self._actor, self._at = comparing, file, actor, at
        self._comparison, self._was_open = comparison, was_open
        self._piece: list[ReportEvidence] = []
        self._by_reason: dict[tuple[str, str], int] = {}
        self._open_rows = 0

    async def add(self, match: Match) -> None:
        if self._was_open is not None and match.row.position not in self._was_open:
            return
        self._open_rows += match.status in OPEN_STATUSES
        evidence = replace(_evidence_of(match, self._file, self._actor, self._at), comparison=self._comparison)
        if self._was_open is not None and outcome_of(evidence) == self._was_open[match.row.position]:
            return
        self._piece.append(evidence)
        reason = (match.status, match.reason)
        self._by_reason[reason] = self._by_reason.get(reason, 0) + 1
        if len(self._piece) >= _PIECE:
            await self._write()

    async def end(self) -> Compared:
        await self._write()
        rows = sum(self._by_reason.values())
        await self._comparing.close(self._comparison, rows, self._open_rows, self._actor, self._at)
        return Compared(rows=rows, by_reason=self._by_reason)

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
