"""Importing on a real database: once, whole, compared with what earlier files said, and going on after a cut."""

from __future__ import annotations

import asyncio
import gzip
import io
import zipfile
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from tallystick.domain.operator_act import AskedAct
from tallystick.flows.operations.acts import asked_act
from tallystick.flows.reconciliation import files as room
from tallystick.flows.reconciliation.files import NoSuchFile
from tallystick.flows.reconciliation.formats.base import FileRefused
from tallystick.flows.reconciliation.withdrawing import CannotWithdraw, withdraw
from tallystick.flows.runtime import Runtime
from tallystick.kit.ids import new_id
from tallystick.record.postgres.settlement_files import SettlementFiles
from tests.support.database import DEEP, Database, NewDatabase
from tests.support.runtime import SETTINGS, BookedProvider, runtime_of
from tests.support.settlement_files import golden_file
from tests.support.settlement_imports import (
    STRIPE_HEADER,
    dying,
    everything,
    imported,
    stored_rows,
    stripe_payout,
    stripe_rows,
)


@pytest.fixture
def database(new_database: NewDatabase) -> Database:
    """Of each test alone: files are the platform's."""
    return new_database()


@pytest.fixture
async def runtime(database: Database) -> AsyncIterator[Runtime]:
    async with runtime_of(database.app_url, BookedProvider()) as opened:
        yield opened


def asked_withdrawal(file_id: str) -> AskedAct:
    return asked_act("shell:test@here", None, "settlement_file.withdraw", file_id, "a wrong account")


async def test_a_file_is_imported_with_its_rows_bad_rows_and_batches(runtime: Runtime, tmp_path: Path) -> None:
    done = await imported(runtime, golden_file("stripe_payout_reconciliation").read_bytes(), tmp_path)
    assert (done.file.state, done.file.provider, done.file.account, done.file.format) == (
        "imported",
        "stripe",
        "main",
        "stripe",
    )
    assert (done.file.rows, done.file.bad_rows, done.file.lines, done.already) == (10, 2, 13, False)
    assert [(each.line, each.reason) for each in done.bad_rows] == [(11, "too_fine"), (12, "does_not_add_up")]
    assert [(each.batch, each.currency, each.rows, each.net, each.state) for each in done.batches] == [
        ("po_1", "USD", 9, 5469, "unproven"),
        ("po_2", "JPY", 1, 4820, "unproven"),
    ]
    rows = await stored_rows(runtime.pool, done.file.file_id)
    assert [each.position for each in rows] == list(range(1, 11))
    assert rows[4].fee_parts == {"network_cost": 123}
    assert rows[2].other_references == ["ch_a1"]


async def test_the_same_bytes_again_change_nothing(runtime: Runtime, tmp_path: Path) -> None:
    first = await imported(runtime, stripe_rows(3), tmp_path)
    before = await everything(runtime.pool)
    again = await imported(runtime, stripe_rows(3), tmp_path, name="another name.csv")
    assert (again.already, again.file.file_id) == (True, first.file.file_id)
    assert await everything(runtime.pool) == before


async def test_another_account_has_the_same_bytes_for_itself(runtime: Runtime, tmp_path: Path) -> None:
    await imported(runtime, stripe_rows(3), tmp_path)
    other = await imported(runtime, stripe_rows(3), tmp_path, account="second")
    assert (other.already, other.file.rows) == (False, 3)


async def test_two_processes_import_one_file_once(runtime: Runtime, database: Database, tmp_path: Path) -> None:
    async with runtime_of(database.app_url, BookedProvider()) as other:
        done = await asyncio.gather(
            *(
                imported(each, stripe_rows(50), tmp_path, name=f"{number}.csv")
                for number, each in enumerate((runtime, other, runtime, other))
            ),
            return_exceptions=True,
        )
    assert all(not isinstance(each, BaseException) or type(each) is room.BeingImported for each in done), done
    assert sum(1 for each in done if not isinstance(each, BaseException) and not each.already) == 1
    assert len((await everything(runtime.pool))["rows"]) == 50


async def test_a_payout_in_another_file_proves_the_batch(runtime: Runtime, tmp_path: Path) -> None:
    await imported(runtime, stripe_rows(3), tmp_path)
    done = await imported(runtime, stripe_payout("30.00"), tmp_path)
    (part,) = done.batches
    assert (part.part, part.state, part.proof, part.rows, part.net, part.paid_out, part.difference) == (
        2,
        "balanced",
        "payout",
        4,
        3000,
        -3000,
        0,
    )


