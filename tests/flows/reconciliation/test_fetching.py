"""Reports fetched from a Stripe and an Adyen that write them from their own books: because an event offers one, or
somebody asks. Each is imported once, whatever comes twice or dies."""

from __future__ import annotations

import logging
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import date
from itertools import count
from pathlib import Path
from typing import Any, Final, cast

import msgspec
import pytest
import structlog
from structlog.testing import capture_logs

from tallystick.flows.reconciliation.fetching import ReportFetcher, Wanted, fetch_now
from tallystick.flows.reconciliation.worker import ReconciliationWorker
from tallystick.flows.runtime import Runtime
from tallystick.kit.ids import new_id
from tallystick.kit.logs import get_logger
from tallystick.providers.adyen.setup import AdyenSettings
from tallystick.providers.assembly import report_sources
from tallystick.providers.reports import ReportRefused
from tallystick.record.postgres.settlement_reports import ReportBook
from tests.support.adyen.client import PATIENT as ADYEN_SETTINGS
from tests.support.adyen.client import adyen_runtime
from tests.support.adyen.fake_adyen import REPORT_API_KEY
from tests.support.adyen.process import FakeAdyen, fake_adyen
from tests.support.database import DEEP, Database
from tests.support.fetched_reports import at_stripe, fetched
from tests.support.letters import new_letters
from tests.support.log_lines import lines_said
from tests.support.ports import free_port
from tests.support.settlement_imports import Died, DyingPool
from tests.support.settling_providers import AtAdyen

#: Statements of a fetch that there are now. Fewer mean that the enumeration lost sight of something.
POINTS: Final = 15

ACCOUNTS: Final = """
[[account]]
provider = "adyen"
account = "main"
zone = "Europe/Amsterdam"
"""


@pytest.fixture(scope="module")
def running_bank(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeAdyen]:
    with fake_adyen(tmp_path_factory.mktemp("adyen") / "books.sqlite3") as process:
        yield process


@asynccontextmanager
async def at_adyen(database: Database, merchant: str, bank: FakeAdyen, where: Path) -> AsyncIterator[AtAdyen]:
    bank.forget()
    (where / "accounts.toml").write_text(ACCOUNTS)
    settings = replace(ADYEN_SETTINGS, settlement_accounts=str(where / "accounts.toml"))
    settings = settings.with_connector(AdyenSettings, report_api_key=REPORT_API_KEY, reports_url=bank.url)
    async with adyen_runtime(database, bank.url, settings) as runtime:
        yield AtAdyen(runtime, database, merchant, bank)


async def files_named(runtime: Runtime, name: str) -> list[tuple[str, int]]:
    rows = await runtime.pool.fetch("SELECT state, rows FROM settlement_file WHERE name = $1", name)
    return [(row["state"], row["rows"]) for row in rows]


async def test_a_report_that_adyen_offers_is_fetched_once(
    database: Database, fresh_merchant: str, running_bank: FakeAdyen, tmp_path: Path
) -> None:
    async with at_adyen(database, fresh_merchant, running_bank, tmp_path) as place:
        await place.pay(1_000)
        made = await running_bank.close()
        await running_bank.offer(made["name"])
        await place.tell(times=2)
        done = await fetched(place.runtime, "adyen", made["name"])
        assert (done.state, done.detail, done.actor) == ("fetched", None, "provider:adyen")
        assert await files_named(place.runtime, made["name"]) == [("imported", 2)]
        assert await files_named(place.runtime, "report") == []
        assert not await place.runtime.stores.settlement_reports.add("adyen", "main", made["name"], None, "again")
        while await ReconciliationWorker(place.runtime).round():
            pass
        [posted] = await place.runtime.pool.fetch(
            "SELECT state FROM settled_batch WHERE batch = $1", str(made["batch"])
        )
        assert posted["state"] == "posted"


@pytest.fixture
def every_line(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """What every module of ours logs, of every level, before anything is redacted."""
    before = structlog.get_config()
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG), cache_logger_on_first_use=False
    )
    for name, module in [*sys.modules.items()]:
        if name.startswith("tallystick.") and hasattr(module, "log"):
            monkeypatch.setattr(module, "log", get_logger(name))  # the module's own may know its level already
    with capture_logs() as logged:
        yield cast(list[Any], logged)
    structlog.configure(**before)


async def test_no_key_of_a_fetch_is_in_the_log(
    database: Database, fresh_merchant: str, running_bank: FakeAdyen, tmp_path: Path, every_line: list[Any]
) -> None:
    """Not of a fetch that succeeds, of one whose key is refused, and of one that nobody answers."""
    wrong = f"AQE{new_letters()}"
    with lines_said() as said:
        async with at_adyen(database, fresh_merchant, running_bank, tmp_path) as place:
            await place.pay(1_000)
            made = await running_bank.close()
            await place.runtime.stores.settlement_reports.add("adyen", "main", made["name"], None, "test")
            assert (await fetched(place.runtime, "adyen", made["name"])).state == "fetched"
            for url in (running_bank.url, f"http://127.0.0.1:{free_port()}"):
                name = f"{new_letters()}.csv"
                settings = place.runtime.settings.with_connector(AdyenSettings, report_api_key=wrong, reports_url=url)
                runtime = msgspec.structs.replace(place.runtime, settings=settings)
                await runtime.stores.settlement_reports.add("adyen", "main", name, None, "test")
                sources = report_sources(settings)
                await ReportFetcher(runtime, sources, first_wait_ms=2).fetch("adyen", "main", name)
                await sources["adyen", "main"].close()
                left = await runtime.stores.settlement_reports.find("adyen", "main", name)
                assert left is not None and left.state != "fetched" and wrong not in str(left)
    text = f"{said.lines}{every_line}"
    assert made["name"] in text, "the fetch is in the log"
    assert wrong not in text and REPORT_API_KEY not in text


