"""A process that compares and posts a bank statement dies at each of its statements and commits. The next one goes on:
nothing is lost, and nothing is there twice."""

from __future__ import annotations

from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any, Final, cast

import pytest
from msgspec.structs import replace

from tallystick.access.key_store import OPERATORS
from tallystick.flows.reconciliation.bank import compare_statements, post_statement
from tallystick.flows.runtime import Runtime
from tallystick.kit.ids import new_id
from tallystick.record.journal import Journal
from tallystick.record.postgres.bank_book import BankBook, StatementFile
from tests.support.bank_statements import camt053
from tests.support.database import DEEP, Database
from tests.support.inbox import assert_invariants
from tests.support.payouts import at_bank, paid_out
from tests.support.runtime import BookedProvider, runtime_of
from tests.support.settlement_days import ACTOR, rounds
from tests.support.settlement_imports import Died, DyingJournal, DyingPool, imported

#: Points that there are now. Fewer mean that the enumeration lost sight of something.
POINTS: Final = 20


def dying(runtime: Runtime, at: int, *, after: bool) -> tuple[Runtime, DyingPool]:
    """The process, which dies at its n-th statement or commit."""
    pool = DyingPool(runtime.pool, at, after=after)
    stores = replace(runtime.stores, bank=BankBook(cast(Any, pool), OPERATORS))
    return replace(runtime, stores=stores, journal=cast(Journal, DyingJournal(runtime.journal, pool))), pool


async def carry_out(runtime: Runtime, files: list[StatementFile]) -> None:
    for file in files:
        await compare_statements(runtime, file, ACTOR)
    for name in await runtime.stores.bank.statements_to_post():
        await post_statement(runtime, name, ACTOR)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_process_that_compares_and_posts_a_statement_dies_anywhere(
    database: Database, fresh_merchant: str, tmp_path: Path, after: bool
) -> None:
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        [name] = await paid_out(runtime, fresh_merchant, tmp_path, 900)
        await rounds(runtime)
        for at in count(1, 1 if DEEP else 3):
            account = new_id("req")  # each time another bank has the entries; the first one has the payout
            text = camt053([(900, name), (7, "a stranger")], 0)
            await imported(runtime, text, tmp_path, name=f"{at}.xml", account=account)
            files = [each for each in await runtime.stores.bank.files_to_compare() if each.account == account]
            process, pool = dying(runtime, at, after=after)
            with suppress(Died):
                await carry_out(process, files)
            await carry_out(runtime, files)
            rest = {f"bank:{account}": 907, f"unexplained:bank:{account}": -907}
            if at == 1:
                rest = {"bank_in_transit:simulator": -900, f"bank:{account}": 907, f"unexplained:bank:{account}": -7}
            assert await at_bank(runtime, account) == rest
            if not pool.dead:
                assert pool.points >= POINTS, pool.points
                break
    await assert_invariants(database, fresh_merchant)
