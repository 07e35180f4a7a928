"""News of files whose rows wait: no file is compared before its news was heard, and no row is forgotten. Amounts are by
hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from tallystick.domain.verdicts import Approved
from tallystick.flows.reconciliation import waiting
from tallystick.flows.reconciliation.matching import compare_file
from tallystick.flows.reconciliation.worker import ReconciliationWorker
from tallystick.flows.runtime import Runtime
from tests.flows.reconciliation.test_news import newest, tell_file, work
from tests.flows.reconciliation.test_news_of_our_calls import executed, in_doubt, say
from tests.flows.reconciliation.test_withdrawing import withdrawn
from tests.support.database import Database
from tests.support.inbox import assert_invariants, drain
from tests.support.letters import new_letters
from tests.support.news_files import Adyen, File, Stripe, at_providers
from tests.support.runtime import Client, read, stored
from tests.support.settlement_days import ACTOR, paid


async def file_of(runtime: Runtime, file: File) -> str:
    found: str = await runtime.pool.fetchval("SELECT file_id FROM settlement_batch WHERE batch = $1", file.name)
    return found


async def test_whoever_waited_for_the_turn_waits_for_the_news(
    database: Database, fresh_merchant: str, tmp_path: Path
) -> None:
    """Of two processes that began at once the first one tells of the file; the second one has its turn after that."""
    async with at_providers(database) as (runtime, _):
        made = await paid(runtime, fresh_merchant, provider="stripe")
        file = Stripe(f"po{new_letters()}")
        file.row("refund", -300, charge=made["charge"], effect=f"re{new_letters()}", movement=new_letters())
        await tell_file(runtime, file, tmp_path)
        asked = await file_of(runtime, file)
        first, second = [await compare_file(runtime, asked, ACTOR, tells_news=True) for _ in range(2)]
        assert (first.news, first.waits) == (1, False)
        assert (second.news, second.waits) == (0, True)
        assert await newest(runtime, file.name) == {}
        tries = "SELECT tries FROM settlement_news WHERE file_id = $1"
        assert await runtime.pool.fetchval(tries, asked) == 1
        await work(runtime, fresh_merchant)
        assert await newest(runtime, file.name) == {"refund": "matched: same"}
    await assert_invariants(database, fresh_merchant)


async def test_a_duplicate_by_payment_that_was_told_of_is_compared_again(
    database: Database, fresh_merchant: str, tmp_path: Path
) -> None:
    """Our refund of 300 has no name here: a person said that it was executed. Another file has the row of its amount
    that came first. The next row, with another name, is a duplicate of it until its own event is decided: the provider
    says that ours is the first one."""
    async with at_providers(database) as (runtime, doubles):
        payment_id, attempt_id = await in_doubt(runtime, doubles["stripe"], fresh_merchant, "refund")
        await say(runtime, fresh_merchant, payment_id, attempt_id, executed("refund"))
        charge, names = (
            (await stored(runtime, fresh_merchant, payment_id)).provider_reference,
            [new_letters(), new_letters()],
        )
        doubles["stripe"].says[attempt_id] = executed("refund", names[0])
        assert charge is not None
        files: list[Stripe] = []
        for name in names:
            file = Stripe(f"po{new_letters()}")
            file.row("refund", -300, charge=charge, effect=name, movement=new_letters())
            await tell_file(runtime, file, tmp_path)
            assert (await compare_file(runtime, await file_of(runtime, file), ACTOR, tells_news=True)).news == len(
                files
            )
            files.append(file)
        await compare_file(runtime, await file_of(runtime, files[1]), ACTOR)  # it waits no longer
        assert await newest(runtime, files[1].name) == {"refund": "mismatched: duplicate"}
        await work(runtime, fresh_merchant)
        assert (await stored(runtime, fresh_merchant, payment_id)).amount_refunded == 600
        assert [await newest(runtime, file.name) for file in files] == [{"refund": "matched: same"}] * 2
    await assert_invariants(database, fresh_merchant)


async def test_rows_that_are_no_news_do_not_stand_before_news(
    database: Database, fresh_merchant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first row waits, and is no news: nothing that was taken back at once is told of without its charge."""
    monkeypatch.setattr(waiting, "NEWS_AT_ONCE", 1)
    async with at_providers(database) as (runtime, _):
        made = await paid(runtime, fresh_merchant, provider="stripe")
        file = Stripe(f"po{new_letters()}")
        file.row("charge_reversal", -7, charge=made["charge"], effect="", movement=new_letters())
        file.row("refund", -300, charge=made["charge"], effect=f"re{new_letters()}", movement=new_letters())
        await tell_file(runtime, file, tmp_path)
        await compare_file(runtime, await file_of(runtime, file), ACTOR)
        await work(runtime, fresh_merchant)
        assert (await stored(runtime, fresh_merchant, made["id"])).amount_refunded == 300
        assert (await newest(runtime, file.name))["refund"] == "matched: same"
    await assert_invariants(database, fresh_merchant)


