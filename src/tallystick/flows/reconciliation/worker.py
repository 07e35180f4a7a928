"""Reconciliation in rounds: imported files are compared, and what their evidence comes to is posted."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from tallystick.decisions.bank_statements import StatementName
from tallystick.decisions.settlements import BatchName
from tallystick.domain.errors import Overloaded
from tallystick.domain.settlement_news import RECONCILIATION
from tallystick.flows.reconciliation.bank import compare_again, compare_statements, post_statement
from tallystick.flows.reconciliation.failures import Failures
from tallystick.flows.reconciliation.matching import Compared, NotComparable, compare_file
from tallystick.flows.reconciliation.posting import post_batch
from tallystick.flows.reconciliation.reports import COMPARED_AGAIN_FOR, compare_report, compare_report_again
from tallystick.flows.reconciliation.waiting import EVERY_MS as WAITING_EVERY_MS
from tallystick.flows.reconciliation.waiting import compare_waiting
from tallystick.flows.runtime import Runtime
from tallystick.kit.clock import monotonic_ms
from tallystick.kit.logs import get_logger

#: Who compares and posts, in evidence and history.
ACTOR: Final = RECONCILIATION

#: Files come once a day, and nobody waits for a second.
EVERY_MS: Final = 5_000

#: Reports that are compared again in one round: each is read whole.
_REPORTS_AT_ONCE: Final = 10

log = get_logger("tallystick.flows.reconciliation.worker")


class ReconciliationWorker:
    """Any number may run: evidence of a file is written once, and a version of a batch is taken once. ``at_once``:
    reports are compared again in the first round, whenever they were compared last."""

    def __init__(self, runtime: Runtime, actor: str = ACTOR, *, at_once: bool = False) -> None:
        self._runtime, self._actor, self._at_once = runtime, actor, at_once
        self.compared: list[tuple[str, Compared]] = []
        self.news: dict[str, int] = {}  # files -> movements that the inbox was told of, and that it decides on first
        self._waiting_at_ms: int | None = None  # when rows that wait are compared again
        self._reports_at_ms: int | None = None  # when it is looked for reports that are due
        self._failures = Failures("reconciliation")
        self._payouts = ""  # those with which open entries of statements were compared

    async def round(self) -> int:
        """Compare and post everything that there is; what cannot be keeps nothing else from it. Returns how many files
        and batches that were."""
        book, done = self._runtime.stores.evidence, await self._waiting()
        for file_id in await book.files_to_compare():
            with self._failures.apart(file_id), suppress(NotComparable):  # it was withdrawn meanwhile
                done += await self._file(file_id)
        for name in await book.batches_to_post():
            with suppress(Overloaded), self._failures.apart(_said(name)):  # the next round looks again
                batch = await post_batch(self._runtime, name, self._actor)
                log.info("settlement batch posted", batch_id=batch.batch_id, rows=batch.rows, version=batch.version)
                done += 1
        return done + await self._reports() + await self._bank()

    async def _reports(self) -> int:
        """Reports that post nothing are compared."""
        done = 0
        for file_id in await self._runtime.stores.report_evidence.reports_to_compare():
            with self._failures.apart(file_id), suppress(NotComparable):  # it was withdrawn meanwhile
                compared = await compare_report(self._runtime, file_id, self._actor)
                self.compared.append((file_id, compared))
                log.info("report compared", file_id=file_id, rows=compared.rows, open=compared.open_rows)
                done += 1
        return done + await self._reports_again()

    async def _reports_again(self) -> int:
        """Reports whose rows did not agree are compared again, each at its own pace."""
        if self._reports_at_ms is not None and monotonic_ms() < self._reports_at_ms:
            return 0
        book, now, done = self._runtime.stores.report_evidence, self._runtime.clock.now(), 0
        found = await book.open_reports(now - COMPARED_AGAIN_FOR)
        for each in found if self._at_once else [each for each in found if each.is_due(now)][:_REPORTS_AT_ONCE]:
            with self._failures.apart(each.file_id), suppress(NotComparable):
                compared = await compare_report_again(self._runtime, each.file_id, self._actor, each.comparison)
                if compared.rows:
                    self.compared.append((each.file_id, compared))
                    log.info("report compared again", file_id=each.file_id, rows=compared.rows)
                    done += 1
        self._reports_at_ms = monotonic_ms() + WAITING_EVERY_MS
        return done

    async def _file(self, file_id: str) -> int:
        """Compare it, unless it has news that the inbox hears first, or has heard and not decided yet. Returns 1 where
        something was written."""
        compared = await compare_file(self._runtime, file_id, self._actor, tells_news=True)
        if compared.waits:
            self.news.setdefault(file_id, 0)
            return 0
        if compared.news:
            self.news[file_id] = self.news.get(file_id, 0) + compared.news
            log.info("news of a settlement file", file_id=file_id, movements=compared.news)
            return 1
        self.news.pop(file_id, None)
        self.compared.append((file_id, compared))
        log.info("settlement file compared", file_id=file_id, rows=compared.rows)
        return 1

    async def _waiting(self) -> int:
        """Rows that came before what they are about are compared again, in the first round and then at times; not those
        of files that this round compares."""
        if self._waiting_at_ms is not None and monotonic_ms() < self._waiting_at_ms:
            return 0
        done = 0
        for provider in await self._runtime.stores.waiting.providers():
            with self._failures.apart(f"rows of {provider} that wait"):
                done += await compare_waiting(self._runtime, provider, self._actor)
        self._waiting_at_ms = monotonic_ms() + WAITING_EVERY_MS  # a round that was ended did not look at all of them
        if done:
            log.info("settlement rows found what they had waited for", rows=done)
        return done

    async def _bank(self) -> int:
        """Entries of statements are compared with the payouts that are known by now, and posted."""
        book, done = self._runtime.stores.bank, 0
        if (payouts := await book.payouts_known()) != self._payouts:
            with self._failures.apart("entries that nothing explains"):
                done += await compare_again(self._runtime, self._actor)
                self._payouts = payouts
        for file in await book.files_to_compare():
            with self._failures.apart(file.file_id):
                entries = await compare_statements(self._runtime, file, self._actor)
                log.info("bank statements compared", file_id=file.file_id, entries=entries)
                done += 1
        for name in await book.statements_to_post():
            with suppress(Overloaded), self._failures.apart(_said(name)):
                await post_statement(self._runtime, name, self._actor)
                done += 1
        return done

    async def begin(self) -> int:
        """A round of a worker, which keeps no lists."""
        done = await self.round()
        self.compared.clear()
        self.news.clear()
        self._failures.about.clear()
        return done

    @property
    def failed(self) -> list[str]:
        """What could not be worked on, and was said in the log."""
        return sorted(self._failures.about)


def _said(name: BatchName | StatementName) -> str:
    return f"{name.provider}/{name.account} {name.batch} {name.currency}"
