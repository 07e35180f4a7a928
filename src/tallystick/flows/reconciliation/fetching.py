"""Settlement reports are fetched from providers, and imported as any file is.

A report is known by the provider's name. Whoever holds its lease downloads it into a file of its own, and imports it;
a download that was cut off starts anew. A process that dies anywhere leaves a report that the next one takes up: what
it had imported is then "already imported", and nothing is twice.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Final

from msgspec import Struct

from tallystick.domain.settlement_report import SettlementReport
from tallystick.flows.reconciliation.files import BeingImported, ImportAsked, Imported, import_file
from tallystick.flows.reconciliation.formats.base import FileRefused
from tallystick.flows.runtime import Runtime
from tallystick.kit.backoff import backoff_ms
from tallystick.kit.clock import monotonic_ms
from tallystick.kit.ids import new_id
from tallystick.kit.logs import get_logger
from tallystick.providers.assembly import report_sources
from tallystick.providers.reports import DOWNLOAD_MS, ReportNotThere, ReportRefused, ReportSource, download

log = get_logger("tallystick.flows.reconciliation.fetching")

#: Reports come once a day; runs of Stripe's take minutes.
EVERY_MS: Final = 10_000

#: Longer than any download: a second worker would only download it again.
LEASE_MS: Final = DOWNLOAD_MS + 120_000

#: Waits between tries, and how many there are: some eight hours, in which a provider's outage ends.
FIRST_WAIT_MS: Final = 5_000
LONGEST_WAIT_MS: Final = 900_000
TRIES: Final = 40

#: Reports of an account that one round fetches.
_A_ROUND: Final = 10

#: Reports that one command waits for, and its pause between two looks.
_AT_ONCE: Final = 1_000
_LOOK_EVERY_S: Final = 1.0

#: Who imports what was fetched.
ACTOR: Final = "service:settlement-fetch"


class ReportFetcher:
    """Fetches what is due of the accounts that this process has settings for. Any number may run, by leases."""

    def __init__(
        self,
        runtime: Runtime,
        sources: Mapping[tuple[str, str], ReportSource],
        *,
        first_wait_ms: int = FIRST_WAIT_MS,
        lease_ms: int = LEASE_MS,
    ) -> None:
        self._runtime, self._sources = runtime, sources
        self._first_wait_ms, self._lease_ms = first_wait_ms, lease_ms
        self._book = runtime.stores.settlement_reports

    async def round(self) -> int:
        """Fetch what is due. Returns how many were tried. Raises what asyncpg raises: then they are taken up again."""
        count = 0
        for provider, account in self._sources:
            for name in await self._book.due(provider, account, _A_ROUND):
                count += await self.fetch(provider, account, name)
        return count

    async def fetch(self, provider: str, account: str, name: str) -> bool:
        """One try at one report, unless another process has it."""
        lease = new_id("lse")
        report = await self._book.lease(provider, account, name, lease, self._lease_ms)
        if report is None:
            return False
        try:
            done = await self._imported(report)
        except (ReportRefused, FileRefused) as error:
            await self._refuse(report, lease, str(error))
        except (ReportNotThere, BeingImported, OSError) as error:
            await self._put_off(report, lease, str(error) if not isinstance(error, OSError) else type(error).__name__)
        else:
            await self._book.end(report, lease, "fetched", done.file.file_id, done.file.detail)
            self._say(report, done)
        return True

    async def _imported(self, report: SettlementReport) -> Imported:
        settings, source = self._runtime.settings, self._sources[report.provider, report.account]
        link = await source.link(report.report, report.url)
        name = report.report if "." in report.report else f"{report.report}.csv"
        with tempfile.TemporaryDirectory(prefix="tallystick-report-") as directory:
            path = Path(directory) / "report"
            most = settings.settlement_max_bytes
            await download(link, path, most, connect_timeout_ms=settings.provider_connect_timeout_ms)
            asked = ImportAsked(path=path, name=name, actor=ACTOR, provider=report.provider, account=report.account)
            return await import_file(self._runtime, asked)

    async def _put_off(self, report: SettlementReport, lease: str, why: str) -> None:
        tries = report.tries + 1
        if tries >= TRIES:
            await self._refuse(report, lease, f"{why}; its tries are used up")
            return
        wait_ms = backoff_ms(report.tries, self._first_wait_ms, LONGEST_WAIT_MS, self._runtime.jitter)
        await self._book.put_off(report, lease, wait_ms, why, tries)

    async def _refuse(self, report: SettlementReport, lease: str, why: str) -> None:
        if await self._book.end(report, lease, "refused", None, why):
            log.error(
                "settlement report not fetched",
                alert=True,
                provider=report.provider,
                account=report.account,
                report=report.report,
                reason=why,
                next="when the cause is gone: tallystick settlements fetch PROVIDER --report NAME",
            )

    def _say(self, report: SettlementReport, done: Imported) -> None:
        known = {"provider": report.provider, "account": report.account, "report": report.report}
        log.info("settlement report fetched", **known, file_id=done.file.file_id, already=done.already)
        if done.file.state != "imported" or done.bad_rows or any(each.state == "unbalanced" for each in done.batches):
            log.error(
                "settlement file does not add up",
                alert=True,
                file_id=done.file.file_id,
                state=done.file.state,
                bad_rows=done.file.bad_rows,
                next=f"tallystick settlements show {done.file.file_id}",
            )


class Wanted(Struct, frozen=True, kw_only=True):
    """What a person asks for: the reports of some days (the last one not included), one by its name, or what waits."""

    actor: str
    provider: str | None = None
    account: str = "main"
    days: tuple[date, date] | None = None
    report: str | None = None
    url: str | None = None


async def fetch_now(runtime: Runtime, wanted: Wanted, wait_s: float) -> list[SettlementReport]:
    """Fetch at once, for so long at most; what came of each report. Raises ReportRefused where nothing can be asked
    for."""
    sources = report_sources(runtime.settings)
    try:
        return await _fetched_now(runtime, sources, wanted, wait_s)
    except ReportNotThere as error:
        raise ReportRefused(str(error)) from None
    finally:
        for source in sources.values():
            await source.close()


async def _fetched_now(
    runtime: Runtime, sources: Mapping[tuple[str, str], ReportSource], wanted: Wanted, wait_s: float
) -> list[SettlementReport]:
    own = {name: source for name, source in sources.items() if wanted.provider in (None, name[0])}
    own = {name: source for name, source in own.items() if wanted.provider is None or name[1] == wanted.account}
    if not own:
        raise ReportRefused("no report can be fetched by these settings: a key for it is missing")
    fetcher, until = ReportFetcher(runtime, own), monotonic_ms() + wait_s * 1_000
    names = await _asked_for(runtime, own, wanted)
    while True:
        found = [await runtime.stores.settlement_reports.find(*name) for name in names]
        done = [each for each in found if each is not None]
        if all(each.state != "waiting" for each in done):
            return done
        await fetcher.round()
        if monotonic_ms() >= until:
            found = [await runtime.stores.settlement_reports.find(*name) for name in names]
            return [each for each in found if each is not None]
        await asyncio.sleep(_LOOK_EVERY_S)


async def _asked_for(
    runtime: Runtime, sources: Mapping[tuple[str, str], ReportSource], wanted: Wanted
) -> list[tuple[str, str, str]]:
    """The reports by account and name, which wait from now on."""
    book = runtime.stores.settlement_reports
    if wanted.days is None and wanted.report is None:
        return [(*name, each) for name in sources for each in await book.due(*name, _AT_ONCE)]
    [(name, source)] = sources.items()
    reports = [wanted.report] if wanted.days is None else await source.ask(*wanted.days)
    names = [each for each in reports if each is not None]
    for each in names:
        if not await book.add(*name, each, wanted.url, wanted.actor):
            await book.ask_again(*name, each, wanted.url, wanted.actor)
    return [(*name, each) for each in names]