async def test_a_charge_that_waits_is_told_of(database: Database, fresh_merchant: str, tmp_path: Path) -> None:
    """Its file was compared while the payment was authorized: no money moved for it yet."""
    async with at_providers(database) as (runtime, doubles):
        held = read(await Client(runtime, fresh_merchant).create(new_letters(), manual=True, provider="stripe"))
        charge = (await stored(runtime, fresh_merchant, held["id"])).provider_reference
        assert charge is not None
        attempt = await runtime.pool.fetchval("SELECT attempt_id FROM attempt WHERE payment_id = $1", held["id"])
        taken = Approved(amount=1_000, currency="EUR", effect="captured", reference=charge)
        doubles["stripe"].says[attempt] = taken
        file = Stripe(f"po{new_letters()}")
        file.row("charge", 1_000, charge=charge, effect="", movement=new_letters())
        await tell_file(runtime, file, tmp_path)
        await compare_file(runtime, await file_of(runtime, file), ACTOR)
        await work(runtime, fresh_merchant)
        assert (await stored(runtime, fresh_merchant, held["id"])).state == "captured"
        assert await newest(runtime, file.name) == {"charge": "matched: same"}
    await assert_invariants(database, fresh_merchant)


@pytest.mark.parametrize("decided", [False, True], ids=["before it was decided", "after"])
async def test_news_of_a_withdrawn_file_is_told_anew_by_the_corrected_one(
    database: Database, fresh_merchant: str, tmp_path: Path, decided: bool
) -> None:
    """The first file says 400, and its event is open when the file is withdrawn: it posts nothing. The corrected file
    says 100 of the same movement. Where the first one's was posted, the movement is in the record once, as it said."""
    async with at_providers(database) as (runtime, _):
        made = await paid(runtime, fresh_merchant, provider="adyen")
        name, batch = f"mod{new_letters()}", f"b{new_letters()}"
        wrong, right = Adyen(batch), Adyen(batch)
        wrong.row("refund", -400, charge=made["charge"], effect=name, movement="")
        right.row("refund", -100, charge=made["charge"], effect=name, movement="")
        await tell_file(runtime, wrong, tmp_path)
        await ReconciliationWorker(runtime).round()
        if decided:
            await drain(runtime, fresh_merchant)
        await withdrawn(runtime, await file_of(runtime, wrong))
        await drain(runtime, fresh_merchant)
        assert (await stored(runtime, fresh_merchant, made["id"])).amount_refunded == (400 if decided else 0)
        await tell_file(runtime, right, tmp_path)
        await work(runtime, fresh_merchant)
        assert (await stored(runtime, fresh_merchant, made["id"])).amount_refunded == (400 if decided else 100)
        assert await newest(runtime, batch) == {"refund": "mismatched: amount" if decided else "matched: same"}
    await assert_invariants(database, fresh_merchant)
