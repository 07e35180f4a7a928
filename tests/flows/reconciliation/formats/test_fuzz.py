"""Whatever the bytes: rows, bad rows and totals, or a refusal of the file, and nothing else."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.flows.reconciliation.formats.base import (
    MAX_ROW_AMOUNT,
    FileRefused,
    ReadOptions,
    RowRefused,
    hundredths,
    minor_units,
    moment,
)
from tallystick.flows.reconciliation.registry import FORMATS
from tests.support.settlement_files import check_reading, golden_file, golden_names, options_of

pytestmark = pytest.mark.exhaustive

NAMES = golden_names()
OPTIONS = ReadOptions(zone="UTC", mapping=options_of("generic_csv").mapping)

#: What parsers look at: separators, quotes, marks, signs, tags, and what numbers and dates are made of.
SPLICES = st.sampled_from(
    [
        *b', ; " \n \r \t \x00 - 1e9 NaN 99999999999999999999 < > &lt; &a; ]]> <Ntry> </Stmt> <Amt> CRDT'.split(b" "),
        *b":61: :62F: ?20 SF SH \xff\xfe \xef\xbb\xbf 0000-00-00 2026-02-30 9999-12-31 XXX eur".split(b" "),
        *(b"<!DOCTYPE a [", "٣".encode(), "\u2028".encode()),
    ]
)


def check(content: bytes) -> None:
    """Every format reads it, or refuses it."""
    check_reading(content, OPTIONS)


@given(st.binary(max_size=400))
def test_bytes(content: bytes) -> None:
    check(content)


@given(st.text(max_size=400))
def test_text(content: str) -> None:
    check(content.encode("utf-8", "surrogatepass"))


@given(st.data())
def test_golden_files_with_splices_and_cuts(data: Any) -> None:
    content = golden_file(data.draw(st.sampled_from(NAMES))).read_bytes()
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content)))
        until = data.draw(st.integers(at, min(len(content), at + 30)))
        content = content[:at] + data.draw(SPLICES) + content[until:]
    check(content)


@given(st.data())
def test_golden_files_with_cells_exchanged(data: Any) -> None:
    """A value that is right in another place."""
    lines = golden_file(data.draw(st.sampled_from(NAMES))).read_bytes().split(b"\n")
    cells = [line.split(b",") for line in lines]
    flat = [(row, at) for row, line in enumerate(cells) for at in range(len(line))]
    for _ in range(data.draw(st.integers(1, 6))):
        (one, at), (other, there) = data.draw(st.sampled_from(flat)), data.draw(st.sampled_from(flat))
        cells[one][at], cells[other][there] = cells[other][there], cells[one][at]
    check(b"\n".join(b",".join(line) for line in cells))


@given(st.integers(-(10**15), 10**15), st.sampled_from([0, 2, 3, 4]))
def test_amounts_are_exact(amount: int, exponent: int) -> None:
    digits = str(abs(amount)).rjust(exponent + 1, "0")
    written = f"{'-' if amount < 0 else ''}{digits[: len(digits) - exponent]}" + (
        f".{digits[-exponent:]}" if exponent else ""
    )
    assert minor_units(written, exponent) == amount
    assert minor_units(written + ("" if exponent else ".") + "000", exponent) == amount, "zeros add nothing"


@given(st.text(max_size=30))
def test_an_amount_is_read_or_refused(text: str) -> None:
    for read in (minor_units, hundredths):
        try:
            assert abs(read(text, 2)) <= MAX_ROW_AMOUNT
        except RowRefused:
            continue


@pytest.mark.parametrize(
    "text", ["1,00", "1 000", "1e3", "NaN", "inf", "", ".", "-", "--1", "1.2.3", "٣", "0x10", "1_0", ".-5", "-.-5"]
)
def test_what_is_no_decimal_is_refused(text: str) -> None:
    with pytest.raises(RowRefused):
        minor_units(text, 2)


@pytest.mark.parametrize(("text", "exponent", "amount"), [("15000", 0, 150), ("5", 2, 5), ("105", 2, 105), ("0", 0, 0)])
def test_implied_decimals_are_two_whatever_the_currency(text: str, exponent: int, amount: int) -> None:
    assert hundredths(text, exponent) == amount


def test_a_yen_has_no_hundredths() -> None:
    with pytest.raises(RowRefused, match="decimals"):
        hundredths("15050", 0)


@given(st.text(max_size=40))
def test_a_time_is_read_or_refused(text: str) -> None:
    try:
        assert moment(text, OPTIONS.tzinfo()).utcoffset() is not None
    except RowRefused:
        return


def test_deep_and_wide_documents_are_refused() -> None:
    start = b"<Document xmlns='urn:iso:std:iso:20022:tech:xsd:camt.053.001.08'><BkToCstmrStmt><Stmt><Ntry>"
    for content in (start + b"<a>" * 100_000, start + b"<a/>" * 300_000, start + b"x" * 3_000_000):
        camt = next(each for each in FORMATS if each.name == "camt053")
        with pytest.raises(FileRefused):
            list(camt.read(io.BufferedReader(io.BytesIO(content)), OPTIONS))
