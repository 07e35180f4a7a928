"""Statements and reports that are easily taken for one another, on a real database: of banks that do not count, of two
accounts, of several pages and files, and those that an earlier version read. Sums were worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tallystick.decisions.statement_continuity import breaks
from tallystick.flows.reconciliation import bank
from tallystick.flows.reconciliation.formats import mt940 as mt940_format
from tallystick.flows.reconciliation.formats.base import FileRefused
from tallystick.flows.reconciliation.worker import ReconciliationWorker
from tallystick.flows.runtime import Runtime
from tallystick.kit.ids import new_id
from tests.support.bank_statements import camt053, mt940
from tests.support.database import Database
from tests.support.inbox import assert_invariants
from tests.support.letters import new_letters
from tests.support.paypal_files import paypal_row, report_file
from tests.support.runtime import BookedProvider, runtime_of
from tests.support.settlement_days import ACTOR, Acquirer, paid
from tests.support.settlement_imports import imported

#: Two accounts of one company at one bank.
FIRST, SECOND = "DE89370400440532013000", "DE02120300000000202051"


async def worked(runtime: Runtime) -> None:
    worker = ReconciliationWorker(runtime, ACTOR)
    while await worker.round():
        pass


async def posted(runtime: Runtime, account: str) -> tuple[int, int, list[str]]:
    """What all statements of an account moved, how many there are, and where they do not go on."""
    [row] = await runtime.pool.fetch(
        "SELECT coalesce(sum(net), 0)::bigint AS net, count(*) AS n FROM bank_statement WHERE account = $1", account
    )
    return row["net"], row["n"], await broken(runtime, account)


async def broken(runtime: Runtime, account: str) -> list[str]:
    heads = [each for each in await runtime.stores.bank.heads() if each.account == account]
    return [each.kind for each in breaks(heads)]


def as_earlier(version: pytest.MonkeyPatch) -> None:
    """A statement has its reference and number for a name, and 0 is a number."""
    named = property(lambda self: f"{self._reference}/{self._sequence}")
    version.setattr(mt940_format._Statements, "batch", named)
    version.setattr(bank, "name_of_statement", lambda said, on, *_: f"{on.year} {int(said.partition('/')[0])}/1")


#: What every day's statement of some banks says of itself.
UNCOUNTED: dict[str, Any] = {"reference": "STARTUMSE", "sequence": "00000/001"}


async def test_banks_that_neither_name_nor_count_their_statements(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one account four days come in three files, and the second one again, in other bytes and in the other format.
    One bank counts anew each year. Of two accounts an earlier version read a statement; it comes again, and of one the
    next day too."""
    daily, yearly, counted, uncounted = (new_letters() for _ in range(4))
    earlier = {
        counted: mt940([(100, "x")], 0, number=42, day="2026-03-03"),
        uncounted: mt940([(100, "x")], 0, day="2026-03-03", **UNCOUNTED),
    }
    days = [mt940([(100, f"day {day}")], 100 * (day - 2), day=f"2026-03-0{day}", **UNCOUNTED) for day in (2, 3, 4, 5)]
    years = [
        mt940([(100, "x")], opening, day=f"{year}-01-02", reference="STARTUMSE", sequence="1/1")
        for year, opening in ((2025, 0), (2026, 100))
    ]
    copies = [
        f"\n{days[1]}",
        camt053([(100, "day 3")], 100, number=0, day="2026-03-03"),
    ]
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        with monkeypatch.context() as version:
            as_earlier(version)
            for account, text in earlier.items():
                await imported(runtime, text, tmp_path, name="earlier.sta", account=account)
            await worked(runtime)
        for account, content in (
            *((daily, text) for text in (days[0], days[1], days[2] + days[3])),
            *((yearly, text) for text in years),
            *((account, f"{text}\n") for account, text in earlier.items()),
            (uncounted, mt940([(5, "x")], 100, day="2026-03-04", **UNCOUNTED)),
        ):
            done = await imported(runtime, content, tmp_path, name="bank.sta", account=account)
            assert (done.file.state, {each.state for each in done.batches}) == ("imported", {"balanced"})
        again, _ = [await imported(runtime, text, tmp_path, name="copy", account=daily) for text in copies]
        assert (again.file.known_rows, again.file.rows) == (1, 0), "a part of the statement, and nothing new"
        same = await imported(runtime, earlier[counted], tmp_path, name="same.sta", account=counted)
        assert same.already
        await worked(runtime)
        assert await posted(runtime, daily) == (400, 4, ["doubled"])
        assert await posted(runtime, yearly) == (200, 2, [])
        assert await posted(runtime, counted) == (100, 1, ["doubled"])
        assert await posted(runtime, uncounted) == (105, 2, ["doubled"])


