"""A day in the formats of others says the same as in the acquirer's own, to whoever reads them."""

from __future__ import annotations

import io
import tomllib
from typing import Any, Final

import pytest
from msgspec.structs import replace

from tallystick.domain.currencies import EXPONENTS
from tallystick.domain.settlement_file import StatedTotal
from tallystick.domain.settlement_row import SettlementRow
from tallystick.flows.reconciliation.formats.base import HEAD_BYTES, Item, ReadOptions
from tallystick.flows.reconciliation.registry import AUTO, format_of
from tallystick.lab.acquirer.bank_day import BankEntry
from tallystick.lab.acquirer.settlement_entries import Entry
from tallystick.lab.acquirer.settlement_formats import FORMATS, Day, major
from tests.support.acquirer_days import GENERIC_MAPPING

#: By hand. 10.00 less 0.39, 4.00 given back, 1.00 taken by a bank for 15.00, 500 yen less 32; a refund that came back.
_AT: Final = "2026-03-02T10:00:00Z"
_CH: Final[dict[str, Any]] = {"charge": "ch_1", "occurred_at": _AT, "currency": "EUR"}
DAY: Final = Day(
    number=7,
    date="2026-03-02",
    batch="set_1",
    opening={"EUR": 10_000},
    entries=[
        Entry(entry_id="en_1", kind="charge", gross=5_000, fee=95, effect="ch_1", attempt="att_1", **_CH),
        Entry(entry_id="en_2", kind="refund", gross=-400, effect="re_1", attempt="att_2", **_CH),
        Entry(entry_id="en_3", kind="refund_reversal", gross=400, effect="re_1", attempt="att_2", **_CH),
        Entry(entry_id="en_4", kind="dispute", gross=-100, fee=1_500, effect="dp_1", **_CH),
        Entry(entry_id="en_5", kind="dispute_reversal", gross=100, effect="dp_1", **_CH),
        Entry(entry_id="en_6", kind="reserve", currency="EUR", gross=-200),
        Entry(entry_id="en_7", kind="goodwill", currency="EUR", gross=321),
        Entry(entry_id="en_8", kind="charge", currency="JPY", gross=500, fee=32, charge="ch_2", effect="ch_2"),
        Entry(entry_id="en_9", kind="payout", currency="EUR", gross=-3_526, effect="po_1"),
        Entry(entry_id="en_10", kind="payout", currency="JPY", gross=-468, effect="po_2"),
    ],
    at_bank=[
        BankEntry(name="po_1", currency="EUR", amount=3_526),
        BankEntry(name="po_2", currency="JPY", amount=468),
    ],
)

ROWS: Final = [
    ("charge", "EUR", 5_000, 95, "ch_1"),
    ("refund", "EUR", -400, 0, "re_1"),
    ("refund_reversal", "EUR", 400, 0, "re_1"),
    ("dispute", "EUR", -100, 1_500, "dp_1"),
    ("dispute_reversal", "EUR", 100, 0, "dp_1"),
    ("reserve", "EUR", -200, 0, None),
    ("unknown", "EUR", 321, 0, None),
    ("charge", "JPY", 500, 32, "ch_2"),
    ("payout", "EUR", -3_526, 0, "po_1"),
    ("payout", "JPY", -468, 0, "po_2"),
]


def read(name: str) -> list[Item]:
    content = FORMATS[name][1](DAY)
    return list(format_of(AUTO, content[:HEAD_BYTES]).read(io.BytesIO(content), ReadOptions()))


@pytest.mark.parametrize("name", ["stripe", "adyen"])
def test_a_providers_report(name: str) -> None:
    found = read(name)
    assert all(isinstance(each, SettlementRow) for each in found), found
    rows = [each for each in found if isinstance(each, SettlementRow)]
    names_payouts = name == "stripe"  # the other one names the transfer in the text
    said = [
        (row.kind, row.currency, row.gross, row.fee, row.reference if row.kind != "payout" or names_payouts else None)
        for row in rows
    ]
    assert said == [(*row[:4], row[4] if row[0] != "payout" or names_payouts else None) for row in ROWS]
    assert {row.batch for row in rows} == {"set_1"}
    assert {row.payment_reference for row in rows} == {"ch_1", "ch_2", None}


