"""What banks write beside the standard: a longer reference, and fields of their own. Statements are proved by their
balances all the same."""

from __future__ import annotations

import io
from datetime import date
from typing import Final

import pytest

from tallystick.domain.settlement_file import BadRow, StatedTotal
from tallystick.domain.settlement_row import SettlementRow
from tallystick.flows.reconciliation.formats.base import FileRefused, Item, ReadOptions
from tallystick.flows.reconciliation.formats.mt940 import FORMAT

STATEMENT: Final = """:20:STMT
:25:NL00BANK0000000001
:28C:7/1
:NS:22Somebody
23Somebody else
:60F:C260301EUR100,00
:61:2603020302D65,00NOVBNL00BANK0000000002
:NS:01a line of the bank's own
02and another one
:86:rent
:61:2603020302C10,00NTRFNONREF//R1
:86:back
:62F:C260302EUR45,00
"""


def test_a_banks_own_fields_and_a_longer_reference_are_read() -> None:
    items = list(FORMAT.read(io.BytesIO(STATEMENT.encode()), ReadOptions()))
    rows = [each for each in items if isinstance(each, SettlementRow)]
    assert [(each.net, each.other_references, each.text) for each in rows] == [
        (-6_500, ["NL00BANK0000000002"], "rent"),
        (1_000, None, "back"),
    ]
    [total] = [each for each in items if isinstance(each, StatedTotal)]
    assert (total.batch, total.total) == ("STMT/7/1/EUR/2026-03-01", sum(each.net for each in rows))
    assert len(items) == 3


#: Two days of a bank that neither counts its statements nor names them, in one file. Information is wrapped within a
#: name; a free one between words.
UNCOUNTED: Final = """:20:STARTUMSE
:25:10020030/0001234567
:28C:00000/001
:60F:C260301EUR100,00
:61:2603020302C10,00NTRFNONREF//R1
:86:/EREF/NOTPROVIDED/REMI/payout TX123
45XT of batch 7
:86:and one more
:62F:C260302EUR110,00
-
:20:STARTUMSE
:25:10020030/0001234567
:28C:00000/001
:60F:C260302EUR110,00
:61:2603030303C5,00NTRFNONREF//R1
what the bank adds
:86:a free text that
 goes on
:62F:C260303EUR115,00
-
"""


def read(text: str) -> list[Item]:
    return list(FORMAT.read(io.BytesIO(text.encode()), ReadOptions()))


def test_each_statement_of_a_bank_that_does_not_count_is_a_batch() -> None:
    items = read(UNCOUNTED)
    assert [(each.batch, each.total, each.to_on) for each in items if isinstance(each, StatedTotal)] == [
        ("STARTUMSE/00000/001/EUR/2026-03-01", 1_000, date(2026, 3, 2)),
        ("STARTUMSE/00000/001/EUR/2026-03-02", 500, date(2026, 3, 3)),
    ]
    assert [(each.batch, each.row_key, each.text) for each in items if isinstance(each, SettlementRow)] == [
        (
            "STARTUMSE/00000/001/EUR/2026-03-01",
            "R1",
            "/EREF/NOTPROVIDED/REMI/payout TX12345XT of batch 7 and one more",
        ),
        ("STARTUMSE/00000/001/EUR/2026-03-02", "R1", "what the bank adds a free text that goes on"),
    ]
    assert len(items) == 4


def test_numbers_that_begin_anew_each_year_are_of_other_statements() -> None:
    one, other = (
        next(each.batch for each in read(STATEMENT.replace("C2603", f"C{year}03")) if isinstance(each, StatedTotal))
        for year in (26, 27)
    )
    assert (one, other) == ("STMT/7/1/EUR/2026-03-01", "STMT/7/1/EUR/2027-03-01")


def test_accounts_of_one_bank_in_two_currencies_share_no_batch() -> None:
    batches = {
        each.batch
        for text in (STATEMENT, STATEMENT.replace("EUR", "USD"))
        for each in read(text)
        if isinstance(each, SettlementRow)
    }
    assert batches == {"STMT/7/1/EUR/2026-03-01", "STMT/7/1/USD/2026-03-01"}


def test_two_accounts_in_one_currency_refuse_the_file() -> None:
    first, second = UNCOUNTED.split("-\n", 1)
    with pytest.raises(FileRefused, match="several bank accounts") as refused:
        read(f"{first}-\n{second.replace('1234567', '7654321')}")
    assert refused.value.reason == "several_accounts"
    assert read(f"{first}-\n{second.replace('0001234567', '0001234567 EUR')}"), "the same, as some banks write it"


def test_a_statement_without_its_closing_balance_says_so() -> None:
    found = read(UNCOUNTED.replace(":62F:C260303EUR115,00\n", ""))
    assert [(each.line, each.reason) for each in found if isinstance(each, BadRow)] == [(11, "no_balances")]
    assert len([each for each in found if isinstance(each, StatedTotal)]) == 1
