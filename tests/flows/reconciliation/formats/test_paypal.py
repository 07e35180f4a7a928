"""Reports of PayPal in several files, and withdrawals that came back. What each comes to was worked out by hand."""

from __future__ import annotations

import io
from typing import Any, Final

import pytest

from tallystick.domain.settlement_file import StatedTotal
from tallystick.domain.settlement_row import SettlementRow
from tallystick.flows.reconciliation.formats.base import FileRefused, Item, ReadOptions
from tallystick.flows.reconciliation.registry import AUTO, format_of
from tests.support.paypal_files import COLUMNS, FOOTER, HEADER, paypal_row, report_file

#: 100.00 came for 3.20; then 40.00 were withdrawn, of which nothing arrived: they came back. So 96.80 are there.
FIRST: Final = [paypal_row("T1", "T0006", 10_000, fee=320), paypal_row("T2", "T0400", -4_000, bank="BANK77")]
SECOND: Final = [paypal_row("T3", "T1101", 4_000, about="T2", bank="BANK78")]
#: Credits, debits, fees given back, fees charged, and what was there before and after.
SUMS: Final = ("14000", "4000", "0", "320", "CR", "0", "CR", "9680")
BATCH: Final = "ACC9X:2026-03-02T08:00:00Z"

PARTS: Final = (report_file(1, FIRST), report_file(2, SECOND, footers=[("USD", *SUMS)]))


def read(text: str) -> tuple[list[Item], bool]:
    """The items, and whether the file claims to have all rows of its sections."""
    form = format_of(AUTO, text.encode())
    items = list(form.read(io.BufferedReader(io.BytesIO(text.encode())), ReadOptions()))
    return items, form.is_complete(ReadOptions(), [BATCH], has_payouts=True)


def total(items: list[Item]) -> list[tuple[Any, ...]]:
    return [
        (each.batch, each.total, each.opening, each.closing, each.fault)
        for each in items
        if isinstance(each, StatedTotal)
    ]


def rows(items: list[Item]) -> list[SettlementRow]:
    return [each for each in items if isinstance(each, SettlementRow)]


def test_a_withdrawal_that_came_back_names_its_payout() -> None:
    [back] = rows(read(PARTS[1])[0])
    assert (back.kind, back.net, back.reference, back.payout_reference) == ("payout_reversal", 4_000, "T3", "T2")
    assert (back.payment_reference, back.other_references) == (None, ["BANK78"])


def test_one_that_names_nothing_keeps_what_the_bank_calls_it() -> None:
    [back] = rows(read(report_file(1, [paypal_row("T3", "T1101", 4_000, bank="BANK78")]))[0])
    assert (back.kind, back.payout_reference, back.other_references) == ("payout_reversal", "BANK78", None)


def test_the_files_of_a_report_prove_it_together() -> None:
    """Neither claims to be whole, and the sums of the second are those of both."""
    first, second = read(PARTS[0]), read(PARTS[1])
    assert (total(first[0]), first[1]) == ([], False)
    assert (total(second[0]), second[1]) == ([(BATCH, 9_680, 0, 9_680, None)], False)
    assert {each.batch for each in rows([*first[0], *second[0]])} == {BATCH}


@pytest.mark.parametrize("header", [True, False], ids=["header again", "header once"])
@pytest.mark.parametrize("columns", [True, False], ids=["columns again", "columns once"])
def test_files_that_are_joined_are_one(header: bool, columns: bool) -> None:
    second = PARTS[1] if header else PARTS[1].replace(HEADER, "")
    items, complete = read(PARTS[0] + (second if columns else second.replace(COLUMNS, "")))
    assert (total(items), complete) == ([(BATCH, 9_680, 0, 9_680, None)], True)
    assert [each.reference for each in rows(items)] == ["T1", "T2", "T3"]


def test_a_file_without_the_header_of_its_section_is_refused() -> None:
    with pytest.raises(FileRefused, match="join the report's files") as refused:
        read(PARTS[1].replace(HEADER, ""))
    assert refused.value.reason == "section_elsewhere"
    with pytest.raises(FileRefused, match="before the section"):
        read(PARTS[0].replace(HEADER, ""))


def test_sums_of_fees_may_stand_the_other_way_round_there_too() -> None:
    swapped = PARTS[1].replace('"0","320","CR"', '"320","0","CR"')
    assert total(read(swapped)[0]) == [(BATCH, 9_680, 0, 9_680, None)]


def test_a_first_file_still_proves_its_own_sums() -> None:
    whole = report_file(1, [*FIRST, *SECOND], footers=[("USD", "14001", "4001", *SUMS[2:])])
    items, complete = read(whole)
    assert [each[-1] is None for each in total(items)] == [False] and complete
    assert read(report_file(1, [*FIRST, *SECOND], footers=[("USD", *SUMS)]))[0][-1] == total_of_both()


def total_of_both() -> StatedTotal:
    [found] = [each for each in read(PARTS[1])[0] if isinstance(each, StatedTotal)]
    return found


def test_what_one_file_is_says_nothing_of_the_next() -> None:
    """Two imports at once read with objects of their own."""
    forms = [format_of(AUTO, text.encode()) for text in (*PARTS, report_file(1, FIRST, footers=[FOOTER]))]
    assert len({id(each) for each in forms}) == 3
    read(PARTS[0])
    assert forms[2].is_complete(ReadOptions(), [BATCH], has_payouts=True)