async def test_statements_of_another_bank_account_are_refused(database: Database, tmp_path: Path) -> None:
    """An account that is written in another way is the same one, and one in another currency is another."""
    account = new_letters()
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        first = mt940([(100, "x")], 0, number=42, account=FIRST)
        await imported(runtime, first, tmp_path, name="1.sta", account=account)
        second = mt940([(7, "y")], 0, number=42, account=SECOND)
        with pytest.raises(FileRefused, match="another bank account") as refused:
            await imported(runtime, second, tmp_path, name="2.sta", account=account)
        assert refused.value.reason == "another_account"
        spaced = f"{FIRST[:4]} {FIRST[4:]} EUR"
        for number, content in enumerate(
            (
                mt940([(1, "x")], 100, number=43, day="2026-03-04", account=spaced),
                camt053([(1, "x")], 101, number=44, day="2026-03-05", account=FIRST),
                mt940([(1, "x")], 0, number=42, account=SECOND).replace("EUR", "USD"),
            )
        ):
            await imported(runtime, content, tmp_path, name=f"{number}.txt", account=account)
        assert await broken(runtime, account) == []
        own = await imported(runtime, second, tmp_path, name="2.sta", account=new_letters())
        assert own.file.state == "imported"


def with_charge(name: str) -> str:
    """A statement of one entry that the bank took its charge out of, in two pages of which the first has nothing."""

    def page(number: int, balances: Sequence[tuple[str, str]], entries: str = "") -> str:
        said = "".join(
            f'<Bal><Tp><CdOrPrtry><Cd>{code}</Cd></CdOrPrtry></Tp><Amt Ccy="EUR">{amount}</Amt>'
            "<CdtDbtInd>CRDT</CdtDbtInd><Dt><Dt>2026-03-03</Dt></Dt></Bal>"
            for code, amount in balances
        )
        last = "true" if balances[-1][0] == "CLBD" else "false"
        return (
            f"<Stmt><Id>{name}</Id><StmtPgntn><PgNb>{number}</PgNb><LastPgInd>{last}</LastPgInd></StmtPgntn>"
            f"<ElctrncSeqNb>7</ElctrncSeqNb>{said}{entries}</Stmt>"
        )

    entry = (
        '<Ntry><Amt Ccy="EUR">14.74</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts>BOOK</Sts><ValDt><Dt>2026-03-03</Dt></ValDt>'
        '<AcctSvcrRef>R0</AcctSvcrRef><Chrgs><Rcrd><Amt Ccy="EUR">0.26</Amt><CdtDbtInd>DBIT</CdtDbtInd>'
        f"<ChrgInclInd>true</ChrgInclInd></Rcrd></Chrgs><AddtlNtryInf>{name}</AddtlNtryInf></Ntry>"
    )
    first = page(1, [("OPBD", "0.00"), ("ITBD", "0.00")])
    second = page(2, [("ITBD", "0.00"), ("CLBD", "14.74")], entry)
    return f"<Document><BkToCstmrStmt><GrpHdr/>{first}{second}</BkToCstmrStmt></Document>"


