"""Entries of bank statements that a person resolves, on a real database. Sums are worked out by hand."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path

import pytest

from tallystick.access.key_store import OPERATORS
from tallystick.decisions.rows_by_hand import NotResolvable
from tallystick.flows.compliance.amounts import NeedsSecondPerson
from tallystick.flows.reconciliation.by_hand import look, target_of
from tallystick.flows.runtime import Runtime
from tallystick.oversight.console import WorkFilter, WorkReads
from tests.support.bank_statements import camt053
from tests.support.books import books_agree
from tests.support.database import Database
from tests.support.inbox import assert_invariants
from tests.support.letters import new_letters
from tests.support.payouts import at_bank, evidence_of, paid_out
from tests.support.rows_by_hand import done
from tests.support.runtime import SETTINGS, BookedProvider, runtime_of
from tests.support.settlement_days import rounds
from tests.support.settlement_imports import imported


async def payout_row(runtime: Runtime, name: str) -> str:
    """How a payout is named: its file and its place there."""
    row = await runtime.pool.fetchrow(
        "SELECT file_id, position FROM settlement_row WHERE kind = 'payout' AND reference = $1", name
    )
    assert row is not None
    return f"{row['file_id']}/{row['position']}"


async def books_hold(database: Database, merchant_id: str) -> None:
    books_agree(database, OPERATORS)
    await assert_invariants(database, merchant_id)


async def test_an_entry_is_a_payout_or_is_written_off(database: Database, fresh_merchant: str, tmp_path: Path) -> None:
    """What came with no name, and five less than a payout; 77 of a stranger are written off; of 500 there came
    485 by name, and the rest will not come. Each is posted once, and an act under its key is done once."""
    account = new_letters()
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        [first] = await paid_out(runtime, fresh_merchant, tmp_path, 60_011)
        [second] = await paid_out(runtime, fresh_merchant, tmp_path, 30_013)
        [short] = await paid_out(runtime, fresh_merchant, tmp_path, 500)
        day = "2025-11-03"  # long before the payouts: amount and date do not match
        entries = [(60_011, "no name"), (30_008, "no name"), (77, "a stranger"), (485, f"TX {short}"), (-4, "a charge")]
        text = camt053(entries, 0, day=day)
        file_id = (await imported(runtime, text, tmp_path, name="bank", account=account)).file.file_id
        await rounds(runtime)
        assert await at_bank(runtime, account) == {
            f"bank:{account}": 90_577,
            "bank_in_transit:simulator": -485,
            f"unexplained:bank:{account}": -90_092,
        }
        whole, part = await payout_row(runtime, first), await payout_row(runtime, second)
        shown = await look(runtime, target_of(file_id, 1), {"subject": whole})
        assert (shown["arrived"], shown["amount"], shown["currency"], shown["payout"]) == (60_011, 60_011, "EUR", whole)
        rows = [target_of(file_id, position) for position in (1, 2, 3, 4, 5)]
        listed = await WorkReads(runtime.pool).page("settlement_rows", WorkFilter(), None, 10, ids=rows)
        alone = [(await look(runtime, each.item_id, {}))["amount"] for each in listed]
        assert [each.moves for each in listed] == alone == [60_011, 30_008, 77, 500, 4], "a list says what each moves"
        key = new_letters()
        act = await done(runtime, file_id, 1, key, subject=whole)
        assert (await done(runtime, file_id, 1, key, subject=whole)).act_id == act.act_id
        for position, subject, why in (
            (2, part, "not written off"),
            (2, whole, "nothing of this direction"),
            (1, part, "the entry is explained"),
            (2, f"{file_id}/1", "is no payout"),
        ):
            with pytest.raises(NotResolvable, match=why):
                await done(runtime, file_id, position, subject=subject)
        await done(runtime, file_id, 2, subject=part, writes_off_difference=True)
        await done(runtime, file_id, 3)
        await done(runtime, file_id, 4)
        with pytest.raises(NotResolvable, match="written off already"):
            await done(runtime, file_id, 3)
        assert await at_bank(runtime, account) == {
            f"bank:{account}": 90_577,
            "bank_in_transit:simulator": -90_524,
            f"unexplained:bank:{account}": 4,
            "write_off": -57,
        }
        assert [each[1:4] for each in await evidence_of(runtime, account)] == [
            (1, "unexplained", "not_in_record"),
            (2, "explained", "person"),
            (1, "unexplained", "not_in_record"),
            (2, "explained", "person"),
            (1, "unexplained", "not_in_record"),
            (2, "explained", "person"),
            (1, "mismatched", "amount"),
            (2, "explained", "person"),
            (1, "unexplained", "not_in_record"),
        ]
        await rounds(runtime)
        assert len(await evidence_of(runtime, account)) == 9
    await books_hold(database, fresh_merchant)


async def test_of_two_people_one_is_heard(database: Database, fresh_merchant: str, tmp_path: Path) -> None:
    """Two say at once that a payout is theirs, of two entries: one has it. And above an amount nobody does it alone."""
    account = new_letters()
    alone = dataclasses.replace(SETTINGS, second_person_above="EUR=1")
    async with (
        runtime_of(database.app_url, BookedProvider()) as runtime,
        runtime_of(database.app_url, BookedProvider(), settings=alone) as limited,
    ):
        [name] = await paid_out(runtime, fresh_merchant, tmp_path, 70_017)
        entries = [(70_017, "one"), (70_017, "other")]
        text = camt053(entries, 0, day="2025-11-04")
        file_id = (await imported(runtime, text, tmp_path, name="bank", account=account)).file.file_id
        await rounds(runtime)
        subject = await payout_row(runtime, name)
        with pytest.raises(NeedsSecondPerson):
            await done(limited, file_id, 1, subject=subject)
        said = await asyncio.gather(
            *(done(runtime, file_id, position, subject=subject) for position in (1, 2)), return_exceptions=True
        )
        assert sorted(type(each).__name__ for each in said) == ["NotResolvable", "OperatorAct"], said
        await rounds(runtime)
        assert await at_bank(runtime, account) == {
            f"bank:{account}": 140_034,
            "bank_in_transit:simulator": -70_017,
            f"unexplained:bank:{account}": -70_017,
        }
    await books_hold(database, fresh_merchant)