async def test_what_does_not_add_up_says_by_how_much(runtime: Runtime, tmp_path: Path) -> None:
    await imported(runtime, stripe_payout("29.99"), tmp_path)
    done = await imported(runtime, stripe_rows(3), tmp_path)
    assert [(each.state, each.difference) for each in done.batches] == [("unbalanced", 1)]


async def test_a_batch_of_adyen_is_balanced_by_its_payout(runtime: Runtime, tmp_path: Path) -> None:
    content = golden_file("adyen_settlement_details").read_bytes()
    done = await imported(runtime, content, tmp_path, zone="Europe/Amsterdam")
    assert [(each.batch, each.state, each.net, each.paid_out) for each in done.batches] == [
        ("137", "balanced", 126, -126)
    ]
    rows = await stored_rows(runtime.pool, done.file.file_id)
    assert [each.occurrence for each in rows if each.raw_type == "Fee"] == [1, 2]


async def test_a_bad_row_leaves_its_batch_unbalanced_by_its_money(runtime: Runtime, tmp_path: Path) -> None:
    content = golden_file("camt053_v8").read_bytes()
    done = await imported(runtime, content, tmp_path, account="NL-1", zone="Europe/Amsterdam")
    assert done.file.provider == "bank"
    assert [(each.state, each.proof, each.difference, each.opening, each.closing) for each in done.batches] == [
        ("balanced", "balances", 0, -10_000, 2_550)
    ]


async def test_a_footer_that_is_not_met_holds_its_currency_alone(runtime: Runtime, tmp_path: Path) -> None:
    done = await imported(runtime, golden_file("paypal_stl").read_bytes(), tmp_path)
    assert [(each.currency, each.state, each.difference) for each in done.batches] == [
        ("JPY", "balanced", 0),
        ("USD", "balanced", 0),
    ]
    changed = golden_file("paypal_stl").read_text().replace('"SF","USD",10100', '"SF","USD",10200')
    again = await imported(runtime, changed, tmp_path, account="second")
    assert [(each.currency, each.state, each.difference) for each in again.batches] == [
        ("JPY", "balanced", 0),
        ("USD", "unbalanced", -100),
    ]


async def test_a_regenerated_file_supplements(runtime: Runtime, tmp_path: Path) -> None:
    """With the same rows, in another order, and one more."""
    first = await imported(runtime, stripe_rows(3), tmp_path)
    lines = stripe_rows(4).splitlines()
    again = await imported(runtime, "\n".join([lines[0], *reversed(lines[1:]), ""]), tmp_path)
    assert (again.file.state, again.file.supplements, again.file.rows, again.file.known_rows) == (
        "imported",
        True,
        1,
        3,
    )
    assert [(each.part, each.rows, each.net) for each in again.batches] == [(2, 4, 4000)]
    assert [each.row_key for each in await stored_rows(runtime.pool, again.file.file_id)] == ["txn_po_1_3"]
    assert len(await stored_rows(runtime.pool, first.file.file_id)) == 3


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (stripe_rows(2, amount="10.00") + stripe_rows(1, start=2, amount="10.01").splitlines()[1] + "\n", "line 4"),
    ],
)
async def test_a_changed_row_is_a_conflict(runtime: Runtime, tmp_path: Path, content: str, said: str) -> None:
    await imported(runtime, stripe_rows(3), tmp_path)
    before = await everything(runtime.pool)
    done = await imported(runtime, content, tmp_path)
    assert done.file.state == "conflict"
    assert said in str(done.file.detail)
    assert done.batches == [], "none of it is matched"
    assert (await everything(runtime.pool))["batches"] == before["batches"]


async def test_a_missing_row_is_a_conflict_where_files_have_whole_batches(runtime: Runtime, tmp_path: Path) -> None:
    header, *rows = golden_file("simulator").read_text().splitlines()
    await imported(runtime, "\n".join([header, *rows, ""]), tmp_path)
    done = await imported(runtime, "\n".join([header, *rows[1:], ""]), tmp_path)
    assert done.file.state == "conflict"
    assert "1 rows of earlier files are missing" in str(done.file.detail)
    assert done.batches == [], "none of it is matched"


async def test_rows_without_a_batch_are_known_by_their_own_id(runtime: Runtime, tmp_path: Path) -> None:
    """Reports of two periods that overlap."""
    await imported(runtime, stripe_rows(3, payout=""), tmp_path)
    done = await imported(runtime, stripe_rows(3, payout="", start=2), tmp_path)
    assert (done.file.state, done.file.rows, done.file.known_rows) == ("imported", 2, 1)
    assert [(each.batch, each.state, each.rows) for each in done.batches] == [("", "unproven", 5)]


