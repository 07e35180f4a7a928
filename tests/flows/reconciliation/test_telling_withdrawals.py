"""What merchants are told of settlement files that are withdrawn: that each settlement which they were told of is taken
back, once; and that its movement is settled, when another file has it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any, cast

import pytest
from msgspec.structs import replace

from tallystick.access.key_store import OPERATORS
from tallystick.flows.reconciliation import telling
from tallystick.flows.reconciliation.telling import SettlementTeller
from tallystick.flows.reconciliation.waiting import compare_waiting
from tallystick.flows.reconciliation.worker import ReconciliationWorker
from tallystick.flows.runtime import Runtime
from tallystick.record.journal import Journal
from tallystick.record.postgres import reconciliation_told
from tallystick.record.postgres.reconciliation_told import SetToTell, ToldBook
from tests.support.books import books_hold
from tests.support.database import DEEP, Database
from tests.support.letters import new_letters
from tests.support.payment_reconciliation import shown
from tests.support.rows_by_hand import done
from tests.support.runtime import BookedProvider, runtime_of
from tests.support.settlement_days import ACTOR, Acquirer, paid, refunded, settled
from tests.support.settlement_imports import Died, DyingJournal, DyingPool
from tests.support.withdrawals import withdrawn

#: Points that there are at least, where one settlement is taken back. Fewer mean that some are not seen.
POINTS = 7

SETTLED, TAKEN_BACK, DISAGREES = "payment.settled", "payment.settlement_withdrawn", "reconciliation.exception"


async def heard(runtime: Runtime, merchant_id: str, payment_id: str) -> list[str]:
    """What the merchant was told of a payment's settlements, in the payment's order."""
    rows = await runtime.pool.fetch(
        "SELECT type FROM outbox WHERE merchant_id = $1 AND stream_id = $2"
        " AND type IN ('payment.settled', 'payment.settlement_withdrawn') ORDER BY version",
        merchant_id,
        payment_id,
    )
    return [row["type"] for row in rows]


async def steps_beside(runtime: Runtime, merchant_id: str, event: str) -> list[str]:
    """What the movements' own subjects did in the changes that have this step of a payment."""
    rows = await runtime.pool.fetch(
        "SELECT o.event FROM history p JOIN history o ON o.merchant_id = p.merchant_id AND o.change_id = p.change_id"
        " WHERE p.merchant_id = $1 AND p.subject = 'payment' AND p.event = $2 AND o.subject = 'reconciliation'",
        merchant_id,
        event,
    )
    return [row["event"] for row in rows]


def telling_with(runtime: Runtime, book: ToldBook) -> SettlementTeller:
    return SettlementTeller(replace(runtime, stores=replace(runtime.stores, told=book)))


async def test_each_settlement_is_taken_back_once_and_told_anew(
    database: Database, fresh_merchant: str, tmp_path: Path
) -> None:
    """A capture and its refund are settled, and one row is off by one. Their file is withdrawn, comes again, and is
    withdrawn again."""
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        good, off = await paid(runtime, fresh_merchant), await paid(runtime, fresh_merchant, 500)
        back = await refunded(runtime, good, 400)
        file, teller = Acquirer(), SettlementTeller(runtime)
        file.of(good, "charge", 1_000, 30)
        file.of(back, "refund", -400)
        file.of(off, "charge", 499)
        expected: list[str] = []
        for _ in range(2):
            file_id, _, _ = await settled(runtime, file.text(), tmp_path)
            await teller.round()
            expected += [SETTLED] * 2
            assert await heard(runtime, fresh_merchant, good["id"]) == expected
            assert (await shown(runtime, fresh_merchant, good["id"])).state == "matched"
            await withdrawn(runtime, file_id)
            await teller.round()
            await teller.round()
            expected += [TAKEN_BACK] * 2
            assert await heard(runtime, fresh_merchant, good["id"]) == expected
            found = await shown(runtime, fresh_merchant, good["id"])
            assert (found.state, found.batch, found.fee, found.net) == ("expected", None, None, None)
        assert await steps_beside(runtime, fresh_merchant, "settlement_withdrawn") == ["withdrawn"] * 4
        assert await heard(runtime, fresh_merchant, off["id"]) == []
        bodies = await runtime.pool.fetch(
            "SELECT type, body FROM outbox WHERE merchant_id = $1 AND type = ANY ($2::text[])",
            fresh_merchant,
            [TAKEN_BACK, DISAGREES],
        )
        said = sorted((row["type"], json.loads(row["body"])["data"]["state"]) for row in bodies)
        assert said == [(TAKEN_BACK, "captured")] * 4 + [(DISAGREES, "exception")], "a row that disagrees is told once"
    await books_hold(database, fresh_merchant)


async def test_what_was_not_told_is_not_taken_back(database: Database, fresh_merchant: str, tmp_path: Path) -> None:
    """The file is posted and withdrawn before anybody tells of it; the corrected one is told."""
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        payment, file = await paid(runtime, fresh_merchant), Acquirer()
        file.of(payment, "charge", 1_000, 30)
        file_id, _, _ = await settled(runtime, file.text(), tmp_path)
        await withdrawn(runtime, file_id)
        teller = SettlementTeller(runtime)
        await teller.round()
        assert await heard(runtime, fresh_merchant, payment["id"]) == []
        file.lines = []
        file.of(payment, "charge", 1_000, 20)
        await settled(runtime, file.text(), tmp_path, name="corrected.csv")
        await teller.round()
        assert await heard(runtime, fresh_merchant, payment["id"]) == [SETTLED]
    await books_hold(database, fresh_merchant)


