"""PayPal's settlement report (STL): sections of one account and day, with a footer for each currency.

Records are told apart by their first field; the columns of a section stand in its ``CH`` record. Amounts are digits
with two implied decimals, whatever the currency. The gross amount has a direction, and the fee one of its own. A
transaction's id is its own within an account, a currency and an event code.

A large report comes in several files, which say their numbers. A section that goes on in the next file repeats its
header there, and has its footers in the file in which it ends; so only all of its files together prove it.

Source: developer.paypal.com/docs/reports/sftp-reports/settlement-report.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import BinaryIO, Final

from tallystick.domain.currencies import EXPONENTS
from tallystick.domain.settlement_file import BadRow, FilePurpose, StatedTotal
from tallystick.domain.settlement_row import RowKind, SettlementRow
from tallystick.flows.reconciliation.formats.base import (
    FileRefused,
    Item,
    ReadOptions,
    RowRefused,
    cost_row,
    currency_of,
    hundredths,
    moment,
    name_of,
    signed,
)
from tallystick.flows.reconciliation.formats.delimited import Cells, Columns, Table, cell, first_lines, header_cells

#: By event code. What is not here, or in the ranges below, is unknown: an account may say what it is.
KINDS: Final[Mapping[str, RowKind]] = {
    "T0200": "conversion",
    "T0201": "conversion",
    "T1101": "payout_reversal",  # of a withdrawal to a bank
    "T1106": "dispute",
    "T1107": "refund",
    "T1108": "fee",
    "T1110": "reserve",
    "T1111": "reserve",
    "T1201": "dispute",
    "T1202": "dispute_reversal",
    "T1900": "adjustment",
}

#: By the first three characters of an event code.
_RANGES: Final[Mapping[str, RowKind]] = {"T01": "fee", "T03": "transfer", "T04": "payout"}

REQUIRED: Final = (
    "Transaction ID",
    "Transaction Event Code",
    "Transaction Initiation Date",
    "Transaction Completion Date",
    "Transaction Debit or Credit",
    "Gross Transaction Amount",
    "Gross Transaction Currency",
    "Fee Debit or Credit",
    "Fee Amount",
)
OPTIONAL: Final = (
    "Fee Currency",
    "Invoice ID",
    "PayPal Reference ID",
    "PayPal Reference ID Type",
    "Custom Field",
    "Bank Reference ID",
)

#: A report has these records; another first field is none.
_RECORDS: Final = frozenset({"RH", "FH", "SH", "CH", "SB", "SF", "SC", "RF", "RC", "FF"})
_FIRST: Final = frozenset({"RH", "FH", "SH"})

#: Fields of a section's footer: the record, the currency, and the sums of gross and of fees. Then come balances, each
#: after its direction: available at the beginning and at the end.
_FOOTER_FIELDS: Final = 6
_BALANCE_FIELDS: Final = 10

#: A report has no more files.
_MAX_NUMBER_CHARS: Final = 9

_TIME: Final = re.compile(r"(\d{4})/(\d\d)/(\d\d) (\d\d:\d\d:\d\d) ?([+-]\d\d)(\d\d)", re.ASCII)


class PaypalStl:
    """The settlement report. A section in several files has its footers in the last one. An object reads one file, and
    knows afterwards whether it has its sections whole."""

    name = "paypal_stl"
    version = 4
    provider: str | None = "paypal"
    purpose: FilePurpose = "post"

    def __init__(self) -> None:
        self._is_whole = True

    def recognises(self, head: bytes) -> bool:
        lines = first_lines(head, 8)
        begins = [next(iter(header_cells(line, delimiter)), "") for line in lines for delimiter in (",", "\t")]
        found = {each.upper() for each in begins}
        return bool(lines) and bool(found & _FIRST) and "CH" in found | ({"CH"} if "SF" in found else set())

    def is_complete(self, options: ReadOptions, batches: Collection[str], *, has_payouts: bool) -> bool:
        return self._is_whole

    def read(self, source: BinaryIO, options: ReadOptions) -> Iterator[Item]:
        table = Table(source, options.encoding, None)
        report = _Report(options)
        for cells in table.rows():
            if isinstance(cells, BadRow):
                yield cells
                continue
            try:
                yield from report.record(cells, table.line)
            except RowRefused as error:
                yield BadRow(line=table.line, reason=error.reason, detail=error.detail)
        if not report.began:
            raise FileRefused("no_section", "the report has no section")
        yield from report.unstated()
        self._is_whole = report.is_whole


class _Sums:
    """Gross credits and debits, and fee credits and debits, of one currency in a section, in minor units."""

    def __init__(self) -> None:
        self.gross = [0, 0]
        self.fees = [0, 0]

    def add(self, gross: int, fee: int) -> None:
        self.gross[gross < 0] += abs(gross)
        self.fees[fee > 0] += abs(fee)


class _Report:
    """Where in the report we are: the section, its columns, and its sums."""

    def __init__(self, options: ReadOptions) -> None:
        self._options = options
        self._columns: Columns | None = None
        self._batch: str | None = None
        self._account: str | None = None
        self._from_on: date | None = None
        self._to_on: date | None = None
        self._sums: defaultdict[str, _Sums] = defaultdict(_Sums)
        self._stated = set[str]()
        self._number: int | None = None
        self._have_ended = True
        self.began = False

    @property
    def _begins(self) -> bool:
        """Whether the report begins with this file: then what is in its sections is here from their beginning."""
        return self._number is None or self._number <= 1

    @property
    def is_whole(self) -> bool:
        """Whether every section begins and ends in this file, by its number and by its footers."""
        return self._begins and self._have_ended and self._has_ended()

    def _has_ended(self) -> bool:
        return not self._sums or bool(self._stated)

    def record(self, cells: Cells, line: int) -> Iterator[Item]:
        """What one record comes to. Raises RowRefused and FileRefused."""
        kind = cells[0].strip().lstrip("\ufeff").upper()
        if kind not in _RECORDS:
            if not self.began and line == 1:
                raise FileRefused("not_this_format", "it does not begin as a settlement report does")
            raise RowRefused("unknown_record", "it is no record of a settlement report")
        match kind:
            case "FH":
                self._number = _number(cells) if self._number is None else self._number  # files may be joined
            case "SH":
                yield from self._next_section(cells)
            case "CH":
                self._columns = Columns(cells[1:], REQUIRED, OPTIONAL)
                _require_fee_currency(self._columns)
            case "SB":
                yield self._body(cells[1:], line)
            case "SF":
                yield self._footer(cells)

    def _next_section(self, cells: Cells) -> Iterator[Item]:
        """A header that comes again in a further file goes on with its section."""
        try:
            start, end = _time(cells[1]), _time(cells[2])
            account = name_of(cells[3])
        except (IndexError, RowRefused):
            raise FileRefused("bad_section", "a section header has no start, end or account") from None
        batch = f"{account or ''}:{start.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
        if batch == self._batch:
            return
        yield from self.unstated()
        self._have_ended = self._have_ended and self._has_ended()
        self._batch = batch
        self._account, self._from_on = account, start.date()
        self._to_on = max(start, end - timedelta(seconds=1)).date()
        self._sums.clear()
        self._stated.clear()
        self.began = True

    def _body(self, cells: Cells, line: int) -> SettlementRow:
        columns = self._columns
        self._require_section()
        if columns is None or self._batch is None:
            raise FileRefused("no_columns", "a row stands before the section and its columns")
        if len(cells) != columns.width:
            raise RowRefused("other_width", f"it has {len(cells)} fields, and the columns are {columns.width}")
        given = {name: cell(cells, columns.at(name)) for name in (*REQUIRED, *OPTIONAL)}
        row = self._row(given, line, self._batch)
        self._sums[row.currency].add(*self._amounts(given, row.currency))
        return row

    def _require_section(self) -> None:
        """Raises FileRefused for a file that goes on with a section whose header is in an earlier one: nothing here
        says which section that is."""
        if self._batch is None and not self._begins:
            raise FileRefused(
                "section_elsewhere",
                "it goes on with a section that begins in an earlier file of the report: join the report's files in"
                " their order, and import them as one",
            )

    def _amounts(self, given: Mapping[str, str], currency: str) -> tuple[int, int]:
        exponent = EXPONENTS[currency]
        gross = hundredths(given["Gross Transaction Amount"] or "0", exponent)
        fee = hundredths(given["Fee Amount"] or "0", exponent)
        if fee and given["Fee Currency"] and currency_of(given["Fee Currency"]) != currency:
            raise RowRefused("fee_in_another_currency", "its fee is in another currency than its amount")
        return (
            signed(gross, given["Transaction Debit or Credit"].upper()) if gross else 0,
            -signed(fee, given["Fee Debit or Credit"].upper()) if fee else 0,
        )

    def _row(self, given: Mapping[str, str], line: int, batch: str) -> SettlementRow:
        currency = currency_of(given["Gross Transaction Currency"])
        gross, fee = self._amounts(given, currency)
        code, key = given["Transaction Event Code"].upper(), name_of(given["Transaction ID"])
        if key is None or not code:
            raise RowRefused("no_id", "it has no transaction id, or no event code")
        kind = self._kind(code, gross)
        related = name_of(given["PayPal Reference ID"])
        of_a_transaction = related is not None and given["PayPal Reference ID Type"].upper() == "TXN"
        bank = name_of(given["Bank Reference ID"])
        names_payout = kind == "payout_reversal" and of_a_transaction
        others = [None if of_a_transaction and kind != "charge" else related, name_of(given["Custom Field"])]
        if names_payout:
            others.append(bank)
        row = SettlementRow(
            position=0,
            line=line,
            batch=batch,
            row_key=f"{code}:{key}:{currency}",
            kind=kind,
            raw_type=code,
            currency=currency,
            gross=gross,
            fee=fee,
            net=gross - fee,
            payer_amount=gross if kind in _OF_PAYERS else None,
            payer_currency=currency if kind in _OF_PAYERS else None,
            reference=key,
            payment_reference=key if kind == "charge" else related if of_a_transaction and not names_payout else None,
            merchant_reference=name_of(given["Invoice ID"]),
            payout_reference=related if names_payout else bank,
            occurred_at=_time(given["Transaction Initiation Date"]).astimezone(UTC),
            booked_at=_time(given["Transaction Completion Date"]).astimezone(UTC),
            other_references=[each for each in others if each] or None,
            fee_parts={"transaction": fee} if fee else None,
        )
        if kind == "fee":
            cost_row(row, code)
        return row

    def _kind(self, code: str, gross: int) -> RowKind:
        known = KINDS.get(code) or _RANGES.get(code[:3])
        if known is None and code.startswith("T00"):
            known = "transfer" if gross < 0 else "charge"
        return self._options.kind_of(code, {code: known} if known else {})

    def unstated(self) -> Iterator[StatedTotal]:
        """At the end of a section: of its currencies those that come to nothing may have no footer. A section
        without any footer says nothing of them."""
        if self._batch is None or not self._stated:
            return
        for currency in sorted(self._sums.keys() - self._stated):
            yield StatedTotal(
                batch=self._batch,
                currency=currency,
                proof="footer",
                total=0,
                balance_account=self._account,
                from_on=self._from_on,
                to_on=self._to_on,
            )

    def _footer(self, cells: Cells) -> StatedTotal:
        self._require_section()
        if self._batch is None or len(cells) < _FOOTER_FIELDS:
            raise RowRefused("bad_footer", "a footer has too few fields, or no section")
        currency = currency_of(cells[1])
        credits, debits, first, second = (
            hundredths(text.strip() or "0", EXPONENTS[currency]) for text in cells[2:_FOOTER_FIELDS]
        )
        sums = self._sums[currency]
        fees = self._fees(cells, currency, credits - debits, (first, second))
        met = not self._begins or [credits, debits, *fees] == [*sums.gross, *sums.fees]
        self._stated.add(currency)
        return StatedTotal(
            batch=self._batch,
            currency=currency,
            proof="footer",
            total=(total := credits - debits + fees[0] - fees[1]),
            opening=(balances := _balances(cells, currency, total))[0],
            closing=balances[1],
            balance_account=self._account,
            from_on=self._from_on,
            to_on=self._to_on,
            fault=None if met else "sums of gross or of fees in the footer differ from the rows'",
        )

    def _fees(self, cells: Cells, currency: str, gross: int, given: tuple[int, int]) -> tuple[int, int]:
        """Credits and debits: which of the two stands first differs between versions of the report. The rows decide, or
        the balances where not all rows are here."""
        back = (given[1], given[0])
        if self._begins:
            return back if given != (known := tuple(self._sums[currency].fees)) and back == known else given
        for fees in (given, back):
            if _balances(cells, currency, gross + fees[0] - fees[1])[0] is not None:
                return fees
        return given


def _balances(cells: Cells, currency: str, total: int) -> tuple[int, int] | tuple[None, None]:
    """What the account had available at the beginning and at the end; nothing where the two are not ``total`` apart:
    then these fields are something else than we take them for."""
    begin, end = cells[_FOOTER_FIELDS : _FOOTER_FIELDS + 2], cells[_FOOTER_FIELDS + 2 : _BALANCE_FIELDS]
    if len(cells) < _BALANCE_FIELDS:
        return None, None
    try:
        opening, closing = (
            signed(hundredths(amount.strip() or "0", EXPONENTS[currency]), direction.strip())
            for direction, amount in (begin, end)
        )
    except RowRefused:
        return None, None
    return (opening, closing) if closing - opening == total else (None, None)


#: What the payer saw is the amount itself.
_OF_PAYERS: Final = frozenset({"charge", "refund", "dispute", "charge_reversal", "dispute_reversal"})


def _number(cells: Cells) -> int:
    """The number of the file in its report; 1 where it does not say it."""
    text = cells[1].strip() if len(cells) > 1 else ""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _MAX_NUMBER_CHARS else 1


def _require_fee_currency(columns: Columns) -> None:
    if not columns.has("Fee Currency"):
        raise FileRefused("missing_columns", "columns are missing: Fee Currency")


def _time(text: str) -> datetime:
    match = _TIME.fullmatch(text.strip())
    if match is None:
        raise RowRefused("not_a_time", "a time cannot be read")
    year, month, day, clock, hours, minutes = match.groups()
    written = f"{year}-{month}-{day}T{clock}{hours}:{minutes}"
    moment(written, UTC)  # which refuses what is no time
    return datetime.fromisoformat(written)


FORMAT: Final = PaypalStl()
