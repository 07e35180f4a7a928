"""Rows that a person resolves, on a real database: matched by hand, or written off. Sums are worked out by hand."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tallystick.decisions.rows_by_hand import NotResolvable
from tallystick.decisions.settlements import BatchName
from tallystick.domain.operator_act import ActKeyReused, OperatorAct
from tallystick.domain.settlement import SettledBatch
from tallystick.flows.compliance.amounts import NeedsSecondPerson
from tallystick.flows.operations.acts import once
from tallystick.flows.reconciliation import by_hand, posting
from tallystick.flows.reconciliation.by_hand import NoSuchRow, look, resolve, target_of
from tallystick.flows.reconciliation.matching import compare_file
from tallystick.flows.reconciliation.posting import batch_id_of, post_batch
from tallystick.flows.runtime import Runtime
from tallystick.kit.ids import new_id
from tests.support.acts import INES, KIM, asked, colleague_in
from tests.support.books import books_hold
from tests.support.database import Database
from tests.support.rows_by_hand import done
from tests.support.runtime import SETTINGS, BookedProvider, runtime_of
from tests.support.settlement_days import ACTOR, Acquirer, balances, paid, posted_of, refunded, settled
from tests.support.settlement_imports import imported


async def now(runtime: Runtime, batch: SettledBatch) -> SettledBatch:
    found = await runtime.stores.evidence.batch(batch.batch_id)
    assert found is not None and found.state == "posted"
    return found


async def test_a_person_matches_and_writes_off(database: Database, fresh_merchant: str, tmp_path: Path) -> None:
    """A capture of 1,000 reported as 1,001 with a fee of 30, and 77 that nobody knows."""
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        payment = await paid(runtime, fresh_merchant)
        file = Acquirer()
        file.of(payment, "charge", 1_001, 30)
        file.row("riddle", 77)
        file_id, _, batch = await settled(runtime, file.text(), tmp_path)
        assert (batch.merchants, batch.unexplained, batch.net) == (0, 1_078, 1_048)
        with pytest.raises(NotResolvable, match="the difference is not written off"):
            await done(runtime, file_id, 1, subject=payment["id"])
        act = await done(runtime, file_id, 1, subject=payment["id"], writes_off_difference=True)
        assert (act.payment_id, act.merchant_id, act.result["to_merchant"], act.result["written_off"]) == (
            payment["id"],
            fresh_merchant,
            1_000,
            1,
        )
        batch = await now(runtime, batch)
        assert (batch.merchants, batch.unexplained, batch.written_off, batch.net, batch.rows) == (
            1_000,
            77,
            1,
            1_048,
            2,
        )
        assert await balances(runtime, fresh_merchant) == {"merchant_available": -1_000, "settled:simulator": 1_000}
        await done(runtime, file_id, 2)
        batch = await now(runtime, batch)
        assert (batch.unexplained, batch.written_off, batch.fees, batch.net) == (0, 78, 30, 1_048)
        assert await posted_of(runtime, batch) == {
            "settled:simulator": -1_000,
            "fees:provider": 30,
            "write_off": -78,
            "provider_balance:simulator": 1_048,
        }
        kept = await runtime.stores.evidence.of_payment(fresh_merchant, payment["id"])
        assert [(each.version, each.status, each.supersedes, each.actor) for each in kept[1:]] == [
            (2, "explained", 1, KIM)
        ], "the first comparison stays as it was"
        assert (kept[0].reason, kept[1].stage, kept[1].covers) == ("amount", "person", 1_000)
        again = await done(runtime, file_id, 2)
        assert again.result["evidence_version"] == 3, "a person's word may be followed by another one"
        assert (await now(runtime, batch)).written_off == 78, "and moves nothing where it says the same"
    await books_hold(database, fresh_merchant)


async def test_a_wrong_word_is_taken_back_by_the_next(database: Database, fresh_merchant: str, tmp_path: Path) -> None:
    """A correction of 400 is matched with the wrong payment, then with the right one."""
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        wrong, right = await paid(runtime, fresh_merchant, 400), await paid(runtime, fresh_merchant, 400)
        file = Acquirer()
        file.row("riddle", 400)
        file.row("riddle", 400)
        file_id, _, batch = await settled(runtime, file.text(), tmp_path)
        await done(runtime, file_id, 1, subject=wrong["id"])
        with pytest.raises(NotResolvable, match="no free posting"):
            await done(runtime, file_id, 2, subject=wrong["id"])
        await done(runtime, file_id, 1, subject=right["id"])
        await done(runtime, file_id, 2, subject=wrong["id"])
        batch = await now(runtime, batch)
        assert (batch.merchants, batch.unexplained, batch.rows) == (800, 0, 2)
        assert await balances(runtime, fresh_merchant) == {"merchant_available": -800, "settled:simulator": 800}
    await books_hold(database, fresh_merchant)


async def test_whoever_is_limited_to_a_merchant_gives_a_row_to_no_other(
    database: Database, fresh_merchant: str, tmp_path: Path
) -> None:
    """The row is of one merchant's payment, with another amount; the word names another merchant's."""
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        others = f"{fresh_merchant}other"
        mine, theirs = await paid(runtime, fresh_merchant), await paid(runtime, others)
        file = Acquirer()
        file.of(mine, "charge", 1_001)
        file_id, _, _ = await settled(runtime, file.text(), tmp_path)
        limited = f"operator:{await colleague_in(runtime.pool, fresh_merchant)}"
        said = {"subject": theirs["id"], "writes_off_difference": True, "operator": limited}
        with pytest.raises(NotResolvable, match="belongs to a merchant that is not yours"):
            await done(runtime, file_id, 1, **said)
        assert (await balances(runtime, others)).get("settled:simulator", 0) == 0
        act = await done(runtime, file_id, 1, **{**said, "subject": mine["id"]})
        assert act.merchant_id == fresh_merchant


async def test_a_small_row_moves_no_large_amount_alone(database: Database, fresh_merchant: str, tmp_path: Path) -> None:
    """A row of 1 is matched with a payment of 400, and the difference is written off: 400 move, and move again when the
    row is written off or given to another merchant. That is about both merchants, and neither one's people decide."""
    alone = dataclasses.replace(SETTINGS, second_person_above="EUR=399")
    async with (
        runtime_of(database.app_url, BookedProvider()) as runtime,
        runtime_of(database.app_url, BookedProvider(), settings=alone) as limited,
    ):
        others = f"{fresh_merchant}other"
        mine, theirs = await paid(runtime, fresh_merchant, 400), await paid(runtime, others, 2)
        file = Acquirer()
        file.row("riddle", 1)
        file_id, _, _ = await settled(runtime, file.text(), tmp_path)
        row, said = target_of(file_id, 1), {"subject": mine["id"], "writes_off_difference": True}
        shown = await look(runtime, row, said)
        assert (shown["amount"], shown["has"], shown["to the merchant"], shown["written off"]) == (400, 1, 400, -399)
        assert shown["merchant"] == fresh_merchant and "taken from" not in shown
        with pytest.raises(NeedsSecondPerson):
            await done(limited, file_id, 1, **said)
        await done(runtime, file_id, 1, **said)
        assert (await look(runtime, row, {}))["amount"] == 400
        with pytest.raises(NeedsSecondPerson):
            await done(limited, file_id, 1)
        said |= {"subject": theirs["id"]}
        shown = await look(runtime, row, said)
        assert (shown["amount"], shown["covered before"], shown["to the merchant"]) == (400, 400, 2)
        assert (shown["merchant"], shown["taken from"], shown["given to"]) == (None, fresh_merchant, others)
        for whose in (fresh_merchant, others):
            colleague = f"operator:{await colleague_in(runtime.pool, whose)}"
            with pytest.raises(NotResolvable, match="belongs to a merchant that is not yours"):
                await done(runtime, file_id, 1, operator=colleague, **said)
        await done(runtime, file_id, 1, **said)
        assert (await balances(runtime, others))["settled:simulator"] == 2


