"""What OWASP says of formulas in CSV files holds for every cell."""

from __future__ import annotations

import csv
import io

import pytest

from tallystick.interfaces.console.csv_export import cell, csv_text


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", " =", "  @"])
def test_what_begins_a_formula_is_text(start: str) -> None:
    assert cell(f"{start}cmd|' /C calc'!A0") == f"'{start}cmd|' /C calc'!A0"


def test_other_values_stay_as_they_are() -> None:
    assert [cell(value) for value in (None, -5, 12, "shop", "a=b", "")] == ["", "-5", "12", "shop", "a=b", ""]


def test_a_cell_stays_one_cell() -> None:
    hostile = 'a",=1+1;=2\r\n=3'
    assert list(csv.reader(io.StringIO(csv_text(["says"], [[hostile]]), newline=""))) == [["says"], [hostile]]
