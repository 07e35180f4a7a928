"""Amounts and signs of files that a mapping describes. What each comes to was worked out by hand."""

from __future__ import annotations

import io
from typing import Any, Final

import pytest

from tallystick.domain.settlement_file import BadRow
from tallystick.domain.settlement_row import SettlementRow
from tallystick.flows.reconciliation.formats.base import Item, ReadOptions
from tallystick.flows.reconciliation.formats.generic_csv import FORMAT

COLUMNS: Final = {"gross": "gross", "currency": "currency", "id": "id"}


def read(text: str, mapping: dict[str, Any]) -> list[Item]:
    return list(FORMAT.read(io.BufferedReader(io.BytesIO(text.encode())), ReadOptions(mapping=mapping)))


GERMAN: Final = {"decimal_mark": ",", "thousands_mark": "."}
SWISS: Final = {"thousands_mark": "'"}
ENGLISH: Final = {"thousands_mark": ","}
UNITS: Final = {"minor_units": True}

#: Marks, what is written, and what it comes to in minor units of EUR; None: it is no amount.
AMOUNTS: Final[list[tuple[dict[str, Any], str, int | None]]] = [
    (GERMAN, "1.234,50", 123_450),
    (GERMAN, "-1.234.567,5", -123_456_750),
    (GERMAN, "1234,50", 123_450),
    (GERMAN, "12.345", 1_234_500),
    (GERMAN, "12.50", None),
    (GERMAN, "1.2345,00", None),
    (GERMAN, "1234.567", None),
    (GERMAN, ".500", None),
    (GERMAN, "1,234.50", None),
    (GERMAN, "1.234,5,0", None),
    (ENGLISH, "1,234.50", 123_450),
    (ENGLISH, "12,34,567.00", 123_456_700),
    (ENGLISH, "123,45,678.00", None),
    (ENGLISH, "1,23.00", None),
    (ENGLISH, "1,234,56,789", None),
    (ENGLISH, "12,50", None),
    (ENGLISH, "+12,345.6", 1_234_560),
    (SWISS, "1'234.50", 123_450),
    (SWISS, "1'23.50", None),
    ({"decimal_mark": ","}, "12.50", None),
    ({"decimal_mark": ","}, "12,5", 1_250),
    ({}, "12,50", None),
    ({}, "12.50", 1_250),
    (UNITS, "1250", 1_250),
    (UNITS, "12.50", None),
    (UNITS, "12.00", None),
    (UNITS, "12.", None),
    (UNITS | ENGLISH, "1,250", 1_250),
    (UNITS | ENGLISH, "12,50", None),
    (UNITS | GERMAN, "12,00", None),
]


@pytest.mark.parametrize(("marks", "written", "amount"), AMOUNTS)
def test_marks_stand_where_they_belong(marks: dict[str, Any], written: str, amount: int | None) -> None:
    [found] = read(f'id;currency;gross\nA;EUR;"{written}"\n', {"columns": COLUMNS, "delimiter": ";", **marks})
    if amount is None:
        assert isinstance(found, BadRow) and found.reason == "not_an_amount"
    else:
        assert isinstance(found, SettlementRow) and found.gross == amount


PAYER: Final = {**COLUMNS, "payer_amount": "paid", "payer_currency": "of"}


@pytest.mark.parametrize(
    ("mapping", "row", "gross", "payer"),
    [
        ({"columns": {**PAYER, "direction": "way"}}, "A,EUR,9.00,10.00,USD,CR", 900, 1_000),
        ({"columns": {**PAYER, "direction": "way"}}, "A,EUR,9.00,10.00,USD,DR", -900, -1_000),
        ({"columns": {**PAYER, "direction": "way"}, "negate": True}, "A,EUR,9.00,10.00,USD,DR", 900, 1_000),
        ({"columns": PAYER, "negate": True}, "A,EUR,9.00,10.00,USD,", -900, -1_000),
        ({"columns": PAYER}, "A,EUR,-9.00,-10.00,USD,", -900, -1_000),
        ({"columns": PAYER}, "A,EUR,-9.00,,USD,", -900, None),
    ],
)
def test_what_the_payer_paid_has_the_rows_direction(
    mapping: dict[str, Any], row: str, gross: int, payer: int | None
) -> None:
    [found] = read(f"id,currency,gross,paid,of,way\n{row}\n", mapping)
    assert isinstance(found, SettlementRow)
    assert (found.gross, found.payer_amount, found.payer_currency) == (gross, payer, "USD")
