"""Entries of a bank statement beside payouts, worked out by hand: what each is, and how it was found."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any, Final

import pytest

from tallystick.decisions.bank_matching import EntryMatcher, Payout
from tallystick.domain.settlement_row import SettlementRow

DAY: Final = date(2026, 3, 2)


def entry(position: int, net: int, text: str = "", *references: str, on: date = DAY, kind: Any = "bank_entry") -> Any:
    return SettlementRow(
        position=position, line=position, batch="S1", row_key=str(position), kind=kind, raw_type="NTRF", currency="EUR",
        gross=net, fee=0, net=net, value_on=on, text=text or None, other_references=list(references) or None,
    )  # fmt: skip


def payout(position: int, amount: int, name: str = "", batch: str = "set_first", **more: Any) -> Payout:
    names = (name,) if name else ()
    given: dict[str, Any] = {"account": "main", "currency": "EUR", "sent_on": DAY, "settled": True, **more}
    return Payout(
        file_id="stl_1", position=position, provider="acquirer", batch=batch, amount=amount, names=names, **given
    )


#: Entries, payouts, and for each entry: status, reason, stage, and the amounts of which payouts it has.
CASES: Final[dict[str, tuple[list[Any], list[Payout], list[tuple[Any, ...]]]]] = {
    "trace id": (
        [entry(1, 900, "", "TRACE-77")],
        [payout(1, 900, "TRACE-77"), payout(2, 900, "TRACE-78")],
        [("matched", "same", "provider_reference", {1: 900})],
    ),
    "name in the text": (
        [entry(1, 900, "TX9XT po_first/with thanks")],
        [payout(1, 900, "po_first")],
        [("matched", "same", "alternative_reference", {1: 900})],
    ),
    "batch in the text": (
        [entry(1, 900, "settlement set_first")],
        [payout(1, 900, "po_1", batch="set_first"), payout(2, 900, "po_2", batch="set_other")],
        [("matched", "same", "alternative_reference", {1: 900})],
    ),
    "a short name is no name": (
        [entry(1, 901, "lot 137")],
        [payout(1, 900, "137", batch="137")],
        [("unexplained", "not_in_record", "none", {})],
    ),
    "a part of a name is no name": (
        [entry(1, 901, "po_first_2")],
        [payout(1, 900, "po_first", batch="")],
        [("unexplained", "not_in_record", "none", {})],
    ),
    "one batch in two payouts": (
        [entry(1, 600, "set_first"), entry(2, 300, "set_first")],
        [payout(1, 300), payout(2, 600)],
        [
            ("matched", "same", "alternative_reference", {2: 600}),
            ("matched", "same", "alternative_reference", {1: 300}),
        ],
    ),
    "two payouts in one entry": (
        [entry(1, 900, "set_first")],
        [payout(1, 300), payout(2, 600)],
        [("matched", "same", "batch_group", {1: 300, 2: 600})],
    ),
    "one payout in two entries": (
        [entry(1, 500, "po_first"), entry(2, 400, "po_first")],
        [payout(1, 900, "po_first")],
        [("matched", "same", "batch_group", {1: 500}), ("matched", "same", "batch_group", {1: 400})],
    ),
    "the rest comes later": (
        [entry(1, 400, "po_first")],
        [payout(1, 900, "po_first", arrivals=1, arrived=500)],
        [("matched", "same", "batch_group", {1: 400})],
    ),
    "less arrived": (
        [entry(1, 885, "po_first")],
        [payout(1, 900, "po_first")],
        [("mismatched", "amount", "alternative_reference", {1: 885})],
    ),
    "a charge about a payout is no part of it": (
        [entry(1, -25, "fee for po_first"), entry(2, 900, "po_first")],
        [payout(1, 900, "po_first")],
        [
            ("unexplained", "not_in_record", "alternative_reference", {}),
            ("matched", "same", "alternative_reference", {1: 900}),
        ],
    ),
    "a charge after the payout arrived is no double of it": (
        [entry(1, -25, "fee for po_first")],
        [payout(1, 900, "po_first", arrivals=1, arrived=900)],
        [("unexplained", "not_in_record", "alternative_reference", {})],
    ),
    "what came back is the reversal, not the payout": (
        [entry(1, -900, "po_first")],
        [payout(1, 900, "po_first"), payout(2, -900, "po_first")],
        [("matched", "same", "alternative_reference", {2: -900})],
    ),
    "twice": (
        [entry(1, 900, "po_first"), entry(2, 900, "po_first")],
        [payout(1, 900, "po_first")],
        [
            ("matched", "same", "alternative_reference", {1: 900}),
            ("mismatched", "duplicate", "alternative_reference", {}),
        ],
    ),
    "a manual payout": (
        [entry(1, 900, "po_manual")],
        [payout(1, 900, "po_manual", batch="", settled=False)],
        [("unexplained", "not_settled", "alternative_reference", {})],
    ),
    "we paid what we owed": (
        [entry(1, -250, "po_first")],
        [payout(1, -250, "po_first")],
        [("matched", "same", "alternative_reference", {1: -250})],
    ),
    "by amount and date": (
        [entry(1, 900, "wire", on=DAY + timedelta(days=7))],
        [payout(1, 900, "po_first")],
        [("matched", "same", "amount_date", {1: 900})],
    ),
    "too late for amount and date": (
        [entry(1, 900, "wire", on=DAY + timedelta(days=8))],
        [payout(1, 900, "po_first")],
        [("unexplained", "not_in_record", "none", {})],
    ),
    "what came back never arrived": (
        [entry(1, 900, "wire")],
        [payout(1, 900, "po_first", returned=True)],
        [("unexplained", "not_in_record", "none", {})],
    ),
    "two payouts of one amount": (
        [entry(1, 900, "wire")],
        [payout(1, 900, "po_first"), payout(2, 900, "po_second")],
        [("unexplained", "ambiguous", "amount_date", {})],
    ),
    "two entries of one amount": (
        [entry(1, 900, "wire"), entry(2, 900)],
        [payout(1, 900, "po_first")],
        [("unexplained", "ambiguous", "amount_date", {}), ("unexplained", "ambiguous", "amount_date", {})],
    ),
    "another currency": (
        [entry(1, 900, "po_first")],
        [payout(1, 900, "po_first", currency="USD")],
        [("unexplained", "not_in_record", "none", {})],
    ),
    "nothing is said": ([entry(1, 12)], [], [("unexplained", "no_reference", "none", {})]),
    "a charge of the bank": ([entry(1, -12, kind="fee")], [], [("explained", "bank_charge", "row_type", {})]),
}


@pytest.mark.parametrize("name", CASES)
def test_each_entry_is_named(name: str) -> None:
    rows, payouts, expected = CASES[name]
    found = sorted(EntryMatcher(payouts).match(rows), key=lambda each: each.row.position)
    assert [
        (each.status, each.reason, each.stage, {a.payout.position: a.amount for a in each.arrivals}) for each in found
    ] == expected
    for each in found:
        assert sum(a.amount for a in each.arrivals) == (each.row.net if each.part == "arrived" else 0)
        assert each.compared == {} or each.compared["amount"][0] == each.row.net
