"""Bank statements end to end on a real database: entries beside payouts, evidence, and what is posted. What each comes
to was worked out by hand."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tallystick.access.key_store import OPERATORS
from tallystick.decisions.rows_by_hand import NotResolvable
from tallystick.flows.reconciliation.bank import compare_statements, post_statement
from tallystick.flows.reconciliation.by_hand import look, target_of
from tallystick.kit.ids import new_id
from tests.support.bank_statements import Entry, camt053, mt940
from tests.support.books import books_agree
from tests.support.database import Database
from tests.support.inbox import assert_invariants
from tests.support.payouts import at_bank, evidence_of, paid_out
from tests.support.runtime import BookedProvider, runtime_of
from tests.support.settlement_days import ACTOR, Acquirer, paid, rounds
from tests.support.settlement_imports import imported


@pytest.mark.parametrize("written", [camt053, mt940])
async def test_payouts_arrive(database: Database, fresh_merchant: str, tmp_path: Path, written: Any) -> None:
    """One batch in two payouts of 600 and 300; 12 of charges and 77 of somebody else stay unexplained; of a payout of
    500 there came 485."""
    account = new_id("req")
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        first, second = await paid_out(runtime, fresh_merchant, tmp_path, 600, 300)
        [short] = await paid_out(runtime, fresh_merchant, tmp_path, 500)
        entries: list[Entry] = [
            (600, f"TX1 {first}"),
            (300, f"TX1 {second}"),
            (-12, "account fee"),
            (77, "a stranger"),
            (485, f"TX2 {short}"),
        ]
        statement = await imported(runtime, written(entries, 10_000), tmp_path, name="bank", account=account)
        await rounds(runtime)
        with pytest.raises(NotResolvable, match="the entry is matched"):
            await look(runtime, target_of(statement.file.file_id, 1), {})
        assert await evidence_of(runtime, account) == [
            (600, 1, "matched", "same", "alternative_reference", 600, 0),
            (300, 1, "matched", "same", "alternative_reference", 300, 0),
            (-12, 1, "unexplained", "not_in_record", "none", 0, -12),
            (77, 1, "unexplained", "not_in_record", "none", 0, 77),
            (485, 1, "mismatched", "amount", "alternative_reference", 500, -15),
        ]
        assert await at_bank(runtime, account) == {
            f"bank:{account}": 1_450,
            "bank_in_transit:simulator": -1_385,
            f"unexplained:bank:{account}": -65,
        }
    books_agree(database, OPERATORS)
    await assert_invariants(database, fresh_merchant)


async def test_the_entry_comes_before_its_file(database: Database, fresh_merchant: str, tmp_path: Path) -> None:
    """What nothing explained moves out of where it waited, exactly, once the payout is known."""
    account = new_id("req")
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        file = Acquirer()
        file.of(await paid(runtime, fresh_merchant, 900), "charge", 900)
        name = f"po_{new_id('req')}"
        file.row("payout", -900, effect=name)
        await imported(runtime, camt053([(900, name)], 0), tmp_path, name="bank", account=account)
        await rounds(runtime)
        assert await at_bank(runtime, account) == {f"bank:{account}": 900, f"unexplained:bank:{account}": -900}
        await imported(runtime, file.text(), tmp_path)
        await rounds(runtime)
        assert await at_bank(runtime, account) == {f"bank:{account}": 900, "bank_in_transit:simulator": -900}
        assert [(each[1], each[3]) for each in await evidence_of(runtime, account)] == [
            (1, "not_in_record"),
            (2, "same"),
        ]
        await rounds(runtime)
        steps = await runtime.pool.fetchval("SELECT version FROM bank_statement WHERE account = $1", account)
        assert steps == 2
    await assert_invariants(database, fresh_merchant)


async def test_a_statement_counts_once(database: Database, fresh_merchant: str, tmp_path: Path) -> None:
    """Sent twice in the same bytes, in another format, and under another id: posted once."""
    account = new_id("req")
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        [name] = await paid_out(runtime, fresh_merchant, tmp_path, 900)
        text = camt053([(900, name)], 100)
        for content, file in (
            (text, "a"),
            (text, "a"),
            (mt940([(900, name)], 100), "b"),
            (camt053([(900, name)], 100), "c"),
        ):
            await imported(runtime, content, tmp_path, name=file, account=account)
            await rounds(runtime)
        assert await at_bank(runtime, account) == {f"bank:{account}": 900, "bank_in_transit:simulator": -900}
        assert len(await evidence_of(runtime, account)) == 1
        doubles = [each for each in await runtime.stores.bank.heads() if each.account == account and each.doubled]
        assert len(doubles) == 2 and not any(each.counts for each in doubles)
    await assert_invariants(database, fresh_merchant)


async def test_several_processes_post_once(database: Database, fresh_merchant: str, tmp_path: Path) -> None:
    account = new_id("req")
    async with (
        runtime_of(database.app_url, BookedProvider()) as one,
        runtime_of(database.app_url, BookedProvider()) as other,
    ):
        [name] = await paid_out(one, fresh_merchant, tmp_path, 900)
        await rounds(one)
        for number in (1, 2):  # two statements name one payout: one of them has it
            text = camt053([(900, name)], 0, number=number)
            await imported(one, text, tmp_path, name=str(number), account=account)
        files = [each for each in await one.stores.bank.files_to_compare() if each.account == account]
        while [each for each in await one.stores.bank.files_to_compare() if each.account == account]:
            await asyncio.gather(*(compare_statements(each, file, ACTOR) for each in (one, other) for file in files))
        names = [each for each in await one.stores.bank.statements_to_post() if each.account == account]
        await asyncio.gather(*(post_statement(each, name, ACTOR) for each in (one, other, one) for name in names))
        assert sorted(each[3] for each in await evidence_of(one, account)) == ["duplicate", "same"]
        assert await at_bank(one, account) == {
            f"bank:{account}": 1_800,
            "bank_in_transit:simulator": -900,
            f"unexplained:bank:{account}": -900,
        }
    await assert_invariants(database, fresh_merchant)


async def test_what_was_compared_is_never_changed(database: Database) -> None:
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        for table in ("bank_arrival", "bank_comparison", "bank_statement_name"):
            for statement in (f"UPDATE {table} SET currency = 'USD'", f"DELETE FROM {table}"):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await runtime.pool.execute(statement)
