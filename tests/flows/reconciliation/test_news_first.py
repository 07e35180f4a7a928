"""What the inbox does with news of settlement files: it asks where it can, waits where it must, and keeps no file for
ever. Whoever dies in between leaves nothing lost, and nothing twice."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any, cast

import pytest
from msgspec.structs import replace

from tallystick.access.key_store import OPERATORS
from tallystick.decisions.settlements import BatchName
from tallystick.domain.verdicts import Approved, Declined, Pending, Unknown, Verdict
from tallystick.flows.reconciliation.matching import NEWS_TRIES, compare_file
from tallystick.flows.reconciliation.posting import batch_id_of
from tallystick.flows.reconciliation.worker import ReconciliationWorker
from tallystick.flows.runtime import Runtime
from tallystick.providers.port import ProviderCall
from tallystick.record.postgres.settlement_evidence import EvidenceBook
from tests.support.database import DEEP, Database
from tests.support.inbox import assert_invariants
from tests.support.letters import new_letters
from tests.support.news_files import Adyen, Double, File, Stripe, at_providers, newest, tell_file, work
from tests.support.runtime import Client, read, stored, timed_out
from tests.support.settlement_days import ACTOR, balances, paid, refunded
from tests.support.settlement_imports import Died, DyingPool, imported


async def in_doubt(runtime: Runtime, double: Double, merchant_id: str, name: str | None = None) -> dict[str, str]:
    """A payment without an outcome: its answer is lost, or it says that it waits, and ``name``."""

    async def waits(_: ProviderCall) -> Verdict:
        return Pending(reference=name)

    double.after = timed_out if name is None else waits
    made = read(await Client(runtime, merchant_id).create(new_letters(), provider=double.name))
    double.after = None
    attempt = await runtime.pool.fetchval("SELECT attempt_id FROM attempt WHERE payment_id = $1", made["id"])
    assert made["state"] == "authorizing"
    return {"id": made["id"], "attempt": attempt, "charge": name or f"ref_{attempt}"}


def charged(payment: dict[str, str], *, attempt: str = "") -> Stripe:
    file = Stripe(f"po{new_letters()}")
    file.row("charge", 1_000, charge=payment["charge"], effect="", movement=new_letters(), attempt=attempt)
    return file


@pytest.mark.parametrize(("format_", "answer"), [(Stripe, "lost"), (Stripe, "waits"), (Adyen, "waits")])
async def test_a_file_proves_an_attempt_in_doubt(
    database: Database, fresh_merchant: str, tmp_path: Path, format_: type[File], answer: str
) -> None:
    """A provider that can be asked is asked, and its word closes the attempt; of another one the file's does. Without
    an answer the row names the attempt by our own mark alone."""
    async with at_providers(database) as (runtime, doubles):
        double, name = doubles[format_.provider], f"pi{new_letters()}" if answer == "waits" else None
        payment = await in_doubt(runtime, double, fresh_merchant, name)
        if name is not None:
            taken = Approved(amount=1_000, currency="EUR", effect="captured", reference=name)
            double.says[payment["attempt"]] = taken
        mark = payment["attempt"] if name is None else ""
        file = format_(f"b{new_letters()}")
        file.row("charge", 1_000, charge=payment["charge"], effect="mod", movement=new_letters(), attempt=mark)
        await tell_file(runtime, file, tmp_path)
        await work(runtime, fresh_merchant)
        assert double.asked == ([payment["attempt"]] if format_ is Stripe else [])
        assert (await stored(runtime, fresh_merchant, payment["id"])).state == "captured"
        assert await newest(runtime, file.name) == {"charge": "matched: same"}
        assert (await balances(runtime, fresh_merchant))["merchant_available"] == -1_000
    await assert_invariants(database, fresh_merchant)


async def test_the_providers_word_decides(database: Database, fresh_merchant: str, tmp_path: Path) -> None:
    """It says that the charge was declined: the payment is, and what the file has waits for a person."""
    async with at_providers(database) as (runtime, doubles):
        payment = await in_doubt(runtime, doubles["stripe"], fresh_merchant, f"pi{new_letters()}")
        doubles["stripe"].says[payment["attempt"]] = Declined(code="card_declined", message="No.")
        file = charged(payment)
        await tell_file(runtime, file, tmp_path)
        await work(runtime, fresh_merchant)
        assert (await stored(runtime, fresh_merchant, payment["id"])).state == "declined"
        assert await newest(runtime, file.name) == {"charge": "unexplained: not_in_record"}
        assert await balances(runtime, fresh_merchant) == {}
    await assert_invariants(database, fresh_merchant)


@pytest.mark.parametrize("whose", ["ours", "another"])
async def test_a_refund_of_ours_in_doubt_is_not_a_second_one(
    database: Database, fresh_merchant: str, tmp_path: Path, whose: str
) -> None:
    """The answer to a refund was lost. A file has a refund of the same amount: the provider says whether it is that
    one. Where it does not say it, the row waits until ours has its outcome."""
    async with at_providers(database) as (runtime, doubles):
        stripe = doubles["stripe"]
        made = await paid(runtime, fresh_merchant, provider="stripe")
        stripe.after = timed_out
        refund = read(await Client(runtime, fresh_merchant).refund(new_letters(), made["id"], 300))
        stripe.after = None
        attempt = await runtime.pool.fetchval("SELECT attempt_id FROM attempt WHERE refund_id = $1", refund["id"])
        name = f"re{new_letters()}"
        if whose == "ours":
            stripe.says[attempt] = Approved(amount=300, currency="EUR", effect="refunded", reference=name)
        else:
            stripe.says[attempt] = Unknown(reason="not now")
        file = Stripe(f"po{new_letters()}")
        file.row("refund", -300, charge=made["charge"], effect=name, movement=new_letters())
        await tell_file(runtime, file, tmp_path)
        await work(runtime, fresh_merchant)
        refunds = await runtime.pool.fetch("SELECT state FROM refund WHERE payment_id = $1", made["id"])
        row = "matched: same" if whose == "ours" else "unexplained: not_in_record"
        assert [each["state"] for each in refunds] == ["succeeded" if whose == "ours" else "submitting"]
        assert await newest(runtime, file.name) == {"refund": row}
    await assert_invariants(database, fresh_merchant)


async def test_a_file_waits_so_many_rounds_and_no_longer(
    database: Database, fresh_merchant: str, tmp_path: Path
) -> None:
    """Nobody processes the inbox. The file is looked at again, and then posts what is not decided apart; once it is
    decided, it moves to the merchant. Until then nothing of the file is evidence, nor what agrees by itself."""
    async with at_providers(database) as (runtime, _):
        made = await paid(runtime, fresh_merchant, provider="adyen")
        other = await paid(runtime, fresh_merchant, provider="adyen")
        file = Adyen(f"b{new_letters()}")
        file.row("charge", 1_000, charge=other["charge"], effect=other["charge"], movement="")
        file.row("charge", 1_000, charge=made["charge"], effect=made["charge"], movement="")
        file.row("refund", -400, charge=made["charge"], effect=f"mod{new_letters()}", movement="")
        await tell_file(runtime, file, tmp_path)
        worker, name = (
            ReconciliationWorker(runtime),
            BatchName(provider="adyen", account="main", batch=file.name, currency="EUR"),
        )
        tries = "SELECT n.tries FROM settlement_news n JOIN inbox i USING (provider, account, provider_event_id)"
        for number in range(NEWS_TRIES + 1):
            await worker.round()
            assert await runtime.pool.fetchval(f"{tries} WHERE i.payment_id = $1", made["id"]) == number
            assert await newest(runtime, file.name) == {}
        await worker.round()
        assert await newest(runtime, file.name) == {"charge": "matched: same", "refund": "unexplained: not_in_record"}
        batch = await runtime.stores.evidence.batch(batch_id_of(name))
        assert batch is not None and (batch.state, batch.unexplained) == ("posted", -400)
        assert (await balances(runtime, fresh_merchant))["merchant_available"] == -2_000
        await work(runtime, fresh_merchant)
        assert await newest(runtime, file.name) == {"charge": "matched: same", "refund": "matched: same"}
        assert (await balances(runtime, fresh_merchant))["merchant_available"] == -1_600
    await assert_invariants(database, fresh_merchant)


async def test_two_equal_refunds_are_two(database: Database, fresh_merchant: str, tmp_path: Path) -> None:
    """One is ours and known. The other one has another name: it is no duplicate of the first."""
    async with at_providers(database) as (runtime, _):
        made = await paid(runtime, fresh_merchant, provider="stripe")
        ours = await refunded(runtime, made, 300)
        file = Stripe(f"po{new_letters()}")
        for name in (ours["effect"], f"re{new_letters()}"):
            file.row("refund", -300, charge=made["charge"], effect=name, movement=new_letters())
        await tell_file(runtime, file, tmp_path)
        await work(runtime, fresh_merchant)
        assert await newest(runtime, file.name) == {"refund": "matched: same"}
        payment = await stored(runtime, fresh_merchant, made["id"])
        assert payment.amount_refunded == 600
    await assert_invariants(database, fresh_merchant)


async def test_a_row_is_told_of_once_its_payment_is_known(
    database: Database, fresh_merchant: str, tmp_path: Path
) -> None:
    """It was compared when nothing had the name of its payment."""
    async with at_providers(database) as (runtime, doubles):
        payment = await in_doubt(runtime, doubles["stripe"], fresh_merchant)
        file = Stripe(f"po{new_letters()}")
        file.row("refund", -300, charge=payment["charge"], effect=f"re{new_letters()}", movement=new_letters())
        await tell_file(runtime, file, tmp_path)
        await work(runtime, fresh_merchant)
        assert await newest(runtime, file.name) == {"refund": "unexplained: not_in_record"}
        again = charged(payment, attempt=payment["attempt"])
        await tell_file(runtime, again, tmp_path)
        await work(runtime, fresh_merchant)
        assert await newest(runtime, file.name) == {"refund": "matched: same"}
    await assert_invariants(database, fresh_merchant)


def dying(runtime: Runtime, at: int, *, after: bool) -> tuple[Runtime, DyingPool]:
    """The process, which dies at its n-th statement or commit."""
    pool = DyingPool(runtime.pool, at, after=after)
    stores = replace(runtime.stores, evidence=EvidenceBook(cast(Any, pool), OPERATORS))
    return replace(runtime, stores=stores), pool


#: Statements and commits of a comparison that ends with news, at least.
POINTS = 12


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_whoever_finds_news_dies_anywhere(
    database: Database, fresh_merchant: str, tmp_path: Path, after: bool
) -> None:
    """At each of its statements, without depth at every seventh. Then two go on at once: one event, one posting."""
    async with at_providers(database) as (runtime, _):
        for at in count(1 if DEEP else 1 + 3 * after, 1 if DEEP else 7):
            made = await paid(runtime, fresh_merchant, provider="stripe")
            file = Stripe(f"po{new_letters()}")
            file.row("refund", -300, charge=made["charge"], effect=f"re{new_letters()}", movement=new_letters())
            await tell_file(runtime, file, tmp_path)
            file_id = await runtime.pool.fetchval("SELECT file_id FROM settlement_batch WHERE batch = $1", file.name)
            process, pool = dying(runtime, at, after=after)
            with suppress(Died):
                await compare_file(process, file_id, ACTOR, tells_news=True)
            await asyncio.gather(*(compare_file(each, file_id, ACTOR, tells_news=True) for each in (runtime, runtime)))
            events = "SELECT count(*) FROM inbox i JOIN delivery d USING (provider, account, provider_event_id)"
            assert await runtime.pool.fetchval(f"{events} WHERE i.payment_id = $1", made["id"]) == 1
            if not pool.dead:
                assert pool.points >= POINTS, pool.points
                break
        await work(runtime, fresh_merchant)
        refunds = await runtime.pool.fetch(
            "SELECT payment_id, count(*) AS n FROM refund WHERE merchant_id = $1 GROUP BY payment_id", fresh_merchant
        )
        assert {row["n"] for row in refunds} == {1}
    await assert_invariants(database, fresh_merchant)


async def test_statements_do_not_grow_with_news(database: Database, fresh_merchant: str, tmp_path: Path) -> None:
    """All news of a file is told in the statements of one."""
    async with at_providers(database) as (runtime, _):
        made, points = await paid(runtime, fresh_merchant, 100_000, provider="stripe"), []
        for rows in (1, 12):
            file = Stripe(f"po{new_letters()}")
            for _ in range(rows):
                file.row("refund", -3, charge=made["charge"], effect=f"re{new_letters()}", movement=new_letters())
            asked = (await imported(runtime, file.text(), tmp_path, provider="stripe")).file.file_id
            await imported(runtime, file.payout(), tmp_path, provider="stripe")
            process, pool = dying(runtime, 10**9, after=False)
            assert (await compare_file(process, asked, ACTOR, tells_news=True)).news == rows
            points.append(pool.points)
        assert points[0] == points[1]
        await work(runtime, fresh_merchant)  # no event is left to other tests
