"""What merchants are told of settlement files: each settled movement once, and each row that disagrees once, whatever
comes twice, dies or is resolved later."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any, cast

import pytest
from msgspec.structs import replace

from tallystick.access.key_store import OPERATORS
from tallystick.flows.operations.acts import once
from tallystick.flows.reconciliation.by_hand import resolve, target_of
from tallystick.flows.reconciliation.matching import compare_file
from tallystick.flows.reconciliation.telling import SettlementTeller
from tallystick.record.journal import Journal
from tallystick.record.postgres.reconciliation_told import ToldBook
from tests.support.acts import asked
from tests.support.books import books_agree
from tests.support.database import DEEP, Database
from tests.support.inbox import assert_invariants
from tests.support.letters import new_letters
from tests.support.runtime import BookedProvider, runtime_of
from tests.support.settlement_days import ACTOR, Acquirer, paid, refunded, settled
from tests.support.settlement_imports import Died, DyingJournal, DyingPool, imported
from tests.support.settlement_messages import told, types

#: Points that there are at least, of one merchant with both messages. Fewer mean that some are not seen.
POINTS = 5


async def books_hold(database: Database, merchant_id: str) -> None:
    books_agree(database, merchant_id)
    await assert_invariants(database, merchant_id)


async def test_each_movement_and_each_exception_is_told_once(
    database: Database, fresh_merchant: str, tmp_path: Path
) -> None:
    """A capture and its refund are settled, one row is off by one, and one comes again. Nothing is told before it is
    posted, and nothing twice: not in a second round, with the same file, or with a file that adds a row."""
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        good, off = await paid(runtime, fresh_merchant), await paid(runtime, fresh_merchant, 500)
        back = await refunded(runtime, good, 400)
        file = Acquirer()
        file.of(good, "charge", 1_000, 30)
        file.of(back, "refund", -400)
        file.of(off, "charge", 499)
        file.of(good, "charge", 1_000)
        stored = (await imported(runtime, file.text(), tmp_path)).file
        await compare_file(runtime, stored.file_id, ACTOR)
        teller = SettlementTeller(runtime)
        await teller.round()
        assert await told(runtime, fresh_merchant) == []
        await settled(runtime, file.text(), tmp_path)
        await teller.round()
        expected = ["payment.settled"] * 2 + ["reconciliation.exception"] * 2
        assert await types(runtime, fresh_merchant) == expected
        streams = [stream for type_, stream in await told(runtime, fresh_merchant) if type_ == "payment.settled"]
        assert streams == [good["id"]] * 2
        await teller.round()
        assert (await imported(runtime, file.text(), tmp_path)).already
        third = await paid(runtime, fresh_merchant, 700)
        file.of(third, "charge", 700)
        await settled(runtime, file.text(), tmp_path, name="again.csv")
        await teller.round()
        assert await types(runtime, fresh_merchant) == ["payment.settled", *expected]
        bodies = [
            json.loads(body)
            for (body,) in await runtime.pool.fetch(
                "SELECT body FROM outbox WHERE merchant_id = $1 AND type = 'reconciliation.exception'", fresh_merchant
            )
        ]
        assert sorted((b["data"]["reason"], b["data"]["amount"], b["data"]["payment_id"]) for b in bodies) == sorted(
            [("amount", 499, off["id"]), ("duplicate", 1_000, good["id"])]
        )
        assert all("payment_id" not in body for body in bodies), "they are in no payment's order"
    await books_hold(database, fresh_merchant)


async def test_what_a_person_resolves_is_settled_then(database: Database, fresh_merchant: str, tmp_path: Path) -> None:
    """The exception was told; the word of a person settles the movement, which is told once. A written-off row is told
    no more."""
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        payment, other = await paid(runtime, fresh_merchant), await paid(runtime, fresh_merchant)
        file = Acquirer()
        file.of(payment, "charge", 999)
        file.of(other, "charge", 1_001)
        file_id, _, _ = await settled(runtime, file.text(), tmp_path)
        teller = SettlementTeller(runtime)
        await teller.round()
        assert await types(runtime, fresh_merchant) == ["reconciliation.exception"] * 2
        for key, act, position, said in (
            ("a", "settlement_row.match", 1, {"subject": payment["id"], "writes_off_difference": True}),
            ("b", "settlement_row.write_off", 2, {}),
        ):
            wanted = asked(act, target_of(file_id, position), new_letters() + key, **said)  # type: ignore[arg-type]
            await once(runtime.stores.acts, wanted, lambda wanted=wanted: resolve(runtime, wanted))  # type: ignore[misc]
        await teller.round()
        await teller.round()
        assert await types(runtime, fresh_merchant) == ["payment.settled", *["reconciliation.exception"] * 2]
        assert ("payment.settled", payment["id"]) in await told(runtime, fresh_merchant)
    await books_hold(database, fresh_merchant)


async def test_several_processes_tell_once(database: Database, fresh_merchant: str, tmp_path: Path) -> None:
    async with (
        runtime_of(database.app_url, BookedProvider()) as one,
        runtime_of(database.app_url, BookedProvider()) as other,
    ):
        file, payments = Acquirer(), [await paid(one, fresh_merchant) for _ in range(4)]
        for each in payments:
            file.of(each, "charge", 1_000)
        file.of(payments[0], "charge", 1_000)
        await settled(one, file.text(), tmp_path)
        await asyncio.gather(*(SettlementTeller(each).round() for each in (one, other, one, other)))
        assert await types(one, fresh_merchant) == ["payment.settled"] * 4 + ["reconciliation.exception"]
    await books_hold(database, fresh_merchant)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_process_that_tells_dies_anywhere(database: Database, tmp_path: Path, after: bool) -> None:
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        for at in count(1) if DEEP else count(1 + after, 2):
            merchant = "m" + new_letters()
            payment = await paid(runtime, merchant)
            file = Acquirer()
            file.of(payment, "charge", 1_000)
            file.of(payment, "charge", 1_000)
            await settled(runtime, file.text(), tmp_path, name=f"{at}.csv")
            pool = DyingPool(runtime.pool, at, after=after)
            stores = replace(runtime.stores, told=ToldBook(cast(Any, pool), OPERATORS))
            process = replace(runtime, stores=stores, journal=cast(Journal, DyingJournal(runtime.journal, pool)))
            with suppress(Died, ExceptionGroup):
                await SettlementTeller(process).round()
            await SettlementTeller(runtime).round()
            assert await types(runtime, merchant) == ["payment.settled", "reconciliation.exception"]
            if not pool.dead:
                assert pool.points >= POINTS, pool.points
                break
    await books_hold(database, merchant)