async def test_imports_of_one_batch_that_race_leave_each_row_once(
    runtime: Runtime, database: Database, tmp_path: Path
) -> None:
    contents = [stripe_rows(20, start=0), stripe_rows(21, start=0), stripe_rows(22, start=0)]
    async with runtime_of(database.app_url, BookedProvider()) as other:
        await asyncio.gather(
            *(
                imported(each, content, tmp_path, name=f"{number}.csv")
                for number, (each, content) in enumerate(zip((runtime, other, runtime), contents, strict=True))
            )
        )
    stored = await everything(runtime.pool)
    valid = {row[2] for row in stored["files"] if row[4] == "imported"}
    keys = [row[4] for row in stored["rows"] if row[0] in valid]
    assert len(keys) == len(set(keys)), "no row twice among those that count"
    assert [row[4] for row in stored["batches"]] == list(range(1, len(valid) + 1))


async def test_a_file_that_breaks_off_is_refused_whole(
    runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "PIECE_ROWS", 10)
    with pytest.raises(FileRefused):
        await imported(runtime, gzip.compress(stripe_rows(5_000).encode())[:-2_000], tmp_path, name="f.csv.gz")
    broken = stripe_rows(100).encode() + b"\xff\xfe\n"
    with pytest.raises(FileRefused, match="encoding"):
        await imported(runtime, broken, tmp_path)
    stored = await everything(runtime.pool)
    assert (stored["rows"], stored["batches"]) == ([], [])
    assert {row[4] for row in stored["files"]} == {"refused"}
    with pytest.raises(FileRefused, match="encoding"):
        await imported(runtime, broken, tmp_path)


async def test_packed_files_are_read_within_a_bound(runtime: Runtime, tmp_path: Path) -> None:
    plain = stripe_rows(3).encode()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inner.csv", plain)
    assert (await imported(runtime, gzip.compress(plain), tmp_path)).file.rows == 3
    assert (await imported(runtime, packed.getvalue(), tmp_path, account="zip")).file.rows == 3
    tight = _with_settings(runtime, settlement_max_unpacked_bytes=100_000)
    bomb = gzip.compress(stripe_rows(3).encode() + b"\n" * 50_000_000)
    with pytest.raises(FileRefused, match="unpacks"):
        await imported(tight, bomb, tmp_path, account="bomb")
    with pytest.raises(FileRefused, match="more than 1024 bytes"):
        await imported(_with_settings(runtime, settlement_max_bytes=1024), stripe_rows(100), tmp_path)


def _with_settings(runtime: Runtime, **changes: int) -> Runtime:
    from msgspec.structs import replace as struct_replace

    return struct_replace(runtime, settings=replace(SETTINGS, **changes))  # type: ignore[arg-type]  # names of settings


async def test_a_withdrawn_file_can_be_imported_again(runtime: Runtime, tmp_path: Path) -> None:
    first = await imported(runtime, stripe_rows(3), tmp_path)
    act = await withdraw(runtime, asked_withdrawal(first.file.file_id))
    assert act.result["settlement_file"] == first.file.file_id
    stored = await everything(runtime.pool)
    assert stored["rows"] == []
    again = await imported(runtime, stripe_rows(3), tmp_path)
    assert (again.already, again.file.state) == (False, "imported")
    assert [(each.part, each.rows) for each in again.batches] == [(2, 3)]
    with pytest.raises(CannotWithdraw, match="withdrawn"):
        await withdraw(runtime, asked_withdrawal(first.file.file_id))
    with pytest.raises(NoSuchFile):
        await withdraw(runtime, asked_withdrawal(new_id("stl")))


async def test_a_file_is_not_withdrawn_from_under_its_supplement(runtime: Runtime, tmp_path: Path) -> None:
    first = await imported(runtime, stripe_rows(3), tmp_path)
    second = await imported(runtime, stripe_rows(4), tmp_path)
    with pytest.raises(CannotWithdraw, match="newer file"):
        await withdraw(runtime, asked_withdrawal(first.file.file_id))
    assert len(await stored_rows(runtime.pool, first.file.file_id)) == 3
    await withdraw(runtime, asked_withdrawal(second.file.file_id))
    await withdraw(runtime, asked_withdrawal(first.file.file_id))


