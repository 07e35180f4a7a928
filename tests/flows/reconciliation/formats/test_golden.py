"""Each format reads its golden files as they were written down by hand, however they are delimited, quoted and
encoded."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter

import pytest
from msgspec.structs import replace

from tallystick.domain.settlement_row import SettlementRow
from tallystick.flows.reconciliation.formats.base import HEAD_BYTES, FileRefused, ReadOptions
from tallystick.flows.reconciliation.registry import AUTO, FORMATS, format_of
from tests.support.settlement_files import (
    expected_of,
    golden_file,
    golden_names,
    options_of,
    read_bytes,
    shown_all,
)

NAMES = golden_names()

#: Those of delimited text with a header line.
DELIMITED = [name for name in NAMES if golden_file(name).suffix == ".csv" and name != "paypal_stl"]


def format_name(name: str) -> str:
    known: str = expected_of(name)["format"]
    return known if known == "generic_csv" else AUTO


@pytest.mark.parametrize("name", NAMES)
def test_a_golden_file_comes_to_what_is_written_beside_it(name: str) -> None:
    expected = expected_of(name)
    found = shown_all(read_bytes(golden_file(name).read_bytes(), options_of(name), format_name(name)))
    assert found == {part: expected[part] for part in ("rows", "bad", "totals")}


@pytest.mark.parametrize("name", NAMES)
def test_one_format_alone_recognises_it(name: str) -> None:
    head = golden_file(name).read_bytes()[:HEAD_BYTES]
    wanted = expected_of(name)["format"]
    assert [each.name for each in FORMATS if each.recognises(head)] == ([wanted] if wanted != "generic_csv" else [])


@pytest.mark.parametrize("name", NAMES)
def test_every_row_adds_up(name: str) -> None:
    for item in read_bytes(golden_file(name).read_bytes(), options_of(name), format_name(name)):
        if isinstance(item, SettlementRow):
            assert item.net == item.gross - item.fee
            assert item.fee_parts is None or sum(item.fee_parts.values()) == item.fee


def rewritten(name: str, delimiter: str, quoting: int, *, backwards: bool = False) -> str:
    text = golden_file(name).read_bytes().decode("utf-8-sig")
    rows = list(csv.reader(io.StringIO(text), delimiter=";" if name == "generic_csv" else ","))
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, quoting=quoting)  # type: ignore[arg-type]  # one of csv's constants
    writer.writerows([*row[::-1], "x"] if backwards else [*row, "x"] for row in rows)
    return out.getvalue()


@pytest.mark.parametrize("name", DELIMITED)
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
@pytest.mark.parametrize("backwards", [False, True])
def test_neither_order_nor_delimiter_nor_more_columns_matter(
    name: str, delimiter: str, quoting: int, backwards: bool
) -> None:
    """A column called x stands beside the others. What a row is known by stays too."""
    given = read_bytes(golden_file(name).read_bytes(), options_of(name), format_name(name))
    text = rewritten(name, delimiter, quoting, backwards=backwards)
    assert read_bytes(text.encode(), options_of(name), format_name(name)) == given


@pytest.mark.parametrize("name", DELIMITED)
@pytest.mark.parametrize(
    ("mark", "encoding"),
    [(codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")],
)
def test_a_byte_order_mark_says_the_encoding(name: str, mark: bytes, encoding: str) -> None:
    given = golden_file(name).read_bytes()
    again = mark + given.decode("utf-8-sig").encode(encoding)
    options, wanted = options_of(name), format_name(name)
    assert read_bytes(again, options, wanted) == read_bytes(given, options, wanted)


def test_the_encoding_of_the_account_is_used() -> None:
    given = golden_file("generic_csv").read_bytes().decode("utf-8-sig")
    options = replace(options_of("generic_csv"), encoding="cp1252")
    assert read_bytes(given.encode("cp1252"), options, "generic_csv") == read_bytes(
        given.encode(), options_of("generic_csv"), "generic_csv"
    )
    with pytest.raises(FileRefused, match="encoding"):
        read_bytes(given.encode("cp1252"), options_of("generic_csv"), "generic_csv")


@pytest.mark.parametrize("name", [*DELIMITED, "paypal_stl"])
def test_a_required_column_that_is_missing_or_doubled_refuses_the_file(name: str) -> None:
    lines = golden_file(name).read_bytes().decode("utf-8-sig").splitlines()
    at = next(place for place, line in enumerate(lines) if not line.startswith(('"RH', '"FH', '"SH')))
    delimiter = ";" if name == "generic_csv" else ","
    header = next(csv.reader([lines[at]], delimiter=delimiter))
    used = "Transaction ID" if name == "paypal_stl" else {"generic_csv": "Betrag"}.get(name, header[0])
    used = {"adyen": "Psp Reference", "stripe": "currency"}.get(name.partition("_")[0], used)
    for replaced in (["renamed" if cell == used else cell for cell in header], [*header[:-1], used]):
        changed = [*lines[:at], delimiter.join(replaced), *lines[at + 1 :]]
        with pytest.raises(FileRefused) as caught:
            read_bytes("\n".join(changed).encode(), options_of(name), expected_of(name)["format"])
        assert caught.value.reason in ("missing_columns", "doubled_columns", "not_this_format")


def test_rows_that_are_alike_have_the_same_key() -> None:
    """The importer counts them: two equal fee rows are two rows."""
    items = read_bytes(golden_file("adyen_settlement_details").read_bytes(), options_of("adyen_settlement_details"))
    keys = Counter(each.row_key for each in items if isinstance(each, SettlementRow) and each.kind == "fee")
    assert list(keys.values()) == [2]


def test_an_account_says_what_a_type_is() -> None:
    options = ReadOptions(kinds={"cheese_bonus": "adjustment"})
    items = read_bytes(golden_file("stripe_payout_reconciliation").read_bytes(), options)
    kinds = {each.raw_type: each.kind for each in items if isinstance(each, SettlementRow)}
    assert kinds["cheese_bonus"] == "adjustment"


def test_local_times_need_the_zone_of_the_account() -> None:
    with pytest.raises(FileRefused, match="zone"):
        read_bytes(golden_file("adyen_settlement_details").read_bytes())


def test_a_report_of_several_merchant_accounts_is_refused() -> None:
    text = golden_file("adyen_settlement_details").read_text().replace("ShopEU,PSP5", "ShopUS,PSP5")
    with pytest.raises(FileRefused, match="several merchant accounts"):
        read_bytes(text.encode(), options_of("adyen_settlement_details"))


def test_a_bank_whose_reversals_are_the_other_way_round() -> None:
    options = ReadOptions(zone="Europe/Zurich", reversals="inverted")
    rows = read_bytes(golden_file("camt053_v2").read_bytes(), options)
    assert [each.net for each in rows if isinstance(each, SettlementRow)] == [600]


@pytest.mark.parametrize("name", [each for each in NAMES if expected_of(each)["format"] == "camt053"])
@pytest.mark.parametrize(
    "injected",
    [
        '<!DOCTYPE Document [<!ENTITY a "b">]>',
        '<!DOCTYPE Document SYSTEM "file:///etc/passwd">',
        '<!DOCTYPE Document [<!ENTITY x SYSTEM "http://127.0.0.1:9/">]>',
    ],
)
def test_document_types_and_entities_are_refused(name: str, injected: str) -> None:
    text = golden_file(name).read_text("latin-1").replace("<Document", f"{injected}<Document", 1)
    with pytest.raises(FileRefused, match="document type"):
        read_bytes(text.encode("latin-1"), options_of(name))


@pytest.mark.parametrize("number", ["02", "03", "04", "05", "06", "07", "08", "09", "12"])
def test_each_version_of_the_statement_is_read(number: str) -> None:
    """By its structure, whatever its number."""
    text = golden_file("camt053_v8").read_text().replace("camt.053.001.08", f"camt.053.001.{number}")
    found = shown_all(read_bytes(text.encode(), options_of("camt053_v8")))
    assert found["rows"] == expected_of("camt053_v8")["rows"]


def test_the_report_of_intraday_movements_is_no_statement() -> None:
    text = golden_file("camt053_v8").read_text()
    text = text.replace("camt.053.001.08", "camt.052.001.08").replace("BkToCstmrStmt", "BkToCstmrAcctRpt")
    with pytest.raises(FileRefused):
        read_bytes(text.encode(), options_of("camt053_v8"), "camt053")


def test_footers_that_the_rows_do_not_meet_say_so() -> None:
    text = golden_file("paypal_stl").read_text().replace('"SF","USD",10100', '"SF","USD",10200')
    totals = shown_all(read_bytes(text.encode()))["totals"]
    assert [("fault" in each, each["total"]) for each in totals] == [(True, 444), (False, 4820)]


@pytest.mark.parametrize("name", NAMES)
def test_a_cut_file_never_gives_another_row(name: str) -> None:
    """What is read of the beginning is a beginning of what is read of the whole, but for the row that was cut."""
    content, options, wanted = golden_file(name).read_bytes(), options_of(name), expected_of(name)["format"]
    whole = [each for each in read_bytes(content, options, wanted) if isinstance(each, SettlementRow)]
    for size in range(len(content) // 2, len(content), 37):
        try:
            part = read_bytes(content[:size], options, wanted)
        except FileRefused:
            continue
        rows = [each for each in part if isinstance(each, SettlementRow)]
        assert rows[:-1] == whole[: max(len(rows) - 1, 0)]


def test_a_format_that_is_named_must_recognise_the_file() -> None:
    with pytest.raises(FileRefused, match="does not begin"):
        format_of("mt940", golden_file("camt053_v8").read_bytes())
    with pytest.raises(FileRefused, match="no format"):
        format_of("excel", b"")


def test_a_currency_that_comes_to_nothing_may_have_no_footer() -> None:
    """Of what comes to something it says by how much; without any footer nothing is said."""
    text = golden_file("paypal_stl").read_text()
    lines = [line for line in text.splitlines() if not line.startswith(('"SF","JPY"', '"RF","JPY"'))]
    totals = shown_all(read_bytes("\n".join(lines).encode()))["totals"]
    assert [(each["currency"], each["total"]) for each in totals] == [("USD", 344), ("JPY", 0)]
    lines = [line for line in lines if not line.startswith('"SF"')]
    assert shown_all(read_bytes("\n".join(lines).encode()))["totals"] == []


def test_a_transaction_has_one_name_in_two_currencies() -> None:
    """Neither takes the other's place in a report that is made again in another order."""
    text = golden_file("paypal_stl").read_text()
    at = "2026/03/02 03:00:00 -0800"
    leg = f'"SB","T3","order-3","","","T0200",{at},{at},"CR",4800,"XXX","",0,"USD","","","","",""\n'
    legs = [leg.replace("XXX", currency) for currency in ("USD", "EUR")]
    for order in (legs, legs[::-1]):
        items = read_bytes(text.replace('"SB","T4"', f'{"".join(order)}"SB","T4"', 1).encode())
        found = {each.row_key: each.currency for each in items if isinstance(each, SettlementRow)}
        assert (found["T0200:T3:USD"], found["T0200:T3:EUR"]) == ("USD", "EUR")


