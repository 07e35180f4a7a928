"""A process that compares and posts a file, or withdraws one, dies at each of its statements and commits; without depth
at some of them. The next one goes on: nothing is lost, and nothing is there twice."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Final, cast

import pytest
from msgspec.structs import replace

from tallystick.access.key_store import OPERATORS
from tallystick.flows.operations.acts import once
from tallystick.flows.reconciliation.matching import compare_file
from tallystick.flows.reconciliation.posting import post_batch
from tallystick.flows.reconciliation.withdrawing import withdraw
from tallystick.flows.reconciliation.worker import ReconciliationWorker
from tallystick.flows.runtime import Runtime
from tallystick.record.journal import Journal
from tallystick.record.postgres.settlement_evidence import EvidenceBook
from tests.support.acts import asked
from tests.support.database import DEEP, Database
from tests.support.inbox import assert_invariants
from tests.support.letters import new_letters
from tests.support.runtime import BookedProvider, runtime_of
from tests.support.settlement_days import ACTOR, Acquirer, balances, paid
from tests.support.settlement_imports import Died, DyingJournal, DyingPool, imported

#: Points that there are now. Fewer mean that the enumeration lost sight of something.
POINTS: Final = 20

#: The same of a withdrawal, and how many of them are left out without depth.
WITHDRAWAL_POINTS: Final = 44
WITHDRAWAL_STRIDE: Final = 23


def dying(runtime: Runtime, at: int, *, after: bool) -> tuple[Runtime, DyingPool]:
    """The process, which dies at its n-th statement or commit."""
    pool = DyingPool(runtime.pool, at, after=after)
    stores = replace(runtime.stores, evidence=EvidenceBook(cast(Any, pool), OPERATORS))
    return replace(
        runtime, pool=cast(Any, pool), stores=stores, journal=cast(Journal, DyingJournal(runtime.journal, pool))
    ), pool


async def carry_out(runtime: Runtime, file_id: str) -> None:
    await compare_file(runtime, file_id, ACTOR)
    for name in await runtime.stores.evidence.batches_of(file_id):
        await post_batch(runtime, name, ACTOR)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_process_dies_anywhere(database: Database, tmp_path: Path, after: bool) -> None:
    """Two merchants in one batch, and a file that adds a row to it later."""
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        for at in count(1 if DEEP else 1 + after, 1 if DEEP else 3):
            merchants = ["m" + new_letters() for _ in range(2)]
            payments = [await paid(runtime, merchant) for merchant in merchants]
            file = Acquirer()
            file.of(payments[0], "charge", 1_000, 30)
            first = (await imported(runtime, file.text(), tmp_path, name=f"{at}.csv")).file.file_id
            await carry_out(runtime, first)
            file.of(payments[1], "charge", 1_000, 30)
            second = (await imported(runtime, file.text(), tmp_path, name=f"{at}b.csv")).file.file_id
            process, pool = dying(runtime, at, after=after)
            with suppress(Died, ExceptionGroup):
                await carry_out(process, second)
            await carry_out(runtime, second)
            for merchant in merchants:
                assert await balances(runtime, merchant) == {"merchant_available": -1_000, "settled:simulator": 1_000}
            if not pool.dead:
                assert pool.points >= POINTS, pool.points
                break
    for merchant in merchants:
        await assert_invariants(database, merchant)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_process_that_withdraws_dies_anywhere(database: Database, tmp_path: Path, after: bool) -> None:
    """Two merchants in one batch that is posted. The operator asks again, and a worker goes on."""
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        for at in count(1 if DEEP else 4 + after, 1 if DEEP else WITHDRAWAL_STRIDE):
            merchants = ["m" + new_letters() for _ in range(2)]
            file = Acquirer()
            for merchant in merchants:
                file.of(await paid(runtime, merchant), "charge", 1_000, 30)
            file_id = (await imported(runtime, file.text(), tmp_path, name=f"{at}.csv")).file.file_id
            await carry_out(runtime, file_id)
            wanted = asked("settlement_file.withdraw", file_id, new_letters())
            process, pool = dying(runtime, at, after=after)
            with suppress(Died, ExceptionGroup):
                await withdraw(process, wanted)
            await once(runtime.stores.acts, wanted, partial(withdraw, runtime, wanted))
            while await ReconciliationWorker(runtime).round():
                pass
            for merchant in merchants:
                assert await balances(runtime, merchant) == {"merchant": -1_000, "provider:simulator": 1_000}
            versions = "SELECT version FROM settlement_evidence WHERE file_id = $1 ORDER BY position, version"
            assert [row["version"] for row in await runtime.pool.fetch(versions, file_id)] == [1, 2, 1, 2]
            if not pool.dead:
                assert pool.points >= WITHDRAWAL_POINTS, pool.points
                break
    for merchant in merchants:
        await assert_invariants(database, merchant)