async def test_card_numbers_and_secrets_do_not_reach_the_record(
    runtime: Runtime, database: Database, tmp_path: Path
) -> None:
    number, secret = "4111111111111111", "sk_live_0123456789abcdef"
    content = (
        f"{STRIPE_HEADER},description,charge_id\n"
        f"txn_1,2026-03-02 10:00:00,usd,1.00,0.00,1.00,charge,ch_1,po_1,paid by {number} cvv 123,ch_1\n"
        f"txn_2,2026-03-02 10:00:00,usd,1.00,0.00,1.00,{number},ch_2,po_1,key {secret},{number}\n"
        f"{number},2026-03-02 10:00:00,usd,1.00,0.00,1.00,charge,ch_3,po_1,,\n"
        f"txn_4,2026-03-02 10:00:00,usd,{number},0.00,1.00,charge,ch_4,po_1,,\n"
    )
    done = await imported(runtime, content, tmp_path, name=f"{number}.csv")
    assert (done.file.rows, done.file.bad_rows) == (3, 1)
    rows = await stored_rows(runtime.pool, done.file.file_id)
    assert rows[0].text == "paid by **************** cvv ***"
    assert rows[1].text == "key [withheld]"
    assert rows[2].row_key == runtime.words.kept_name(number, "stripe"), "sealed as the record's names are"
    for table in ("settlement_file", "settlement_row", "settlement_bad_row", "settlement_batch"):
        texts = [str(tuple(row)) for row in await runtime.pool.fetch(f"SELECT * FROM {table}")]
        assert not any(number in text or secret in text for text in texts), table