def test_paypals_report() -> None:
    """A dispute and its fee are two rows, and a refund that came back is of a code that nobody knows. The footer's sums
    are the rows', and it says what was there before and after."""
    found = read("paypal")
    rows = [each for each in found if isinstance(each, SettlementRow)]
    unknown = [("unknown", "EUR", 400, 0, "re_1"), ("unknown", "EUR", 321, 0, "en_7")]
    cost = ("fee", "EUR", 0, 1_500, "en_4")
    expected = [*ROWS[:2], unknown[0], ("dispute", "EUR", -100, 0, "dp_1"), cost, ROWS[4]]
    expected += [("reserve", "EUR", -200, 0, "en_6"), unknown[1], *ROWS[7:]]
    assert [(row.kind, row.currency, row.gross, row.fee, row.reference) for row in rows] == expected
    assert [row.payment_reference for row in rows[:5]] == ["ch_1", "ch_1", "ch_1", "ch_1", "dp_1"]
    assert [row.payout_reference for row in rows if row.kind == "payout"] == ["po_1", "po_2"]
    totals = [each for each in found if isinstance(each, StatedTotal)]
    assert [(each.currency, each.total, each.opening, each.closing, each.fault) for each in totals] == [
        ("EUR", 0, 0, 0, None),
        ("JPY", 0, 0, 0, None),
    ]
    assert len({each.batch for each in found if isinstance(each, SettlementRow | StatedTotal)}) == 1


def test_a_table_of_a_companys_own() -> None:
    content = FORMATS["generic"][1](DAY)
    options = ReadOptions(mapping=tomllib.loads(GENERIC_MAPPING))
    found = list(format_of("generic_csv", content).read(io.BytesIO(content), options))
    rows = [each for each in found if isinstance(each, SettlementRow)]
    assert [(row.kind, row.currency, row.gross, row.fee, row.reference) for row in rows] == ROWS
    assert {row.batch for row in rows} == {"set_1"} and len(found) == len(ROWS)
    assert sum(row.net for row in rows if row.currency == "EUR") == 0


@pytest.mark.parametrize("name", ["camt053", "mt940"])
def test_the_banks_statements(name: str) -> None:
    found = read(name)
    totals = {each.currency: (each.opening, each.closing) for each in found if isinstance(each, StatedTotal)}
    assert totals == {"EUR": (10_000, 13_526), "JPY": (0, 468)}
    entries = [(each.currency, each.net, each.text) for each in found if isinstance(each, SettlementRow)]
    assert entries == [("EUR", 3_526, "TX7XT po_1"), ("JPY", 468, "TX7XT po_2")]


def test_amounts_have_the_decimals_of_their_currency() -> None:
    differing = {
        code
        for code, exponent in EXPONENTS.items()
        if major(10**exponent, code) != "1" + "." * (exponent > 0) + "0" * exponent
    }
    assert differing == set()
    assert (major(-5, "EUR"), major(5, "JPY", ","), major(1_234, "KWD", ",")) == ("-0.05", "5,", "1,234")


def test_paypal_has_a_code_for_a_withdrawal_that_came_back_and_none_for_a_charge() -> None:
    day = replace(
        DAY,
        entries=[
            Entry(entry_id="en_1", kind="charge_reversal", gross=-5_000, effect="ch_1", attempt="att_1", **_CH),
            Entry(entry_id="en_2", kind="payout_reversal", currency="EUR", gross=5_000, effect="po_1", charge="po_0"),
        ],
    )
    content = FORMATS["paypal"][1](day)
    found = format_of(AUTO, content[:HEAD_BYTES]).read(io.BytesIO(content), ReadOptions())
    rows = [each for each in found if isinstance(each, SettlementRow)]
    assert [(each.kind, each.raw_type, each.net, each.payout_reference) for each in rows] == [
        ("unknown", "T9999", -5_000, None),
        ("payout_reversal", "T1101", 5_000, "po_0"),
    ]
