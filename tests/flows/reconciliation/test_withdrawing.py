"""Settlement files that are taken back after they were compared, and after they were posted. Sums are worked out by
hand."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tallystick.access.key_store import OPERATORS
from tallystick.decisions.rows_by_hand import NotResolvable
from tallystick.decisions.settlements import BatchName, EvidenceSum
from tallystick.domain.operator_act import OperatorAct
from tallystick.domain.settlement import SettledBatch
from tallystick.domain.settlement_evidence import Evidence
from tallystick.flows.compliance.amounts import NeedsSecondPerson
from tallystick.flows.operations.acts import once
from tallystick.flows.reconciliation.by_hand import resolve, target_of
from tallystick.flows.reconciliation.matching import compare_file
from tallystick.flows.reconciliation.posting import batch_id_of, post_batch, settlement_id_of
from tallystick.flows.reconciliation.withdrawing import CannotWithdraw
from tallystick.flows.reconciliation.worker import ReconciliationWorker
from tallystick.flows.runtime import Runtime
from tallystick.kit.ids import new_id
from tallystick.oversight.differences import differences
from tallystick.oversight.layers import layers_of
from tallystick.record.postgres.bank_book import ArrivalRow, PayoutWithdrawn
from tallystick.record.postgres.settlement_evidence import EvidenceBook, digest_input, evidence_in
from tallystick.record.postgres.settlement_withdrawals import Withdrawing
from tests.support.acts import asked
from tests.support.bank_statements import camt053
from tests.support.books import books_hold
from tests.support.database import Database, NewDatabase
from tests.support.payment_reconciliation import shown
from tests.support.payouts import at_bank, paid_out
from tests.support.rows_by_hand import done
from tests.support.runtime import SETTINGS, BookedProvider, runtime_of
from tests.support.settlement_days import ACTOR, Acquirer, balances, paid, posted_of, settled
from tests.support.settlement_imports import imported, stripe_payout, stripe_rows
from tests.support.waiting_sessions import until_beside
from tests.support.withdrawals import withdrawn


def named(file: Acquirer, currency: str = "EUR") -> BatchName:
    return BatchName(provider="simulator", account="main", batch=file.batch, currency=currency)


async def batch_now(runtime: Runtime, file: Acquirer) -> SettledBatch | None:
    return await runtime.stores.evidence.batch(batch_id_of(named(file)))


async def evidence_of(runtime: Runtime, file_id: str) -> Sequence[Evidence]:
    found = await runtime.pool.fetch(
        "SELECT * FROM settlement_evidence WHERE file_id = $1 ORDER BY position, version", file_id
    )
    return [evidence_in(row) for row in found]


async def causes(runtime: Runtime) -> tuple[int, int, list[tuple[str, str, int, int]]]:
    """What the files and the record say, and why they differ; to the unit."""
    [found] = await differences(runtime.stores.evidence, "simulator")
    assert found.unexplained_remainder == 0
    return found.files, found.record, [(each.cause, each.detail, each.count, each.amount) for each in found.causes]


def waits(amount: int) -> dict[str, int]:
    """The balances of a merchant with captures that no file has."""
    return {"provider:simulator": amount, "merchant": -amount}


def available(amount: int) -> dict[str, int]:
    return {"settled:simulator": amount, "merchant_available": -amount}


async def rounds(runtime: Runtime) -> None:
    while await ReconciliationWorker(runtime, ACTOR).round():
        pass


async def test_a_compared_file_is_dropped_before_it_is_posted(new_database: NewDatabase, tmp_path: Path) -> None:
    """A capture of 1,000 with a fee of 30, and 77 that nobody knows; then a file with a fee of 20 and no 77."""
    database = new_database()
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        payment, file = await paid(runtime, "shop"), Acquirer()
        file.of(payment, "charge", 1_000, 30)
        file.row("riddle", 77)
        file_id = (await imported(runtime, file.text(), tmp_path)).file.file_id
        await compare_file(runtime, file_id, ACTOR)
        act = await withdrawn(runtime, file_id)
        assert (act.result["rows"], act.result["amounts"]) == (2, {"EUR": 1_077})
        batch = await batch_now(runtime, file)
        assert batch is not None and (batch.state, batch.rows, batch.net, batch.version) == ("withdrawn", 0, 0, 2)
        assert await posted_of(runtime, batch) == {}
        assert await balances(runtime, "shop") == waits(1_000)
        found = await shown(runtime, "shop", payment["id"])
        assert (found.state, found.batch, found.fee, found.net) == ("expected", None, None, None)
        assert await causes(runtime) == (0, 1_000, [("no_row", "capture", 1, -1_000)])
        stored = await runtime.stores.settlement_files.find(file_id)
        assert stored is not None and (stored.state, stored.detail) == ("withdrawn", "ticket 7")

        file.lines = []
        file.of(payment, "charge", 1_000, 20)
        _, _, batch = await settled(runtime, file.text(), tmp_path, name="corrected.csv")
        assert (batch.state, batch.rows, batch.merchants, batch.fees, batch.unexplained, batch.net) == (
            "posted",
            1,
            1_000,
            20,
            0,
            980,
        )
        assert await balances(runtime, "shop") == available(1_000)
        found = await shown(runtime, "shop", payment["id"])
        assert (found.state, found.fee, found.net) == ("matched", 20, 980)
    await books_hold(database, "shop")


async def test_each_row_of_a_withdrawn_file_has_evidence_that_names_the_withdrawal(
    database: Database, fresh_merchant: str, tmp_path: Path
) -> None:
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        payment, file = await paid(runtime, fresh_merchant), Acquirer()
        file.of(payment, "charge", 1_000, 30)
        file.row("riddle", 77)
        file_id, _, _ = await settled(runtime, file.text(), tmp_path)
        before = await evidence_of(runtime, file_id)
        act = await withdrawn(runtime, file_id)
        found = await evidence_of(runtime, file_id)
        assert [each for each in found if each.version == 1] == list(before), "what was compared stays as it was"
        after = [each for each in found if each.version == 2]
        assert {(each.status, each.reason, each.stage, each.part) for each in after} == {
            ("explained", "withdrawn", "person", "unexplained")
        }
        assert [(each.position, each.gross, each.net, each.covers, each.supersedes) for each in after] == [
            (1, 0, 0, 0, 1),
            (2, 0, 0, 0, 1),
        ]
        assert [each.payment_id for each in after] == [payment["id"], None], "the payment's trace has it"
        [set_id] = {each.counted_in for each in after}
        assert act.result["counted_in"] == [set_id]
        row = await runtime.pool.fetchrow(
            "SELECT rows, net, root FROM settlement_evidence_set WHERE file_id = $1", set_id
        )
        digests = b"".join(hashlib.sha256(digest_input(each)).digest() for each in after)
        assert row is not None and tuple(row) == (2, 0, hashlib.sha256(digests).hexdigest())
        batch = await batch_now(runtime, file)
        assert batch is not None and batch.files == (file_id, set_id)


async def test_what_was_posted_is_posted_back(new_database: NewDatabase, tmp_path: Path) -> None:
    """1,000 of one merchant; 499 that a person says are another's 500; a reserve of 200; and 77 that nobody knows."""
    database = new_database()
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        first, second, file = await paid(runtime, "shop"), await paid(runtime, "other", 500), Acquirer()
        file.of(first, "charge", 1_000, 30)
        file.of(second, "charge", 499, 10)
        file.row("reserve", -200)
        file.row("riddle", 77)
        text = file.text()
        file_id, _, _ = await settled(runtime, text, tmp_path)
        await done(runtime, file_id, 2, subject=second["id"], writes_off_difference=True)
        batch = await batch_now(runtime, file)
        assert batch is not None and batch.net == 1_336
        assert (batch.merchants, batch.fees, batch.reserve, batch.unexplained, batch.written_off) == (
            1_500,
            40,
            -200,
            77,
            -1,
        )
        assert (await balances(runtime, "shop"), await balances(runtime, "other")) == (available(1_000), available(500))

        act = await withdrawn(runtime, file_id)
        assert (act.result["rows"], act.result["amounts"]) == (4, {"EUR": 1_776})
        batch = await batch_now(runtime, file)
        assert batch is not None and batch.state == "withdrawn"
        kept = ("rows", "net", "merchants", "fees", "tax", "reserve", "unexplained", "rounding", "written_off")
        assert {name: getattr(batch, name) for name in kept} == dict.fromkeys(kept, 0)
        assert await posted_of(runtime, batch) == {}, "nothing is left in any account of the platform"
        assert (await balances(runtime, "shop"), await balances(runtime, "other")) == (waits(1_000), waits(500))
        for merchant_id in ("shop", "other"):
            part = await runtime.stores.evidence.settlement(merchant_id, settlement_id_of(named(file), merchant_id))
            assert part is not None and (part.version, part.rows, part.charges, part.fees) == (2, 0, 0, 0)
        assert (await shown(runtime, "other", second["id"])).state == "expected"
        assert await causes(runtime) == (0, 1_500, [("no_row", "capture", 2, -1_500)])
        assert await runtime.stores.evidence.open_rows("simulator", 10) == []
        with pytest.raises(NotResolvable, match="withdrawn"):
            await done(runtime, file_id, 4)
        with pytest.raises(CannotWithdraw, match="the file is withdrawn"):
            await withdrawn(runtime, file_id)
        await books_hold(database, "shop")

        again, _, batch = await settled(runtime, text, tmp_path)
        assert again != file_id, "the same bytes are imported again, under another id"
        assert (batch.state, batch.merchants, batch.unexplained, batch.reserve, batch.fees, batch.net) == (
            "posted",
            1_000,
            576,
            -200,
            40,
            1_336,
        )
        assert (await balances(runtime, "shop"), await balances(runtime, "other")) == (available(1_000), waits(500))
    await books_hold(database, "other")