async def count_points(runtime: Runtime, content: str, tmp_path: Path) -> int:
    async with dying(runtime, 0, after=False) as (counted, pool):
        await imported(counted, content, tmp_path, account="counted")
    return pool.points


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_an_import_that_dies_at_any_statement_goes_on(
    runtime: Runtime, new_database: NewDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    """A second file of a known batch, in pieces, with a bad row: at each statement of its import the process dies, and
    another one imports the same file. Without depth it is every third statement."""
    monkeypatch.setattr(room, "PIECE_ROWS", 3)
    old, new = stripe_rows(4), stripe_rows(8) + "txn_bad,2026-03-02 10:00:00,usd,x,0.00,1.00,charge,ch,po_1\n"
    await imported(runtime, old, tmp_path)
    await imported(runtime, old, tmp_path, account="counted")
    points = await count_points(runtime, new, tmp_path)
    assert points > 20
    await imported(runtime, new, tmp_path)
    wanted = [row[2:] for row in (await everything(runtime.pool))["files"] if row[1] == "main"]
    for at in range(1 if DEEP else 1 + after, points + 1, 1 if DEEP else 3):
        account = f"dies-{at}"
        await imported(runtime, old, tmp_path, account=account)
        async with dying(runtime, at, after=after) as (mortal, _):
            with pytest.raises((ConnectionError, Exception)):
                await imported(mortal, new, tmp_path, account=account)
        await runtime.pool.execute("UPDATE settlement_file SET lease_until = now() WHERE lease IS NOT NULL")
        done = await imported(runtime, new, tmp_path, account=account)
        stored = await everything(runtime.pool)
        assert [row[2:] for row in stored["files"] if row[1] == account] == wanted, at
        assert done.file.state == "imported"
        (part,) = done.batches
        assert (part.part, part.rows, part.net) == (2, 8, 8000), at
        files = SettlementFiles(runtime.pool)
        kept = [each.row_key for each in await files.rows(done.file.file_id, 0, 100)]
        assert kept == [f"txn_po_1_{number}" for number in range(4, 8)], at
        assert len(await files.bad_rows(done.file.file_id, 10)) == 1, at


async def test_progress_is_told_to_the_end(runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "PIECE_ROWS", 10)
    told: list[tuple[int, int]] = []
    content = stripe_rows(100)
    await imported(runtime, content, tmp_path, progress=lambda done, total: told.append((done, total)))
    assert told == sorted(told)
    assert told[-1] == (len(content), len(content))


async def test_an_import_that_goes_on_in_another_way_begins_anew(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first rows were read under options that were wrong, and it was cut off."""
    monkeypatch.setattr(room, "PIECE_ROWS", 2)
    accounts = tmp_path / "accounts.toml"
    account = '[[account]]\nprovider = "stripe"\naccount = "main"\n'

    class CutOff(Exception):
        pass

    def cut(done: int, total: int) -> None:
        raise CutOff

    settings = replace(SETTINGS, settlement_accounts=str(accounts))
    async with runtime_of(database.app_url, BookedProvider(), settings=settings) as runtime:
        accounts.write_text(f'{account}kinds = {{ charge = "refund" }}\n')
        with pytest.raises(CutOff):
            await imported(runtime, stripe_rows(5), tmp_path, provider="stripe", progress=cut)
        stored = await runtime.pool.fetch("SELECT kind FROM settlement_row")
        await runtime.pool.execute("UPDATE settlement_file SET lease_until = now() - interval '1 second'")
        accounts.write_text(account)
        done = await imported(runtime, stripe_rows(5), tmp_path, provider="stripe")
        kinds = [each.kind for each in await stored_rows(runtime.pool, done.file.file_id)]
    assert [row["kind"] for row in stored] == ["refund", "refund"]
    assert kinds == ["charge"] * 5


async def test_reports_of_days_that_cut_through_a_payout_are_parts_of_it(runtime: Runtime, tmp_path: Path) -> None:
    """In either order with the payout's own report; what one of them lacks is no conflict."""
    await imported(runtime, stripe_rows(2), tmp_path, name="first day.csv")
    second = await imported(runtime, stripe_rows(2, start=2), tmp_path, name="second day.csv")
    paid = await imported(runtime, stripe_payout("40.00"), tmp_path, name="payouts.csv")
    whole = await imported(runtime, stripe_rows(4) + "", tmp_path, name="payout.csv")
    assert [each.file.state for each in (second, paid, whole)] == ["imported"] * 3
    assert (second.file.supplements, whole.file.rows, whole.file.known_rows) == (True, 0, 4)
    assert [(each.state, each.rows, each.net) for each in paid.batches] == [("balanced", 5, 4000)]


async def test_a_payout_that_came_back_leaves_its_batch_balanced(runtime: Runtime, tmp_path: Path) -> None:
    """The report of payouts tells of it; its money is in the payout that has it. Neither is of the batch before."""
    header = "payout_id,effective_at_utc,currency,gross,fee,net,reporting_category,balance_transaction_id\n"
    back = f"{header}po_1,2026-03-06 00:00:00,usd,20.00,0.00,20.00,payout_reversal,txn_back\n"
    row = "txn_back,2026-03-06 00:00:00,usd,20.00,0.00,20.00,payout_reversal,po_1,po_2\n"
    await imported(runtime, stripe_rows(2), tmp_path, name="one.csv")
    await imported(runtime, stripe_payout("20.00"), tmp_path, name="payouts.csv")
    told = await imported(runtime, back, tmp_path, name="back.csv")
    two = await imported(runtime, stripe_rows(1, payout="po_2") + row, tmp_path, name="two.csv")
    again = await imported(runtime, stripe_payout("30.00", payout="po_2"), tmp_path, name="payouts again.csv")
    assert [(each.batch, each.state) for each in told.batches] == [("", "unproven")]
    assert [(each.batch, each.state) for each in two.batches] == [("po_2", "unproven")], "what came back closes nothing"
    assert [(each.batch, each.state, each.net, each.paid_out) for each in again.batches] == [
        ("po_2", "balanced", 1000, -1000)
    ]
    stored = (await everything(runtime.pool))["batches"]
    assert [row[5] for row in stored if row[2] == "po_1"][-1] == "balanced"


async def test_an_earlier_reading_of_what_the_payer_saw_is_no_other_money(runtime: Runtime, tmp_path: Path) -> None:
    """Its sign is that of the row; some versions of readers left it out."""
    header, *rows = stripe_rows(2).splitlines()
    seen = [f"{header},customer_facing_amount,customer_facing_currency", *(f"{row},9.00,eur" for row in rows)]
    more = [*seen, f"{stripe_rows(1, start=2).splitlines()[1]},9.00,eur"]
    await imported(runtime, "\n".join([*seen, ""]), tmp_path, name="one.csv")
    await runtime.pool.execute("UPDATE settlement_row SET payer_amount = -payer_amount")
    again = await imported(runtime, "\n".join([*more, ""]), tmp_path, name="two.csv")
    await runtime.pool.execute("UPDATE settlement_row SET payer_amount = payer_amount + 1")
    other = await imported(runtime, "\n".join([*more, "", ""]), tmp_path, name="three.csv")
    assert (again.file.state, again.file.rows, again.file.known_rows) == ("imported", 1, 2)
    assert other.file.state == "conflict"