async def test_a_large_file_is_taken_back_page_by_page(
    database: Database, fresh_merchant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three rows in pages of two; one was matched by a person after it disagreed."""
    monkeypatch.setattr(reconciliation_told, "PAGE", 2)
    monkeypatch.setattr(telling, "PAGE", 2)
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        payments, file = [await paid(runtime, fresh_merchant) for _ in range(3)], Acquirer()
        for each in payments[:2]:
            file.of(each, "charge", 1_000)
        file.of(payments[2], "charge", 999)
        file_id, _, _ = await settled(runtime, file.text(), tmp_path)
        await done(runtime, file_id, 3, subject=payments[2]["id"], writes_off_difference=True)
        teller = SettlementTeller(runtime)
        await teller.round()
        await withdrawn(runtime, file_id)
        await teller.round()
        for each in payments:
            assert await heard(runtime, fresh_merchant, each["id"]) == [SETTLED, TAKEN_BACK]
    await books_hold(database, fresh_merchant)


class Interrupted(ToldBook):
    """What another process does just before the first step is written: after everything was looked at for it."""

    def __init__(self, pool: Any) -> None:
        super().__init__(pool, OPERATORS)
        self.meanwhile: Callable[[], Awaitable[object]] | None = None

    async def superseded(self, comparisons: Sequence[Any]) -> frozenset[Any]:
        found = await super().superseded(comparisons)
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            await meanwhile()
        return found


@pytest.mark.parametrize("told_before", [False, True])
async def test_a_file_is_withdrawn_while_it_is_told(
    database: Database, fresh_merchant: str, tmp_path: Path, told_before: bool
) -> None:
    """One process has looked at everything, and is about to say that the money is settled. Another one withdraws the
    file, and tells of that first. ``told_before``: the movement was settled and taken back before."""
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        payment, file, other = await paid(runtime, fresh_merchant), Acquirer(), SettlementTeller(runtime)
        file.of(payment, "charge", 1_000)
        await other.round()
        expected = []
        if told_before:
            earlier, _, _ = await settled(runtime, file.text(), tmp_path)
            await other.round()
            await withdrawn(runtime, earlier)
            await other.round()
            expected = [SETTLED, TAKEN_BACK]
        file_id, _, _ = await settled(runtime, file.text(), tmp_path)
        late = Interrupted(runtime.pool)

        async def goes() -> None:
            await withdrawn(runtime, file_id)
            await other.round()

        late.meanwhile = goes
        await telling_with(runtime, late).round()
        assert late.meanwhile is None, "it was about to be told"
        assert await heard(runtime, fresh_merchant, payment["id"]) == expected
        await other.round()
        assert await heard(runtime, fresh_merchant, payment["id"]) == expected
    await books_hold(database, fresh_merchant)


class NewestFirst(ToldBook):
    """Another order: a process that was slow with the older sets."""

    async def sets(self) -> Sequence[SetToTell]:
        return list(reversed(await super().sets()))


@pytest.mark.parametrize(
    ("by_hand", "in_order"), [(True, False), (False, True), *([(True, True), (False, False)] if DEEP else [])]
)
async def test_another_file_has_the_movement(
    database: Database, fresh_merchant: str, tmp_path: Path, by_hand: bool, in_order: bool
) -> None:
    """A second batch has the same capture, which is a duplicate. The first file is withdrawn; a person says that the
    other row is the capture, or it is compared again. Not in order: that is looked at while the first file still
    settles the capture."""
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        payment, one, two = await paid(runtime, fresh_merchant), Acquirer(), Acquirer()
        for file in (one, two):
            file.of(payment, "charge", 1_000)
        first, _, _ = await settled(runtime, one.text(), tmp_path)
        second, _, _ = await settled(runtime, two.text(), tmp_path, name="other.csv")
        await SettlementTeller(runtime).round()
        await withdrawn(runtime, first)
        if by_hand:
            await done(runtime, second, 1, subject=payment["id"])
        else:
            await compare_waiting(runtime, "simulator", ACTOR)
            while await ReconciliationWorker(runtime, ACTOR).round():
                pass
        book = ToldBook if in_order else NewestFirst
        await telling_with(runtime, book(runtime.pool, OPERATORS)).round()
        assert await heard(runtime, fresh_merchant, payment["id"]) == [SETTLED, TAKEN_BACK, SETTLED]
        await SettlementTeller(runtime).round()
        await withdrawn(runtime, second)
        await SettlementTeller(runtime).round()
        assert await heard(runtime, fresh_merchant, payment["id"]) == [SETTLED, TAKEN_BACK, SETTLED, TAKEN_BACK]
    await books_hold(database, fresh_merchant)


@pytest.mark.parametrize("after", [False, True] if DEEP else [True], ids=["before", "after"] if DEEP else ["after"])
async def test_a_process_that_takes_back_dies_anywhere(database: Database, tmp_path: Path, after: bool) -> None:
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        teller, merchant = SettlementTeller(runtime), ""
        await teller.round()
        for at in count(1) if DEEP else count(5 + after, 4):
            merchant = "m" + new_letters()
            payment, file = await paid(runtime, merchant), Acquirer()
            file.of(payment, "charge", 1_000)
            file_id, _, _ = await settled(runtime, file.text(), tmp_path, name=f"{at}.csv")
            await teller.round()
            await withdrawn(runtime, file_id)
            pool = DyingPool(runtime.pool, at, after=after)
            stores = replace(runtime.stores, told=ToldBook(cast(Any, pool), OPERATORS))
            process = replace(runtime, stores=stores, journal=cast(Journal, DyingJournal(runtime.journal, pool)))
            with suppress(Died, ExceptionGroup):
                await SettlementTeller(process).round()
            await teller.round()
            assert await heard(runtime, merchant, payment["id"]) == [SETTLED, TAKEN_BACK]
            if not pool.dead:
                assert pool.points >= POINTS, pool.points
                break
    await books_hold(database, merchant)
