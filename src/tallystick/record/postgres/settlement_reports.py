"""Reports that are to be fetched from providers: each is known by its name, and fetched by the holder of its lease."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import asyncpg
import msgspec

from tallystick.domain.settlement_report import ReportState, SettlementReport
from tallystick.record.postgres import sql

_STATEMENTS: Final = sql.load("settlement_reports.sql")


class ReportBook:
    """Over a pool of connections. Its methods raise what asyncpg raises."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def add(self, provider: str, account: str, report: str, url: str | None, actor: str) -> bool:
        """A report is to be fetched. False where it is known already."""
        return await self._pool.fetchrow(_STATEMENTS["add_report"], provider, account, report, url, actor) is not None

    async def ask_again(self, provider: str, account: str, report: str, url: str | None, actor: str) -> bool:
        """One that was refused is to be fetched all the same. False where there is none."""
        return await self._pool.fetchrow(_STATEMENTS["ask_again"], provider, account, report, url, actor) is not None

    async def due(self, provider: str, account: str, limit: int) -> Sequence[str]:
        """The names of what can be fetched now, the longest due first."""
        return [row["report"] for row in await self._pool.fetch(_STATEMENTS["due_reports"], provider, account, limit)]

    async def lease(
        self, provider: str, account: str, report: str, lease: str, lease_ms: int
    ) -> SettlementReport | None:
        """The report, if nobody else fetches it now."""
        row = await self._pool.fetchrow(_STATEMENTS["lease_report"], provider, account, report, lease, lease_ms)
        return None if row is None else _report(row)

    async def put_off(self, report: SettlementReport, lease: str, in_ms: int, detail: str, tries: int) -> bool:
        """It could not be fetched; again later. False where the lease is lost."""
        name = (report.provider, report.account, report.report)
        return await self._pool.fetchrow(_STATEMENTS["put_off_report"], *name, lease, in_ms, detail, tries) is not None

    async def end(
        self, report: SettlementReport, lease: str, state: ReportState, file_id: str | None, detail: str | None
    ) -> bool:
        """What it came to. False where the lease is lost."""
        name = (report.provider, report.account, report.report)
        return await self._pool.fetchrow(_STATEMENTS["end_report"], *name, lease, state, file_id, detail) is not None

    async def find(self, provider: str, account: str, report: str) -> SettlementReport | None:
        row = await self._pool.fetchrow(_STATEMENTS["report"], provider, account, report)
        return None if row is None else _report(row)


def _report(row: Any) -> SettlementReport:
    return msgspec.convert(dict(row), SettlementReport)
