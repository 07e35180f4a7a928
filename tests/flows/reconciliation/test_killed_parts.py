"""SIGKILL ends a process that imports, posts, tells of news, writes a person's word, withdraws, tells merchants or
fetches, at any of its statements and commits. Whoever goes on loses nothing, and does nothing twice. By default at a
few points of each; all of them at full depth."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any, Final

import pytest

from tallystick.flows.operations.acts import once
from tallystick.flows.reconciliation.by_hand import resolve, target_of
from tallystick.flows.reconciliation.telling import SettlementTeller
from tallystick.flows.reconciliation.withdrawing import withdraw
from tallystick.flows.reconciliation.worker import ReconciliationWorker
from tallystick.flows.runtime import Runtime
from tests.flows.reconciliation.test_fetching import at_stripe, fetched
from tests.flows.reconciliation.test_news import newest, tell_file, work
from tests.flows.reconciliation.test_news_waiting import file_of
from tests.flows.reconciliation.test_telling import types
from tests.support.database import DEEP, Database
from tests.support.inbox import assert_invariants
from tests.support.killed_reconciliation import KilledProcesses, killed_processes, withdrawal_of, word_of
from tests.support.letters import new_letters
from tests.support.news_files import Stripe, at_providers
from tests.support.polling import eventually_async
from tests.support.runtime import SETTINGS, BookedProvider, runtime_of, stored
from tests.support.settlement_days import Acquirer, balances, paid, settled
from tests.support.settlement_imports import imported, stripe_rows

#: Part -> where it is killed by default, before or after that statement: in the middle, or near its end.
POINTS: Final = {
    "import": ((8, True),),
    "post": ((10, True), (19, False)),
    "news": ((21, True),),  # events of a batch of news are written, and their deliveries are not
    "say": ((6, False), (12, True)),
    "withdraw": ((40, False),),
    "tell": ((6, False),),
    "fetch": ((11, True),),
}

#: A lease that a dead process held is over at once.
IMPATIENT: Final = replace(SETTINGS, settlement_lease_ms=1)

#: A point -> what the part needs, and what must be so in the end.
Ready = tuple[dict[str, str], Callable[[], Awaitable[None]]]


@pytest.fixture(scope="module")
def processes() -> Iterator[KilledProcesses]:
    with killed_processes() as running:
        yield running


async def at_each_point(
    processes: KilledProcesses, part: str, runtime: Runtime, url: str, ready: Callable[[str], Awaitable[Ready]]
) -> None:
    """At each point, until the part is carried out before it."""

    async def at_point(at: int, after: bool) -> bool:
        given, check = await ready(f"{at}{'after' if after else 'before'}{new_letters()}")
        was_killed = await processes.killed(part, at, after=after, url=url, settings=runtime.settings, given=given)
        await check()
        return was_killed

    for at, after in POINTS[part]:
        assert await at_point(at, after), "the part has fewer points than are tried"
    for after in (False, True) if DEEP else ():
        numbers = count(1)
        while await at_point(next(numbers), after):
            pass


@asynccontextmanager
async def impatient(database: Database) -> AsyncIterator[Runtime]:
    async with runtime_of(database.app_url, BookedProvider(), settings=IMPATIENT) as runtime:
        yield runtime


async def rounds(runtime: Runtime) -> None:
    while await ReconciliationWorker(runtime).round():
        pass


async def test_an_import(database: Database, processes: KilledProcesses, tmp_path: Path) -> None:
    async with impatient(database) as runtime:

        async def ready(name: str) -> Ready:
            path, text = tmp_path / f"{name}.csv", stripe_rows(7, f"po_{new_letters()}")
            path.write_text(text)

            async def check() -> None:
                async def goes_on() -> str:
                    return (await imported(runtime, text, tmp_path, name=path.name)).file.state

                assert await eventually_async(goes_on, until=lambda state: state == "imported") == "imported"
                rows = await runtime.pool.fetch(
                    "SELECT f.state, f.rows, count(r.position) AS stored FROM settlement_file f"
                    " LEFT JOIN settlement_row r ON r.file_id = f.file_id WHERE f.name = $1 GROUP BY f.file_id",
                    path.name,
                )
                assert [tuple(row) for row in rows] == [("imported", 7, 7)]

            return {"path": str(path), "name": path.name}, check

        await at_each_point(processes, "import", runtime, database.app_url, ready)


async def test_comparing_and_posting(database: Database, processes: KilledProcesses, tmp_path: Path) -> None:
    async with impatient(database) as runtime:
        merchant = ""

        async def ready(name: str) -> Ready:
            nonlocal merchant
            merchants = [f"m{new_letters()}" for _ in range(2)]
            merchant, file = merchants[0], Acquirer()
            for each in merchants:
                file.of(await paid(runtime, each), "charge", 1_000, 30)
            stored = (await imported(runtime, file.text(), tmp_path, name=f"{name}.csv")).file

            async def check() -> None:
                await rounds(runtime)
                for each in merchants:
                    assert await balances(runtime, each) == {"merchant_available": -1_000, "settled:simulator": 1_000}

            return {"file_id": stored.file_id}, check

        await at_each_point(processes, "post", runtime, database.app_url, ready)
    await assert_invariants(database, merchant)


async def test_telling_of_news(
    database: Database, processes: KilledProcesses, fresh_merchant: str, tmp_path: Path
) -> None:
    """Two refunds that only a file has: whoever goes on tells of both, each once, and each is posted once."""
    async with at_providers(database) as (runtime, _):

        async def ready(_: str) -> Ready:
            payment, file = await paid(runtime, fresh_merchant, provider="stripe"), Stripe(f"po{new_letters()}")
            for effect in (f"re{new_letters()}", f"re{new_letters()}"):
                file.row("refund", -300, charge=payment["charge"], effect=effect, movement=new_letters())
            await tell_file(runtime, file, tmp_path)

            async def check() -> None:
                await work(runtime, fresh_merchant)
                told = await runtime.pool.fetch(
                    "SELECT i.state, count(d.delivery_id) AS deliveries FROM inbox i"
                    " LEFT JOIN delivery d USING (provider, account, provider_event_id)"
                    " WHERE i.payment_id = $1 GROUP BY i.provider_event_id, i.state",
                    payment["id"],
                )
                assert [tuple(row) for row in told] == [("applied", 1)] * 2
                assert (await stored(runtime, fresh_merchant, payment["id"])).amount_refunded == 600
                assert await newest(runtime, file.name) == {"refund": "matched: same"}

            return {"file_id": await file_of(runtime, file)}, check

        await at_each_point(processes, "news", runtime, database.app_url, ready)
    await assert_invariants(database, fresh_merchant)


async def test_a_persons_word(database: Database, processes: KilledProcesses, tmp_path: Path) -> None:
    async with impatient(database) as runtime:
        merchant = ""

        async def ready(name: str) -> Ready:
            nonlocal merchant
            merchant, file = f"m{new_letters()}", Acquirer()
            payment = await paid(runtime, merchant)
            file.of(payment, "charge", 999)
            file_id, _, _ = await settled(runtime, file.text(), tmp_path, name=f"{name}.csv")
            given = {"target": target_of(file_id, 1), "key": new_letters(), "subject": payment["id"]}

            async def check() -> None:
                wanted = word_of(given)  # the person asks again, under the same key
                await once(runtime.stores.acts, wanted, lambda: resolve(runtime, wanted))
                await rounds(runtime)
                assert await balances(runtime, payment["merchant_id"]) == {
                    "merchant_available": -1_000,
                    "settled:simulator": 1_000,
                }
                versions = await runtime.pool.fetch(
                    "SELECT version FROM settlement_evidence WHERE file_id = $1 ORDER BY version", file_id
                )
                assert [row["version"] for row in versions] == [1, 2]

            return given, check

        await at_each_point(processes, "say", runtime, database.app_url, ready)
    await assert_invariants(database, merchant)


async def test_a_withdrawal(database: Database, processes: KilledProcesses, tmp_path: Path) -> None:
    async with impatient(database) as runtime:
        merchant = ""

        async def ready(name: str) -> Ready:
            nonlocal merchant
            merchant, file = f"m{new_letters()}", Acquirer()
            file.of(await paid(runtime, merchant), "charge", 1_000, 30)
            file_id, _, _ = await settled(runtime, file.text(), tmp_path, name=f"{name}.csv")
            given = {"file_id": file_id, "key": new_letters()}

            async def check() -> None:
                wanted = withdrawal_of(given)  # asked for again, under the same key
                await once(runtime.stores.acts, wanted, lambda: withdraw(runtime, wanted))
                await rounds(runtime)
                assert await balances(runtime, merchant) == {"merchant": -1_000, "provider:simulator": 1_000}
                versions = await runtime.pool.fetch(
                    "SELECT version FROM settlement_evidence WHERE file_id = $1 ORDER BY version", file_id
                )
                assert [row["version"] for row in versions] == [1, 2]

            return given, check

        await at_each_point(processes, "withdraw", runtime, database.app_url, ready)
    await assert_invariants(database, merchant)


async def test_telling(database: Database, processes: KilledProcesses, tmp_path: Path) -> None:
    async with impatient(database) as runtime:
        await SettlementTeller(runtime).round()
        merchant = ""

        async def ready(name: str) -> Ready:
            nonlocal merchant
            merchant, file = f"m{new_letters()}", Acquirer()
            payment = await paid(runtime, merchant)
            file.of(payment, "charge", 1_000)
            file.of(payment, "charge", 1_000)
            await settled(runtime, file.text(), tmp_path, name=f"{name}.csv")

            async def check() -> None:
                await SettlementTeller(runtime).round()
                told = await types(runtime, payment["merchant_id"])
                assert told == ["payment.settled", "reconciliation.exception"]

            return {}, check

        await at_each_point(processes, "tell", runtime, database.app_url, ready)
    await assert_invariants(database, merchant)


async def test_a_fetch(database: Database, processes: KilledProcesses, fresh_merchant: str) -> None:
    async with at_stripe(database, fresh_merchant) as place:
        payment: Any = await place.pay(1_000)

        async def ready(_: str) -> Ready:
            place.give_back(payment, 1)  # something to pay out
            place.books.close()
            run = place.books.end_run(place.books.run_of("payouts.itemized.3"))
            await place.runtime.stores.settlement_reports.add("stripe", "main", run["id"], None, "test")

            async def check() -> None:
                done = await fetched(place.runtime, "stripe", run["id"])
                assert done.state == "fetched", done
                rows = await place.runtime.pool.fetch(
                    "SELECT state FROM settlement_file WHERE file_id = $1", done.file_id
                )
                assert [row["state"] for row in rows] == ["imported"]

            return {"provider": "stripe", "report": run["id"]}, check

        await at_each_point(processes, "fetch", place.runtime, database.app_url, ready)