async def test_only_what_waits_and_fits_is_resolved(database: Database, fresh_merchant: str, tmp_path: Path) -> None:
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        first, second = await paid(runtime, fresh_merchant), await paid(runtime, fresh_merchant)
        back = await refunded(runtime, second, 400)
        file = Acquirer()
        file.of(first, "charge", 1_000)
        file.row("riddle", -400)
        file.row("fee", -5)
        file_id, _, _ = await settled(runtime, file.text(), tmp_path)
        for position, said in ((1, {}), (1, {"subject": second["id"]}), (3, {}), (2, {"subject": second["id"]})):
            with pytest.raises(NotResolvable):
                await done(runtime, file_id, position, **said)
        with pytest.raises(NoSuchRow):
            await done(runtime, file_id, 9)
        with pytest.raises(NoSuchRow):
            await done(runtime, new_id("stl"), 1)
        await done(runtime, file_id, 2, subject=back["refund_id"])
        assert await balances(runtime, fresh_merchant) == {
            "provider:simulator": 1_000,
            "merchant": -1_000,
            "merchant_available": -600,
            "settled:simulator": 600,
        }
    await books_hold(database, fresh_merchant)


async def test_many_at_once_are_one(database: Database, fresh_merchant: str, tmp_path: Path) -> None:
    """The same act under one key is done once; of different ones about one row, or about one posting, one is done."""
    async with (
        runtime_of(database.app_url, BookedProvider()) as one,
        runtime_of(database.app_url, BookedProvider()) as other,
    ):
        payment = await paid(one, fresh_merchant, 400)
        file = Acquirer()
        for _ in range(3):
            file.row("riddle", 400)
        file_id, _, batch = await settled(one, file.text(), tmp_path)
        key = new_id("req")
        same = await asyncio.gather(*(done(each, file_id, 1, key) for each in (one, other, one, other)))
        assert len({each.act_id for each in same}) == 1
        with pytest.raises(ActKeyReused):
            await done(one, file_id, 2, key)
        tried = await asyncio.gather(
            *(
                done(each, file_id, position, subject=payment["id"])
                for each, position in ((one, 2), (other, 3), (one, 3), (other, 2))
            ),
            return_exceptions=True,
        )
        assert [each for each in tried if not isinstance(each, OperatorAct | NotResolvable)] == []
        assert len({each.target for each in tried if isinstance(each, OperatorAct)}) == 1
        batch = await now(one, batch)
        assert (batch.merchants, batch.written_off, batch.unexplained) == (400, 400, 400)
        assert await balances(one, fresh_merchant) == {"merchant_available": -400, "settled:simulator": 400}
    await books_hold(database, fresh_merchant)


