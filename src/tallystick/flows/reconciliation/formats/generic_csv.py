"""Any file of delimited text, by a mapping that says which column is what.

Nothing of it is guessed: without a mapping a file is never of this format.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from typing import Annotated, Any, BinaryIO, Final, Literal

import msgspec
from msgspec import Meta, Struct

from tallystick.domain.currencies import EXPONENTS
from tallystick.domain.settlement_file import FilePurpose
from tallystick.domain.settlement_row import RowKind, SettlementRow, keyed_by_content
from tallystick.flows.reconciliation.formats.base import (
    FileRefused,
    Item,
    ReadOptions,
    RowRefused,
    cost_row,
    currency_of,
    integer_units,
    minor_units,
    moment,
    name_of,
    signed,
    text_of,
)
from tallystick.flows.reconciliation.formats.delimited import Cells, Columns, Table, cell, header_of, read_rows

#: Marks of thousands between groups of three digits; in India between groups of two, but for the last one.
_GROUPED: Final = re.compile(r"[0-9]{1,3}(?:,[0-9]{3})+|[0-9]{1,2}(?:,[0-9]{2})+,[0-9]{3}")


class ColumnNames(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which column of the file is what. ``gross`` or ``net`` is there; what is not there follows from ``net = gross -
    fee``. ``direction``: of unsigned amounts, CR or DR. Without ``id`` a row is known by what it says."""

    currency: str | None = None
    gross: str | None = None
    fee: str | None = None
    net: str | None = None
    direction: str | None = None
    type: str | None = None
    id: str | None = None
    batch: str | None = None
    reference: str | None = None
    payment_reference: str | None = None
    merchant_reference: str | None = None
    payout_reference: str | None = None
    payer_amount: str | None = None
    payer_currency: str | None = None
    rate: str | None = None
    method: str | None = None
    country: str | None = None
    occurred_at: str | None = None
    booked_at: str | None = None
    value_on: str | None = None
    text: str | None = None


