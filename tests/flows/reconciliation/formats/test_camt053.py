"""Statements in pages, and charges within entries. What each comes to was worked out by hand."""

from __future__ import annotations

import io
from datetime import date
from typing import Final

import pytest

from tallystick.domain.settlement_file import BadRow, StatedTotal
from tallystick.domain.settlement_row import SettlementRow
from tallystick.flows.reconciliation.formats.base import FileRefused, Item, ReadOptions
from tallystick.flows.reconciliation.formats.camt053 import FORMAT

START: Final = '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"><BkToCstmrStmt><GrpHdr>'
DAYS: Final = "<FrToDt><FrDtTm>2026-12-31T00:00:00</FrDtTm><ToDtTm>2027-01-01T00:00:00</ToDtTm></FrToDt>"


def document(*statements: str, head: str = "") -> str:
    return f"{START}{head}</GrpHdr>{''.join(statements)}</BkToCstmrStmt></Document>"


def amount(value: int, name: str = "Amt") -> str:
    sign = "DBIT" if value < 0 else "CRDT"
    return f'<{name} Ccy="EUR">{abs(value) / 100:.2f}</{name}><CdtDbtInd>{sign}</CdtDbtInd>'


def balance(code: str, value: int, on: str = "2026-12-31") -> str:
    return f"<Bal><Tp><CdOrPrtry><Cd>{code}</Cd></CdOrPrtry></Tp>{amount(value)}<Dt><Dt>{on}</Dt></Dt></Bal>"


def entry(value: int, more: str = "", name: str = "A1") -> str:
    return f"<Ntry>{amount(value)}<Sts><Cd>BOOK</Cd></Sts><AcctSvcrRef>{name}</AcctSvcrRef>{more}</Ntry>"


def statement(content: str, *, page: str = "", iban: str = "NL00BANK0000000001", number: str = "252") -> str:
    return (
        f"<Stmt><Id>S-1</Id>{page}<ElctrncSeqNb>{number}</ElctrncSeqNb>{DAYS}<Acct><Id><IBAN>{iban}</IBAN></Id>"
        f"<Ccy>EUR</Ccy></Acct>{content}</Stmt>"
    )


def paged(number: int, *, last: bool, name: str = "StmtPgntn") -> str:
    return f"<{name}><PgNb>{number}</PgNb><LastPgInd>{'true' if last else 'false'}</LastPgInd></{name}>"


def read(text: str) -> list[Item]:
    return list(FORMAT.read(io.BytesIO(text.encode()), ReadOptions()))


def totals(items: list[Item]) -> list[tuple[object, ...]]:
    return [
        (each.batch, each.sequence, each.opening, each.closing, each.to_on)
        for each in items
        if isinstance(each, StatedTotal)
    ]


#: Three pages of one statement: 5.00 came, 2.00 came, 0.50 left. It ends at midnight, on the last day of the year.
PAGES: Final = (
    balance("OPBD", 0) + balance("ITBD", 500) + entry(500),
    balance("ITBD", 500) + balance("ITBD", 700) + entry(200),
    balance("ITBD", 700) + balance("CLBD", 650) + entry(-50),
)
END: Final = date(2026, 12, 31)


def test_each_page_has_its_number_and_its_balances() -> None:
    pages = [statement(content, page=paged(number, last=number == 3)) for number, content in enumerate(PAGES, 1)]
    items = read(document(*pages))
    assert totals(items) == [
        ("S-1/252/1", "252/1", 0, 500, END),
        ("S-1/252/2", "252/2", 500, 700, END),
        ("S-1/252/3", "252/3", 700, 650, END),
    ]
    assert [(each.batch, each.net) for each in items if isinstance(each, SettlementRow)] == [
        ("S-1/252/1", 500),
        ("S-1/252/2", 200),
        ("S-1/252/3", -50),
    ]


def test_early_versions_say_the_page_of_the_message() -> None:
    """Not where a message of several has a whole statement: then it is no page of one."""
    found = [
        totals(read(document(statement(content), head=paged(number, last=number == 3, name="MsgPgntn"))))
        for number, content in enumerate(PAGES, 1)
    ]
    assert found == [
        [("S-1/252/1", "252/1", 0, 500, END)],
        [("S-1/252/2", "252/2", 500, 700, END)],
        [("S-1/252/3", "252/3", 700, 650, END)],
    ]
    whole = statement(balance("OPBD", 0) + balance("CLBD", 500) + entry(500))
    items = read(document(whole, head=paged(2, last=False, name="MsgPgntn")))
    assert totals(items) == [("S-1/252", "252", 0, 500, END)]


def test_interim_balances_of_a_whole_statement_say_nothing() -> None:
    content = balance("OPBD", 0) + balance("ITBD", 9) + balance("CLBD", 500) + entry(500)
    assert totals(read(document(statement(content)))) == [("S-1/252", "252", 0, 500, END)]
    single = statement(content, page=paged(1, last=True))
    assert totals(read(document(single))) == [("S-1/252", "252/1", 0, 500, END)]


def test_the_day_of_the_closing_balance_is_the_last_day() -> None:
    """A statement without one ends on the day before its midnight."""
    content = balance("OPBD", 0) + balance("CLBD", 0)
    assert [each[4] for each in totals(read(document(statement(content))))] == [END]
    assert [
        each[4] for each in totals(read(document(statement(content.replace("<Dt><Dt>2026-12-31</Dt></Dt>", "")))))
    ] == [END]