async def test_an_address_elsewhere_is_not_asked(
    database: Database, fresh_merchant: str, running_bank: FakeAdyen, tmp_path: Path
) -> None:
    async with at_adyen(database, fresh_merchant, running_bank, tmp_path) as place:
        name = f"settlement_detail_report_batch_{new_id('req')}.csv"
        await running_bank.offer(name, f"https://example.com/reports/download/MerchantAccount/Shop/{name}")
        await place.tell()
        done = await fetched(place.runtime, "adyen", name)
        assert (done.state, done.file_id) == ("refused", None)
        assert done.detail == "its address is not at the host of TALLYSTICK_ADYEN_REPORTS_URL"
        other = f"invoice_{new_id('req')}.pdf"
        await running_bank.offer(other)
        await place.tell()
        assert await place.runtime.stores.settlement_reports.find("adyen", "main", other) is None


async def test_a_report_run_that_ended_is_fetched_once(database: Database, fresh_merchant: str) -> None:
    """Two runs made the same bytes: the second one is the file that is there."""
    async with at_stripe(database, fresh_merchant) as place:
        await place.pay(1_000)
        place.books.close()
        runs = [place.books.end_run(place.books.run_of("payout_reconciliation.itemized.5")) for _ in range(2)]
        for run in runs:
            await place.tell_of(run, times=2)
        first, second = [await fetched(place.runtime, "stripe", run["id"]) for run in runs]
        assert (first.state, second.state) == ("fetched", "fetched")
        assert first.file_id == second.file_id is not None
        assert await files_named(place.runtime, f"{runs[0]['id']}.csv") == [("imported", 1)]
        assert await files_named(place.runtime, f"{runs[1]['id']}.csv") == []
        other = place.books.end_run(place.books.run_of("balance.summary.1"))
        await place.tell_of(other)
        assert await place.runtime.stores.settlement_reports.find("stripe", "main", other["id"]) is None


async def test_days_are_asked_for_and_posted(database: Database, fresh_merchant: str) -> None:
    async with at_stripe(database, fresh_merchant) as place:
        await place.pay(1_000)
        payout = place.books.close()
        place.books.looks_until_done = 0
        wanted = Wanted(actor="shell:test@here", provider="stripe", days=(date(2026, 3, 1), date(2026, 3, 2)))
        done = await fetch_now(place.runtime, wanted, 60)
        assert [each.state for each in done] == ["fetched", "fetched"] and len(place.books.runs) == 2
        again = await fetch_now(place.runtime, wanted, 60)
        assert [(each.report, each.file_id) for each in again] == [(each.report, each.file_id) for each in done]
        while await ReconciliationWorker(place.runtime).round():
            pass
        [posted] = await place.runtime.pool.fetch("SELECT state, rows FROM settled_batch WHERE batch = $1", payout)
        assert tuple(posted) == ("posted", 2)


async def test_what_cannot_be_asked_for_says_so(database: Database, fresh_merchant: str) -> None:
    async with at_stripe(database, fresh_merchant) as place:
        unknown = Wanted(actor="shell:test@here", provider="stripe", report=f"frr_{new_id('req')[4:]}")
        [done] = await fetch_now(place.runtime, unknown, 60)
        assert (done.state, done.detail) == (
            "refused",
            "Stripe answered 404: there is no such report, or not for these days",
        )
        with pytest.raises(ReportRefused, match="a key for it is missing"):
            await fetch_now(place.runtime, Wanted(actor="shell:test@here", provider="adyen", report="x.csv"), 60)


async def test_a_process_that_fetches_dies_anywhere(database: Database, fresh_merchant: str) -> None:
    """At each of its statements and commits, before it or after it; the next one goes on."""
    step = 1 if DEEP else 9
    async with at_stripe(database, fresh_merchant) as place:
        payment = await place.pay(1_000)
        for after in (False, True):
            for at in count(1 + after * step // 2, step):
                place.give_back(payment, 1)  # something to pay out
                payout = place.books.close()
                run = place.books.end_run(place.books.run_of("payouts.itemized.3"))
                await place.runtime.stores.settlement_reports.add("stripe", "main", run["id"], None, "test")
                pool = DyingPool(place.runtime.pool, at, after=after)
                book = ReportBook(cast(Any, pool))
                stores = msgspec.structs.replace(place.runtime.stores, settlement_reports=book)
                dying = msgspec.structs.replace(place.runtime, pool=cast(Any, pool), stores=stores)
                sources = report_sources(dying.settings)
                with suppress(Died):
                    await ReportFetcher(dying, sources, lease_ms=1).fetch("stripe", "main", run["id"])
                await sources["stripe", "main"].close()
                done = await fetched(place.runtime, "stripe", run["id"])
                assert done.state == "fetched", done
                rows = await place.runtime.pool.fetch(
                    "SELECT f.state, f.rows FROM settlement_file f WHERE f.file_id = $1", done.file_id
                )
                assert len(rows) == 1 and rows[0]["state"] == "imported"
                parts = await place.runtime.pool.fetch("SELECT part FROM settlement_batch WHERE batch = $1", payout)
                assert [row["part"] for row in parts] == [1]
                if not pool.dead:
                    assert pool.points >= POINTS, pool.points
                    break
