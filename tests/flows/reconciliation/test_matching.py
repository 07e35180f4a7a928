"""A settlement file end to end on a real database: imported, compared, kept as evidence, and posted."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tallystick.access.key_store import OPERATORS
from tallystick.decisions.rows_by_hand import NotResolvable
from tallystick.domain.settlement_evidence import Evidence
from tallystick.flows.reconciliation.by_hand import resolve, target_of
from tallystick.flows.reconciliation.matching import Compared, NotComparable, compare_file
from tallystick.flows.reconciliation.posting import batch_id_of, post_batch
from tallystick.flows.reconciliation.waiting import compare_waiting
from tallystick.flows.runtime import Runtime
from tallystick.kit.ids import new_id
from tallystick.oversight.differences import differences
from tallystick.record.postgres import few_rows
from tests.support.acts import asked
from tests.support.books import books_hold
from tests.support.database import Database
from tests.support.inbox import assert_invariants
from tests.support.letters import new_letters
from tests.support.runtime import BookedProvider, Client, read, runtime_of
from tests.support.settlement_days import ACTOR, Acquirer, balances, paid, posted_of, refunded, settled
from tests.support.settlement_imports import imported


async def evidence_of(runtime: Runtime, file_id: str) -> Sequence[Any]:
    return await runtime.pool.fetch("SELECT * FROM settlement_evidence WHERE file_id = $1 ORDER BY position", file_id)


async def test_a_day_is_settled_to_the_unit(database: Database, fresh_merchant: str, tmp_path: Path) -> None:
    """Worked out by hand. Two captures of 1,000 and a refund of 400 with fees of 30, 30 and 0; a fee of 5, a reserve
    of 100, a row of 77 that nobody knows, and all of it is paid out."""
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        first, second = await paid(runtime, fresh_merchant), await paid(runtime, fresh_merchant)
        back = await refunded(runtime, second, 400)
        assert await balances(runtime, fresh_merchant) == {"provider:simulator": 1_600, "merchant": -1_600}
        file = Acquirer()
        file.of(first, "charge", 1_000, 30)
        file.of(second, "charge", 1_000, 30)
        file.of(back, "refund", -400)
        file.row("fee", -5)
        file.row("reserve", -100)
        file.row("riddle", 77)
        file.row("payout", -(940 + 572))
        file_id, compared, batch = await settled(runtime, file.text(), tmp_path)
        assert compared.by_reason == {
            ("matched", "same"): 3,
            ("explained", "provider_fee"): 1,
            ("explained", "reserve"): 1,
            ("unexplained", "unknown_type"): 1,
            ("explained", "payout"): 1,
        }
        assert await balances(runtime, fresh_merchant) == {"merchant_available": -1_600, "settled:simulator": 1_600}
        assert await posted_of(runtime, batch) == {
            "settled:simulator": -1_600,
            "fees:provider": 65,
            "reserve:simulator": 100,
            "unexplained:simulator": -77,
            "bank_in_transit:simulator": 1_512,
        }, "the provider's balance is zero again"
        assert (batch.state, batch.net, batch.version) == ("posted", 0, 2)
        [row, *_] = await evidence_of(runtime, file_id)
        assert (row["payment_id"], row["covers"], row["difference"], row["stage"]) == (
            first["id"],
            1_000,
            -30,
            "provider_reference",
        )
        [kept] = await runtime.stores.evidence.of_payment(fresh_merchant, first["id"])
        assert isinstance(kept, Evidence) and kept.compared["amount"] == [1_000, 1_000]
    await books_hold(database, fresh_merchant)


async def test_the_same_again_posts_nothing(database: Database, fresh_merchant: str, tmp_path: Path) -> None:
    """The file again, by two processes at once, each comparing and posting."""
    async with (
        runtime_of(database.app_url, BookedProvider()) as one,
        runtime_of(database.app_url, BookedProvider()) as other,
    ):
        file = Acquirer()
        file.of(await paid(one, fresh_merchant), "charge", 1_000, 30)
        stored = (await imported(one, file.text(), tmp_path)).file
        done = await asyncio.gather(
            *(compare_file(each, stored.file_id, ACTOR) for each in (one, other, one, other)), return_exceptions=True
        )
        assert sorted(each.rows for each in done if isinstance(each, Compared)) == [0, 0, 0, 1], done
        [name] = await one.stores.evidence.batches_of(stored.file_id)
        posted = await asyncio.gather(*(post_batch(each, name, ACTOR) for each in (one, other, one, other)))
        assert {each.state for each in posted} == {"posted"}
        assert await balances(one, fresh_merchant) == {"merchant_available": -1_000, "settled:simulator": 1_000}
        again = await imported(other, file.text(), tmp_path)
        assert again.already
        assert (await compare_file(other, again.file.file_id, ACTOR)).rows == 0
        steps = await one.pool.fetchval(
            "SELECT count(*) FROM transition WHERE merchant_id = $1 AND subject_id = $2", OPERATORS, batch_id_of(name)
        )
        assert steps == 2
    await assert_invariants(database, fresh_merchant)


async def test_a_supplement_posts_the_difference(database: Database, fresh_merchant: str, tmp_path: Path) -> None:
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        file = Acquirer()
        file.of(await paid(runtime, fresh_merchant), "charge", 1_000, 30)
        await settled(runtime, file.text(), tmp_path)
        file.of(await paid(runtime, fresh_merchant, 500), "charge", 500, 20)
        _, compared, batch = await settled(runtime, file.text(), tmp_path, name="again.csv")
        assert compared.rows == 1, "the row that is known is not compared again"
        assert await balances(runtime, fresh_merchant) == {"merchant_available": -1_500, "settled:simulator": 1_500}
        assert (batch.merchants, batch.fees, len(batch.files), batch.state) == (1_500, 50, 2, "posted")
    await assert_invariants(database, fresh_merchant)


async def test_one_row_is_several_postings(database: Database, fresh_merchant: str, tmp_path: Path) -> None:
    """Two refunds of 300 and 200 of one payment are one row of 500: both are accounted for, neither twice."""
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        payment = await paid(runtime, fresh_merchant)
        await refunded(runtime, payment, 300)
        back = await refunded(runtime, payment, 200)
        file = Acquirer()
        file.of(payment, "charge", 1_000)
        file.of(back, "refund", -500, effect="re_of_both")
        file_id, compared, batch = await settled(runtime, file.text(), tmp_path)
        assert compared.by_reason == {("matched", "same"): 2}
        assert (batch.merchants, batch.unexplained) == (500, 0)
        assert await balances(runtime, fresh_merchant) == {"merchant_available": -500, "settled:simulator": 500}
        row = (await evidence_of(runtime, file_id))[1]
        assert (row["covers"], row["difference"], row["stage"]) == (-500, 0, "batch_group")
        kept = (await runtime.stores.evidence.of_payment(fresh_merchant, payment["id"]))[1]
        assert kept.further is not None and [each.covers for each in kept.further] in ([-300], [-200])
        parts = await runtime.stores.evidence.parts_of_payment(fresh_merchant, payment["id"], "simulator")
        assert {each.posting for each in parts.postings} == {
            each.posting for each in parts.rows if each.accounts_for_it
        }
        second = Acquirer()
        second.of(back, "refund", -500, effect="re_of_both")
        second.of(back, "refund", -200)
        _, compared, _ = await settled(runtime, second.text(), tmp_path, name="second.csv")
        assert compared.by_reason == {("unexplained", "not_in_record"): 1, ("mismatched", "duplicate"): 1}
        [each] = [each for each in await differences(runtime.stores.evidence, "simulator") if each.currency == "EUR"]
        assert each.unexplained_remainder == 0
    await assert_invariants(database, fresh_merchant)


async def test_rounding_of_rows_is_posted_apart(database: Database, fresh_merchant: str, tmp_path: Path) -> None:
    """Worked out by hand: captures of 1,000 and 2,001, each reported in two rows; one unit more, and one less."""
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        first, second = await paid(runtime, fresh_merchant), await paid(runtime, fresh_merchant, 2_001)
        file = Acquirer()
        file.of(first, "charge", 500)
        file.of(first, "charge", 501)
        file.of(second, "charge", 1_000)
        file.of(second, "charge", 1_000)
        file_id, compared, batch = await settled(runtime, file.text(), tmp_path)
        assert compared.by_reason == {("matched", "rounding"): 4}
        assert await balances(runtime, fresh_merchant) == {"merchant_available": -3_001, "settled:simulator": 3_001}
        assert (batch.merchants, batch.rounding, batch.net, batch.unexplained) == (3_001, 0, 3_001, 0)
        assert [
            (row["covers"], row["rounding"], row["tolerance"], row["stage"])
            for row in await evidence_of(runtime, file_id)
        ] == [
            (500, 0, 1, "tolerance"),
            (500, 1, 1, "tolerance"),
            (1_000, 0, 1, "tolerance"),
            (1_001, -1, 1, "tolerance"),
        ]
        file = Acquirer()
        third = await paid(runtime, fresh_merchant)
        file.of(third, "charge", 500)
        file.of(third, "charge", 501)
        _, _, batch = await settled(runtime, file.text(), tmp_path, name="third.csv")
        assert (await posted_of(runtime, batch))["rounding:simulator"] == -1
    await books_hold(database, fresh_merchant)


async def test_a_late_row_of_another_batch_is_a_duplicate(
    database: Database, fresh_merchant: str, tmp_path: Path
) -> None:
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        payment = await paid(runtime, fresh_merchant)
        first, second = Acquirer(), Acquirer()
        first.of(payment, "charge", 1_000)
        second.of(payment, "charge", 1_000)
        await settled(runtime, first.text(), tmp_path)
        _, compared, batch = await settled(runtime, second.text(), tmp_path, name="second.csv")
        assert compared.by_reason == {("mismatched", "duplicate"): 1}
        assert await balances(runtime, fresh_merchant) == {"merchant_available": -1_000, "settled:simulator": 1_000}
        assert batch.unexplained == 1_000
    await assert_invariants(database, fresh_merchant)


async def test_a_row_that_names_its_payment_alone_is_a_mismatch(
    database: Database, fresh_merchant: str, tmp_path: Path
) -> None:
    """A sale's capture has no name of its own: a row with another amount is that one, and a row of a payment that was
    never captured contradicts its state. A capture that was asked for has a name: a row with another is another."""
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        client, file = Client(runtime, fresh_merchant), Acquirer()
        sale = await paid(runtime, fresh_merchant)
        held, captured = [read(await client.create(new_id("req"), 1_000, manual=True))["id"] for _ in range(2)]
        await client.capture(new_id("req"), captured, 600)
        names = {
            row["payment_id"]: row["provider_reference"]
            for row in await runtime.pool.fetch(
                "SELECT payment_id, provider_reference FROM payment WHERE merchant_id = $1", fresh_merchant
            )
        }
        for payment_id, gross in ((sale["id"], 999), (held, 1_000), (captured, 300)):
            file.row("charge", gross, charge=names[payment_id], effect=f"x{new_letters()}")
        file_id, _, _ = await settled(runtime, file.text(), tmp_path)
        found = [(row["status"], row["reason"], row["covers"]) for row in await evidence_of(runtime, file_id)]
        assert found == [
            ("mismatched", "amount", 1_000),
            ("mismatched", "state", 0),
            ("unexplained", "not_in_record", 0),
        ]
        [difference] = [
            each for each in await differences(runtime.stores.evidence, "simulator") if each.currency == "EUR"
        ]
        assert difference.unexplained_remainder == 0
    await assert_invariants(database, fresh_merchant)


async def test_a_batch_that_does_not_add_up_is_not_compared(
    database: Database, fresh_merchant: str, tmp_path: Path
) -> None:
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        file = Acquirer()
        file.of(await paid(runtime, fresh_merchant), "charge", 1_000)
        text = file.text().replace(",1000,,,,,,,,,", ",999,,,,,,,,,")
        assert text != file.text()
        stored = (await imported(runtime, text, tmp_path)).file
        assert (await compare_file(runtime, stored.file_id, ACTOR)).rows == 0
        assert await runtime.stores.evidence.batches_of(stored.file_id) == []
        assert await balances(runtime, fresh_merchant) == {"provider:simulator": 1_000, "merchant": -1_000}


async def test_what_is_not_imported_is_not_compared(database: Database) -> None:
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        with pytest.raises(NotComparable):
            await compare_file(runtime, new_id("stl"), ACTOR)


async def test_evidence_is_never_changed(database: Database) -> None:
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        for table in ("settlement_evidence", "settlement_evidence_set", "settlement_evidence_sum"):
            for statement in (f"UPDATE {table} SET currency = 'USD'", f"DELETE FROM {table}"):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await runtime.pool.execute(statement)


async def test_a_row_of_one_account_is_about_no_payment_of_another(
    database: Database, fresh_merchant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name is its account's. However the row names it, however rows are found, now and when they are compared again,
    and when a person says so."""
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        payment = await paid(runtime, fresh_merchant)
        back = await refunded(runtime, payment, 400)
        tried = await runtime.pool.fetchval(
            "SELECT attempt_id FROM attempt WHERE merchant_id = $1 AND operation = 'authorize'", fresh_merchant
        )
        for few in (few_rows.FEW, -1):  # by key, and with cursors
            monkeypatch.setattr(few_rows, "FEW", few)
            file = Acquirer()
            file.of(payment, "charge", 1_000)
            file.of(payment, "charge", 1_000, effect="")
            file.of(back, "refund", -400)
            file.row("charge", 1_000, effect=new_letters(), merchant_reference=tried)
            elsewhere = new_letters()
            file_id, compared, _ = await settled(runtime, file.text(), tmp_path, account=elsewhere)
            assert compared.by_reason == {("unexplained", "not_in_record"): 4}
            await compare_waiting(runtime, "simulator", ACTOR)
            rows = await evidence_of(runtime, file_id)
            assert [(row["reason"], row["payment_id"]) for row in rows] == [("not_in_record", None)] * 4
            said = asked("settlement_row.match", target_of(file_id, 1), None, subject=payment["id"])
            with pytest.raises(NotResolvable, match="no free posting"):
                await resolve(runtime, said)
        file = Acquirer()
        file.of(payment, "charge", 1_000)
        file.of(back, "refund", -400)
        _, compared, _ = await settled(runtime, file.text(), tmp_path)
        assert compared.by_reason == {("matched", "same"): 2}, "through its own account it is what it is"