async def test_what_a_dead_process_left_is_posted_once(database: Database, fresh_merchant: str, tmp_path: Path) -> None:
    """The act is recorded, and nothing of it is posted yet: a worker goes on."""
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        await paid(runtime, fresh_merchant)
        file = Acquirer()
        file.row("riddle", 77)
        file_id, _, batch = await settled(runtime, file.text(), tmp_path)
        name = BatchName(provider="simulator", account="main", batch=file.batch, currency="EUR")
        before = await runtime.stores.evidence.batches_to_post()
        assert name not in before and batch_id_of(name) == batch.batch_id
        wanted = asked("settlement_row.write_off", target_of(file_id, 1), operator=INES)
        with pytest.MonkeyPatch.context() as patched:

            async def dies(*_: object) -> None:
                raise SystemError("the process dies here")

            patched.setattr("tallystick.flows.reconciliation.by_hand.post_batch", dies)
            with pytest.raises(SystemError):
                await resolve(runtime, wanted)
        assert name in await runtime.stores.evidence.batches_to_post()
        act, repeated = await once(runtime.stores.acts, wanted, lambda: resolve(runtime, wanted))
        assert repeated and act.result["written_off"] == 77
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        assert (await post_batch(runtime, name, "service:reconciliation")).written_off == 77
    await books_hold(database, fresh_merchant)


async def test_older_sums_move_no_part_back(database: Database, fresh_merchant: str, tmp_path: Path) -> None:
    """One process has counted a file; a person's word is posted whole beside it; then the first one goes on with the
    merchants' parts, and dies."""
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        payment, other = await paid(runtime, fresh_merchant), await paid(runtime, fresh_merchant, 400)
        file = Acquirer()
        file.of(payment, "charge", 1_000)
        file.row("riddle", 400)
        file_id = (await imported(runtime, file.text(), tmp_path)).file.file_id
        await compare_file(runtime, file_id, ACTOR)
        [name] = await runtime.stores.evidence.batches_of(file_id)
        counted = await posting._counted(runtime, name, ACTOR)
        assert counted is not None
        await done(runtime, file_id, 2, subject=other["id"])
        await posting._parts(runtime, name, counted, ACTOR)
        assert await runtime.stores.evidence.batches_to_post() == [], "nobody would look again"
        assert await balances(runtime, fresh_merchant) == {"merchant_available": -1_400, "settled:simulator": 1_400}
    await books_hold(database, fresh_merchant)


async def test_what_was_judged_is_what_is_written(
    database: Database, fresh_merchant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at the amount and the writing another posting of the payment is the free one."""
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        payment = await paid(runtime, fresh_merchant, 400)
        file = Acquirer()
        file.row("riddle", 400)
        file_id, _, _ = await settled(runtime, file.text(), tmp_path)
        decided = by_hand._decided
        looks: list[Any] = []

        async def later(*given: Any) -> Any:
            said = await decided(*given)
            looks.append(said)
            return (
                said if len(looks) == 1 else replace(said, after=replace(said.after, covers=9_000, written_off=-8_600))
            )

        monkeypatch.setattr(by_hand, "_decided", later)
        with pytest.raises(NotResolvable, match="has changed meanwhile"):
            await done(runtime, file_id, 1, subject=payment["id"], writes_off_difference=True)
        assert len(looks) == 2 and (await balances(runtime, fresh_merchant)).get("settled:simulator", 0) == 0