def test_the_case_of_a_type_is_no_other_row() -> None:
    text = golden_file("adyen_settlement_details").read_text()
    options = options_of("adyen_settlement_details")
    keys = [
        [each.row_key for each in read_bytes(content.encode(), options) if isinstance(each, SettlementRow)]
        for content in (text, text.replace(",Refunded,", ",refunded,"))
    ]
    assert keys[0] == keys[1] and "refunded:MOD3" in keys[0]


@pytest.mark.parametrize(
    ("written", "day"),
    [
        ("2026-03-02", "2026-03-01T23:00:00+00:00"),
        ("2026-03-02Z", "2026-03-02T00:00:00+00:00"),
        ("2026-03-02+02:00", "2026-03-01T22:00:00+00:00"),
        ("2026-03-02-05:00", "2026-03-02T05:00:00+00:00"),
    ],
)
def test_a_date_of_an_entry_may_have_an_offset(written: str, day: str) -> None:
    text = re.sub(
        r"<BookgDt>.*?</BookgDt>", f"<BookgDt><Dt>{written}</Dt></BookgDt>", golden_file("camt053_v8").read_text()
    )
    rows = read_bytes(text.encode(), replace(options_of("camt053_v8"), zone="Europe/Zurich"))
    found = {each.booked_at.isoformat() for each in rows if isinstance(each, SettlementRow) and each.booked_at}
    assert found == {day}


@pytest.mark.parametrize(
    ("written", "day"),
    [("260230", "2026-02-28"), ("260229", "2026-02-28"), ("240230", "2024-02-29"), ("240229", "2024-02-29")],
)
def test_thirty_days_of_february(written: str, day: str) -> None:
    """Banks count interest by months of thirty days. No other month has days that it has not."""
    text = golden_file("mt940").read_text()
    [row] = [
        each
        for each in read_bytes(text.replace(":61:260230C", f":61:{written}C").encode())
        if isinstance(each, SettlementRow) and each.other_references == ["LAST"]
    ]
    assert row.value_on is not None and row.value_on.isoformat() == day
