"""A line without a quotation mark is taken apart by itself, as the reader of quoted fields would do it."""

from __future__ import annotations

import csv
import io
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.domain.settlement_file import BadRow
from tallystick.flows.reconciliation.formats.delimited import DELIMITERS, Table

pytestmark = pytest.mark.exhaustive

#: Longer than any field may be.
_LONG: Final = "x" * 70_000

#: What such files consist of.
PIECES = st.sampled_from(
    [*'" "" , ; a é 12.50 "a,b"'.split(" "), "\t", "\n", "\r", "\r\n", "\n\n", "\x00", "\u2028", " "]
)


def expected_rows(text: str, delimiter: str) -> list[tuple[int, list[str] | None]]:
    """Each row with the line that it begins on; None for a line that is no row."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    found: list[tuple[int, list[str] | None]] = []
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return found
        except csv.Error:
            found.append((line, None))
            continue
        if any(cells):
            found.append((line, cells))


SOME = st.lists(PIECES, max_size=15).map("".join)
TEXTS = st.tuples(SOME, st.sampled_from(["", _LONG]), SOME).map("".join)


@given(TEXTS, st.sampled_from(DELIMITERS))
def test_rows_are_what_the_reader_of_quoted_fields_makes_of_them(text: str, delimiter: str) -> None:
    table = Table(io.BufferedReader(io.BytesIO(text.encode())), "utf-8", delimiter)
    found = [(table.line, None if isinstance(row, BadRow) else row) for row in table.rows()]
    assert found == expected_rows(text, delimiter)