class CsvMapping(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A mapping file. ``minor_units``: amounts are integers of them. ``currency``: of a file that has no such column.
    ``date_format``: as strptime has it; without one dates are ISO 8601. ``negate``: the provider's signs are the
    opposite of ours; that and the direction are those of what the payer paid too. ``fee_sign``: of a fee that is
    charged. ``complete_batches``: a file has all rows of its batches. ``thousands_mark`` stands between groups of three
    digits, or as in India."""

    columns: ColumnNames
    kinds: dict[str, RowKind] = {}
    delimiter: Annotated[str, Meta(min_length=1, max_length=1)] | None = None
    decimal_mark: Literal[".", ","] = "."
    thousands_mark: Literal["", ".", ",", "'", " "] = ""
    minor_units: bool = False
    negate: bool = False
    fee_sign: Literal["positive", "negative"] = "positive"
    currency: str | None = None
    date_format: str | None = None
    kind: RowKind = "unknown"
    complete_batches: bool = False


def mapping_of(given: Mapping[str, Any] | None) -> CsvMapping:
    """A mapping file's content, checked. Raises FileRefused."""
    if given is None:
        raise FileRefused("no_mapping", "this format needs a mapping file")
    try:
        mapping = msgspec.convert(given, CsvMapping)
    except msgspec.ValidationError as error:
        raise FileRefused("bad_mapping", f"the mapping file: {error}") from None
    names = mapping.columns
    if names.gross is None and names.net is None:
        raise FileRefused("bad_mapping", "the mapping file names neither a gross nor a net column")
    if names.currency is None and mapping.currency is None:
        raise FileRefused("bad_mapping", "the mapping file names no currency, and no column of it")
    if mapping.decimal_mark == mapping.thousands_mark:
        raise FileRefused("bad_mapping", "the mapping file has one mark for decimals and for thousands")
    return mapping


class GenericCsv:
    """By a mapping file."""

    name = "generic_csv"
    version = 2
    provider: str | None = None
    purpose: FilePurpose = "post"

    def recognises(self, head: bytes) -> bool:
        return False

    def is_complete(self, options: ReadOptions, batches: Collection[str], *, has_payouts: bool) -> bool:
        return mapping_of(options.mapping).complete_batches

    def read(self, source: BinaryIO, options: ReadOptions) -> Iterator[Item]:
        mapping = mapping_of(options.mapping)
        table = Table(source, options.encoding, mapping.delimiter)
        used = list(dict.fromkeys(name for name in msgspec.structs.astuple(mapping.columns) if name is not None))
        columns = Columns(header_of(table), used)
        yield from read_rows(table, columns.width, _Rows(columns, mapping, options).read)


class _Rows:
    def __init__(self, columns: Columns, mapping: CsvMapping, options: ReadOptions) -> None:
        named = msgspec.structs.asdict(mapping.columns)
        self._at = {field: columns.at(name) if name is not None else -1 for field, name in named.items()}
        self._mapping, self._options, self._zone = mapping, options, options.tzinfo()

    def read(self, cells: Cells, line: int) -> SettlementRow:
        given = {field: cell(cells, at) for field, at in self._at.items()}
        currency = currency_of(given["currency"] or self._mapping.currency or "")
        gross, fee, net = self._amounts(given, EXPONENTS[currency])
        kind = self._options.kind_of(given["type"], self._mapping.kinds)
        if kind == "unknown" and not given["type"]:
            kind = self._mapping.kind
        payer_currency = currency_of(given["payer_currency"]) if given["payer_currency"] else None
        payer = None
        if payer_currency:
            payer = self._money(given["payer_amount"], given["direction"], EXPONENTS[payer_currency])
        row = SettlementRow(
            position=0,
            line=line,
            batch=name_of(given["batch"]) or "",
            row_key=name_of(given["id"]) or "",
            kind=kind,
            raw_type=given["type"],
            currency=currency,
            gross=gross,
            fee=fee,
            net=net,
            payer_amount=payer,
            payer_currency=payer_currency,
            occurred_at=self._time(given["occurred_at"]),
            booked_at=self._time(given["booked_at"]),
            value_on=at.date() if (at := self._naive(given["value_on"])) else None,
            text=text_of(given["text"]),
            rate=name_of(given["rate"]),
            reference=name_of(given["reference"]),
            payment_reference=name_of(given["payment_reference"]),
            merchant_reference=name_of(given["merchant_reference"]),
            payout_reference=name_of(given["payout_reference"]),
            method=name_of(given["method"]),
            country=name_of(given["country"]),
        )
        row.payout_reference = row.payout_reference or row.batch or None
        if kind in ("fee", "tax"):
            cost_row(row, row.raw_type or kind)
        return row if row.row_key else keyed_by_content(row)

    def _amounts(self, given: Mapping[str, str], exponent: int) -> tuple[int, int, int]:
        gross, net = (self._money(given[name], given["direction"], exponent) for name in ("gross", "net"))
        fee = self._amount(given["fee"], exponent)
        if fee is not None and self._mapping.fee_sign == "negative":
            fee = -fee
        if gross is None and net is None:
            raise RowRefused("not_an_amount", "it has no amount")
        if gross is None:
            return (net or 0) + (fee or 0), fee or 0, net or 0
        if fee is None:
            fee = 0 if net is None else gross - net
        if net is not None and net != gross - fee:
            raise RowRefused("does_not_add_up", "net is not gross less fee")
        return gross, fee, gross - fee

    def _money(self, text: str, direction: str, exponent: int) -> int | None:
        amount = self._amount(text, exponent)
        if amount is not None and self._at["direction"] >= 0:
            amount = signed(amount, direction.upper())
        return -amount if amount is not None and self._mapping.negate else amount

    def _amount(self, text: str, exponent: int) -> int | None:
        if not text:
            return None
        whole, mark, fraction = text.partition(self._mapping.decimal_mark)
        thousands = self._mapping.thousands_mark
        if thousands and thousands in whole:
            if not _GROUPED.fullmatch(whole.lstrip("+-").replace(thousands, ",")):
                raise RowRefused("not_an_amount", "a mark of thousands is not between groups of digits")
            whole = whole.replace(thousands, "")
        if any(each in f"{whole}{fraction}" for each in ".,"):
            raise RowRefused("not_an_amount", "an amount is not a decimal number")
        plain = f"{whole}.{fraction}" if mark else whole
        return integer_units(plain) if self._mapping.minor_units else minor_units(plain, exponent)

    def _time(self, text: str) -> datetime | None:
        naive = self._naive(text)
        return None if naive is None else moment(naive.isoformat(), self._zone)

    def _naive(self, text: str) -> datetime | None:
        if not text:
            return None
        try:
            wanted = self._mapping.date_format
            return datetime.strptime(text, wanted) if wanted else datetime.fromisoformat(text)
        except (ValueError, OverflowError):
            raise RowRefused("not_a_time", "a time cannot be read") from None


FORMAT: Final = GenericCsv()