@pytest.mark.parametrize("content", [balance("OPBD", 0) + entry(500), balance("CLBD", 500) + entry(500), entry(500)])
def test_entries_without_both_balances_are_told(content: str) -> None:
    items = read(document(statement(content)))
    assert [each.reason for each in items if isinstance(each, BadRow)] == ["no_balances"]
    assert totals(items) == []
    assert read(document(statement(""))) == [], "a statement without entries lacks nothing"


def test_two_accounts_in_one_currency_refuse_the_file() -> None:
    content = balance("OPBD", 0) + balance("CLBD", 0)
    with pytest.raises(FileRefused, match="several bank accounts") as refused:
        read(document(statement(content), statement(content, iban="NL00BANK0000000002", number="253")))
    assert refused.value.reason == "several_accounts"
    alike = statement(content, iban="nl00 bank 0000 0000 01", number="253")
    assert len(totals(read(document(statement(content), alike)))) == 2


def charge(value: str, contained: str = "", sign: str = "DBIT", currency: str = "EUR") -> str:
    said = f"<ChrgInclInd>{contained}</ChrgInclInd>" if contained else ""
    return f'<Rcrd><Amt Ccy="{currency}">{value}</Amt><CdtDbtInd>{sign}</CdtDbtInd>{said}</Rcrd>'


PAID: Final = '<NtryDtls><TxDtls><AmtDtls><TxAmt><Amt Ccy="EUR">1500.00</Amt></TxAmt></AmtDtls></TxDtls></NtryDtls>'
OF_ONE: Final = f"<TxDtls><Chrgs>{charge('13.00', 'true')}</Chrgs></TxDtls>"
OLD: Final = '<Chrgs><Amt Ccy="EUR">26.00</Amt></Chrgs>'

#: What an entry says besides its amount -> its rows: kind, key, amount.
CHARGES: Final[dict[str, tuple[int, str, list[tuple[str, str, int]]]]] = {
    "taken out of what came": (
        147_400,
        f"<Chrgs>{charge('26.00', 'true')}</Chrgs>",
        [("bank_entry", "A1", 150_000), ("fee", "A1:Chrgs", -2_600)],
    ),
    "added to what left": (
        -152_600,
        f"<Chrgs>{charge('26.00', 'true')}</Chrgs>",
        [("bank_entry", "A1", -150_000), ("fee", "A1:Chrgs", -2_600)],
    ),
    "given back": (
        152_600,
        f"<Chrgs>{charge('26.00', 'true', 'CRDT')}</Chrgs>",
        [("bank_entry", "A1", 150_000), ("fee", "A1:Chrgs", 2_600)],
    ),
    "of each payment of a batch": (
        147_400,
        f"<NtryDtls>{OF_ONE}{OF_ONE}</NtryDtls>",
        [("bank_entry", "A1", 150_000), ("fee", "A1:Chrgs", -2_600)],
    ),
    "proved by what was paid": (
        147_400,
        f"{OLD}{PAID}",
        [("bank_entry", "A1", 150_000), ("fee", "A1:Chrgs", -2_600)],
    ),
    "neither said nor proved": (147_400, OLD, [("bank_entry", "A1", 147_400)]),
    "booked by itself": (
        150_000,
        f"<Chrgs>{charge('26.00', 'false')}</Chrgs>{PAID}",
        [("bank_entry", "A1", 150_000)],
    ),
    "in another currency": (
        147_400,
        f"<Chrgs>{charge('26.00', 'true', currency='USD')}</Chrgs>",
        [("bank_entry", "A1", 147_400)],
    ),
    "cannot be read": (147_400, f"<Chrgs>{charge('26.001', 'true')}</Chrgs>", [("bank_entry", "A1", 147_400)]),
    "more than the entry": (-1_000, f"<Chrgs>{charge('26.00', 'true')}</Chrgs>", [("bank_entry", "A1", -1_000)]),
    "nothing but the charge": (-2_600, f"<Chrgs>{charge('26.00', 'true')}</Chrgs>", [("fee", "A1", -2_600)]),
}


@pytest.mark.parametrize("how", CHARGES)
def test_a_charge_within_an_entry_is_a_row_of_its_own(how: str) -> None:
    booked, more, expected = CHARGES[how]
    items = read(document(statement(balance("OPBD", 0) + balance("CLBD", booked) + entry(booked, more))))
    rows = [each for each in items if isinstance(each, SettlementRow)]
    assert [(each.kind, each.row_key, each.net) for each in rows] == expected
    assert all(each.gross == each.net and each.fee == 0 for each in rows)
    assert sum(each.net for each in rows) == booked and len(items) == len(rows) + 1


def test_an_account_says_that_a_charge_is_none() -> None:
    more = f"<Chrgs>{charge('26.00', 'true')}</Chrgs>"
    text = document(statement(balance("OPBD", 0) + balance("CLBD", 147_400) + entry(147_400, more)))
    options = ReadOptions(kinds={"Chrgs": "tax"})
    kinds = [each.kind for each in FORMAT.read(io.BytesIO(text.encode()), options) if isinstance(each, SettlementRow)]
    assert kinds == ["bank_entry", "tax"]