async def test_a_payout_arrives_less_a_charge(database: Database, fresh_merchant: str, tmp_path: Path) -> None:
    """15.00 were sent, and the bank booked 14.74 and says that it took 0.26. It stands on the second page."""
    account = new_letters()
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        file, name = Acquirer(), f"po_{new_id('req')}"
        file.of(await paid(runtime, fresh_merchant, 1_500), "charge", 1_500)
        file.row("payout", -1_500, effect=name)
        await imported(runtime, file.text(), tmp_path)
        done = await imported(runtime, with_charge(name), tmp_path, name="bank.xml", account=account)
        assert [(each.sequence, each.state, each.net) for each in done.batches] == [
            ("7/1", "balanced", 0),
            ("7/2", "balanced", 1_474),
        ]
        await worked(runtime)
        assert await posted(runtime, account) == (1_474, 2, [])
        found = await runtime.pool.fetch(
            "SELECT e.net, e.status, e.reason, e.part FROM settlement_evidence e WHERE e.file_id = $1 ORDER BY 1 DESC",
            done.file.file_id,
        )
        assert [tuple(row) for row in found] == [
            (1_500, "matched", "same", "arrived"),
            (-26, "explained", "bank_charge", "bank_fees"),
        ]
        [sums] = await runtime.pool.fetch(
            "SELECT sum(arrived)::bigint AS arrived, sum(fees)::bigint AS fees FROM bank_statement WHERE account = $1",
            account,
        )
        assert tuple(sums) == (1_500, 26)
    await assert_invariants(database, fresh_merchant)


SUMS = ("14000", "4000", "0", "320", "CR", "0", "CR", "9680")


async def test_a_report_in_two_files_is_proved_by_both(database: Database, tmp_path: Path) -> None:
    """100.00 for 3.20; 40.00 were withdrawn, and came back. Regenerated, the first file lacks nothing. In either order
    what is there does not add up until both are."""
    parts = (
        report_file(1, [paypal_row("T1", "T0006", 10_000, fee=320), paypal_row("T2", "T0400", -4_000, bank="BANK77")]),
        report_file(2, [paypal_row("T3", "T1101", 4_000, about="T2")], footers=[("USD", *SUMS)]),
    )
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        for order, before in (((0, 1, 0), 9_680 - 4_000), ((1, 0, 0), 4_000 - 9_680)):
            account = new_letters()
            states: list[tuple[str, str, int | None]] = []
            for number in order:
                content = parts[number] + "\n" * len(states)
                done = await imported(runtime, content, tmp_path, name=f"{len(states)}.csv", account=account)
                [batch] = done.batches
                states.append((done.file.state, batch.state, batch.difference))
            ends = ("imported", "balanced", 0)
            assert states == [("imported", "unbalanced", before), ends, ends]
            payouts = await runtime.stores.bank.payouts_of_account("paypal", account)
            [sent] = [each for each in payouts if each.amount > 0]
            assert (len(payouts), sent.amount, sent.returned) == (2, 4_000, True)


async def test_a_statement_that_came_cut_off_is_posted_with_all_of_its_entries(
    database: Database, tmp_path: Path
) -> None:
    """The first file has two of its entries and no closing balance; the second one has it whole."""
    account = new_letters()
    whole = mt940([(100, "a"), (200, "b"), (300, "c")], 0, number=7, reference=new_letters())
    third = [at for at, line in enumerate(whole.splitlines()) if line.startswith(":61:")][2]
    cut = "\n".join([*whole.splitlines()[:third], "-}", ""])
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        first = await imported(runtime, cut, tmp_path, name="cut.sta", provider="bank", account=account)
        await worked(runtime)
        before = await posted(runtime, account)
        second = await imported(runtime, whole, tmp_path, name="whole.sta", provider="bank", account=account)
        await worked(runtime)
        after = await posted(runtime, account)
        files = (first.file.file_id, second.file.file_id)
        told = await runtime.pool.fetchval("SELECT count(*) FROM settlement_evidence WHERE file_id = ANY ($1)", files)
    assert (first.file.rows, second.file.rows, second.file.known_rows) == (2, 1, 2)
    assert before == (0, 0, [])
    assert after == (600, 1, [])
    assert told == 3