async def test_a_supplement_is_withdrawn_before_the_file_that_it_supplements(
    database: Database, fresh_merchant: str, tmp_path: Path
) -> None:
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        first, second, file = await paid(runtime, fresh_merchant), await paid(runtime, fresh_merchant, 500), Acquirer()
        file.of(first, "charge", 1_000, 30)
        one, _, _ = await settled(runtime, file.text(), tmp_path)
        file.of(second, "charge", 500)
        other, _, _ = await settled(runtime, file.text(), tmp_path, name="again.csv")
        with pytest.raises(CannotWithdraw, match=other):
            await withdrawn(runtime, one)
        await withdrawn(runtime, other)
        batch = await batch_now(runtime, file)
        assert batch is not None and (batch.state, batch.rows, batch.merchants, batch.net) == ("posted", 1, 1_000, 970)
        assert await balances(runtime, fresh_merchant) == {
            **available(1_000),
            "provider:simulator": 500,
            "merchant": -500,
        }
        await withdrawn(runtime, one)
        batch = await batch_now(runtime, file)
        assert batch is not None and (batch.state, batch.rows, batch.net) == ("withdrawn", 0, 0)
        assert await balances(runtime, fresh_merchant) == waits(1_500)
    await books_hold(database, fresh_merchant)


async def test_a_supplement_that_is_imported_meanwhile_is_compared_with_what_is_left(
    database: Database, fresh_merchant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the second file only the new row would be kept, and the first file's row would be in no file that counts."""
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        file = Acquirer()
        file.of(await paid(runtime, fresh_merchant), "charge", 1_000, 30)
        one, _, _ = await settled(runtime, file.text(), tmp_path)
        file.of(await paid(runtime, fresh_merchant, 500), "charge", 500)
        second: list[asyncio.Task[Any]] = []
        really = Withdrawing.supersede

        async def while_it_is_imported(*given: Any) -> bool:
            second.append(asyncio.create_task(imported(runtime, file.text(), tmp_path, name="again.csv")))
            await until_beside(runtime, second[0])
            return await really(*given)

        monkeypatch.setattr(Withdrawing, "supersede", while_it_is_imported)
        await withdrawn(runtime, one)
        again = (await second[0]).file
        assert (again.state, again.rows, again.known_rows) == ("imported", 2, 0)
        await rounds(runtime)
        assert await balances(runtime, fresh_merchant) == available(1_500)
    await books_hold(database, fresh_merchant)


def stating(file: Acquirer, closing: int) -> str:
    """The file, which says that its balance opens with nothing and closes with this."""
    header, *lines, total = file.text().splitlines()
    return "\n".join([f"{header},opening,closing", *(f"{line},," for line in lines), f"{total},0,{closing}", ""])


async def test_the_balance_is_what_the_files_that_are_left_state(new_database: NewDatabase, tmp_path: Path) -> None:
    async with runtime_of(new_database().app_url, BookedProvider()) as runtime:
        file = Acquirer()
        file.of(await paid(runtime, "shop"), "charge", 1_000, 30)
        await settled(runtime, stating(file, 970), tmp_path)
        file.of(await paid(runtime, "shop", 500), "charge", 500)
        newer, _, _ = await settled(runtime, stating(file, 1_470), tmp_path, name="again.csv")

        async def stated() -> list[tuple[int, int, int]]:
            layers = await layers_of(runtime.stores.balances, "simulator")
            assert all(each.unexplained_remainder == 0 for each in layers)
            found = [each for each in layers if each.layer == "stated_balance"]
            return [(each.theirs, each.ours, each.difference) for each in found]

        assert await stated() == [(1_470, 1_470, 0)]
        await withdrawn(runtime, newer)
        assert await stated() == [(970, 970, 0)]


async def test_a_total_that_was_withdrawn_proves_nothing(new_database: NewDatabase, tmp_path: Path) -> None:
    async with runtime_of(new_database().app_url, BookedProvider()) as runtime:
        rows = (await imported(runtime, stripe_rows(3), tmp_path)).file.file_id
        payout = (await imported(runtime, stripe_payout("30.00"), tmp_path, name="payouts.csv")).file.file_id
        assert await runtime.stores.evidence.files_to_compare() == [rows, payout]
        await withdrawn(runtime, payout)
        assert await runtime.stores.evidence.files_to_compare() == []
        assert (await compare_file(runtime, rows, ACTOR)).rows == 0


async def test_a_file_whose_rows_only_the_withdrawn_one_proves_goes_with_it(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    """Three rows of 10.00 without a payout, and the report of payouts that says 30.00."""
    async with runtime_of(new_database().app_url, BookedProvider()) as runtime:
        rows = (await imported(runtime, stripe_rows(3), tmp_path)).file.file_id
        payout = (await imported(runtime, stripe_payout("30.00"), tmp_path, name="payouts.csv")).file.file_id
        await rounds(runtime)
        with pytest.raises(CannotWithdraw, match="newer file"):
            await withdrawn(runtime, rows)
        act = await withdrawn(runtime, payout)
        assert act.result["with_it"] == [rows]
        states = await runtime.pool.fetch("SELECT state FROM settlement_file UNION ALL SELECT state FROM settled_batch")
        assert [row["state"] for row in states] == ["withdrawn"] * 3
        await imported(runtime, stripe_rows(3), tmp_path)
        assert await runtime.stores.evidence.files_to_compare() == [], "no file that counts proves it"


async def test_an_entry_of_a_bank_waits_for_its_payout_again(
    database: Database, fresh_merchant: str, tmp_path: Path
) -> None:
    """900 arrived at a bank, and 77 of a stranger; the file of the payout is withdrawn, and comes again."""
    account = new_id("req")
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        [payout] = await paid_out(runtime, fresh_merchant, tmp_path, 900)
        [file_id] = await files_named(runtime, f"{payout}.csv")
        entries = camt053([(900, payout), (77, "a stranger")], 0)
        statement = (await imported(runtime, entries, tmp_path, name="bank", account=account)).file.file_id
        worker = ReconciliationWorker(runtime, ACTOR)
        while await worker.round():
            pass
        arrived = {f"bank:{account}": 977, "bank_in_transit:simulator": -900, f"unexplained:bank:{account}": -77}
        assert await at_bank(runtime, account) == arrived
        act = await withdrawn(runtime, file_id)
        assert act.result["entries"] == [f"{statement}/1"]
        waiting = {f"bank:{account}": 977, f"unexplained:bank:{account}": -977}
        assert await at_bank(runtime, account) == waiting
        assert await balances(runtime, fresh_merchant) == waits(900)
        while await worker.round():
            pass
        assert await at_bank(runtime, account) == waiting
        await books_hold(database, fresh_merchant)

        again = await imported(runtime, (tmp_path / f"{payout}.csv").read_bytes(), tmp_path, name="again.csv")
        assert not again.already
        while await worker.round():
            pass
        assert await at_bank(runtime, account) == arrived
        assert await balances(runtime, fresh_merchant) == available(900)
        found = [(each.version, each.status, each.reason) for each in await evidence_of(runtime, statement)]
        assert found == [
            (1, "matched", "same"),
            (2, "unexplained", "not_settled"),
            (3, "unexplained", "not_in_record"),
            (4, "matched", "same"),
            (1, "unexplained", "not_in_record"),
        ]
        with pytest.raises(CannotWithdraw, match="its entries are compared"):
            await withdrawn(runtime, statement)
    await books_hold(database, fresh_merchant)


async def test_an_entry_that_a_person_resolved_stands_in_the_way(
    database: Database, fresh_merchant: str, tmp_path: Path
) -> None:
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        [payout] = await paid_out(runtime, fresh_merchant, tmp_path, 900)
        [file_id] = await files_named(runtime, f"{payout}.csv")
        bank = await imported(runtime, camt053([(895, "no name")], 0), tmp_path, name="bank", account=new_id("req"))
        await rounds(runtime)
        await done(runtime, bank.file.file_id, 1, subject=f"{file_id}/2", writes_off_difference=True)
        with pytest.raises(CannotWithdraw, match=f"a person resolved.*{bank.file.file_id}/1"):
            await withdrawn(runtime, file_id)
        assert await balances(runtime, fresh_merchant) == available(900)


async def files_named(runtime: Runtime, name: str) -> list[str]:
    return [
        row["file_id"] for row in await runtime.pool.fetch("SELECT file_id FROM settlement_file WHERE name = $1", name)
    ]


async def test_no_payout_of_a_withdrawn_file_arrives(database: Database, fresh_merchant: str, tmp_path: Path) -> None:
    """Entries are being compared with its payout when the file is withdrawn."""
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        [payout] = await paid_out(runtime, fresh_merchant, tmp_path, 900)
        [file_id] = await files_named(runtime, f"{payout}.csv")
        arrival = ArrivalRow(
            payout_file_id=file_id,
            payout_position=2,
            ordinal=1,
            file_id="stl_bank",
            position=1,
            version=1,
            batch="",
            currency="EUR",
            provider="simulator",
            amount=900,
        )
        with pytest.raises(PayoutWithdrawn):
            async with runtime.stores.bank.comparing() as comparing:
                assert file_id in {each.file_id for each in await comparing.payouts()}
                await withdrawn(runtime, file_id)
                await comparing.add([], [arrival])


async def test_what_one_person_may_not_move_needs_a_second_one(
    database: Database, fresh_merchant: str, tmp_path: Path
) -> None:
    alone = dataclasses.replace(SETTINGS, second_person_above="EUR=1076")
    async with runtime_of(database.app_url, BookedProvider(), settings=alone) as runtime:
        file = Acquirer()
        file.of(await paid(runtime, fresh_merchant), "charge", 1_000, 30)
        file.row("riddle", 77)
        file_id, _, batch = await settled(runtime, file.text(), tmp_path)
        with pytest.raises(NeedsSecondPerson, match="1077 EUR"):
            await withdrawn(runtime, file_id)
        assert await batch_now(runtime, file) == batch and batch.state == "posted"
        new = Acquirer()
        new.row("riddle", 5_000)
        await withdrawn(runtime, (await imported(runtime, new.text(), tmp_path, name="new.csv")).file.file_id)


async def test_at_once_with_everything_else(database: Database, fresh_merchant: str, tmp_path: Path) -> None:
    """Two withdrawals, a person's word about a row, and workers that compare and post."""
    async with (
        runtime_of(database.app_url, BookedProvider()) as one,
        runtime_of(database.app_url, BookedProvider()) as other,
    ):
        payment, file = await paid(one, fresh_merchant), Acquirer()
        file.of(payment, "charge", 999)
        file_id = (await imported(one, file.text(), tmp_path)).file.file_id
        await compare_file(one, file_id, ACTOR)
        said = asked("settlement_row.match", target_of(file_id, 1), subject=payment["id"], writes_off_difference=True)
        tried: Any = await asyncio.gather(
            withdrawn(one, file_id),
            post_batch(other, named(file), ACTOR),
            once(other.stores.acts, said, lambda: resolve(other, said)),
            withdrawn(other, file_id),
            ReconciliationWorker(one, ACTOR).round(),
            return_exceptions=True,
        )
        assert [
            each
            for each in tried
            if isinstance(each, BaseException) and not isinstance(each, CannotWithdraw | NotResolvable)
        ] == []
        assert sum(isinstance(each, OperatorAct) for each in tried) == 1, "of two withdrawals one is done"
        await rounds(one)
        batch = await batch_now(one, file)
        assert batch is not None and (batch.state, batch.rows, batch.net) == ("withdrawn", 0, 0)
        assert await balances(one, fresh_merchant) == waits(1_000)
    await books_hold(database, fresh_merchant)


class _Late(EvidenceBook):
    """Of a process that is stopped after it has read what it posts, and goes on when the file is withdrawn."""

    meanwhile: Any = None

    async def sums(self, name: BatchName, files: Sequence[str]) -> Sequence[EvidenceSum]:
        read = await super().sums(name, files)
        if self.meanwhile is not None and await self.batch(batch_id_of(name)) is not None:
            meanwhile, self.meanwhile = self.meanwhile, None
            await meanwhile()
        return read


async def test_whoever_is_late_posts_nothing_of_a_withdrawn_file(
    database: Database, fresh_merchant: str, tmp_path: Path
) -> None:
    """The late one has counted the batch and read its sums, and no part is posted. It never comes to say that the batch
    is done: what it posts in between must be right."""
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        file = Acquirer()
        file.of(await paid(runtime, fresh_merchant), "charge", 1_000, 30)
        file_id = (await imported(runtime, file.text(), tmp_path)).file.file_id
        await compare_file(runtime, file_id, ACTOR)
        late = _Late(runtime.pool, OPERATORS)
        seen: list[dict[str, int]] = []

        async def meanwhile() -> None:
            await withdrawn(runtime, file_id)
            seen.append(await balances(runtime, fresh_merchant))

        late.meanwhile = meanwhile
        slow = replace(runtime, stores=replace(runtime.stores, evidence=late))
        batch = await post_batch(slow, named(file), ACTOR)
        assert (seen, batch.state) == ([waits(1_000)], "withdrawn")
        part = await runtime.stores.evidence.settlement(fresh_merchant, settlement_id_of(named(file), fresh_merchant))
        assert part is not None and (part.version, part.charges) == (2, 0), "posted once, and posted back once"
    await books_hold(database, fresh_merchant)
