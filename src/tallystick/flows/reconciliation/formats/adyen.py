"""Adyen's settlement details report, and its payments accounting report, which is compared and never posted.

Debits and credits are unsigned, in two columns for each currency: a debit is against us. Costs have columns of their
own, and are more than nothing where they are charged. A payment row is known by its type and its modification
reference: the reversal of a refund repeats the refund's.

Source: docs.adyen.com/reporting/settlement-reconciliation/transaction-level/settlement-details-report.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime, tzinfo
from typing import BinaryIO, Final

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
    minor_units,
    moment,
    name_of,
    text_of,
)
from tallystick.flows.reconciliation.formats.delimited import (
    Cells,
    Columns,
    Table,
    cell,
    first_lines,
    has_columns,
    header_of,
    read_rows,
)

#: By small letters: the case of types varies. Types of payouts to third parties are unknown: nothing says which balance
#: they move.
KINDS: Final[Mapping[str, RowKind]] = {
    "settled": "charge",
    "refunded": "refund",
    "refundedreversed": "refund_reversal",
    "chargeback": "dispute",
    "secondchargeback": "dispute",
    "chargebackreversed": "dispute_reversal",
    "settledexternally": "external",
    "refundedexternally": "external",
    "chargebackexternally": "external",
    "fee": "fee",
    "misccosts": "fee",
    "invoicededuction": "fee",
    "paymentcost": "fee",
    "settlecost": "fee",
    "authorisationschemefee": "fee",
    "depositcorrection": "reserve",
    "reserveadjustment": "reserve",
    "balancetransfer": "carry",
    "merchantpayout": "payout",
    "bankinstructionreturned": "payout_reversal",
    "internalcompanypayout": "transfer",
    "matchedstatement": "adjustment",
    "manualcorrected": "adjustment",
}

#: Rows of these kinds are about a payment, and have a modification reference that names what moved.
_OF_PAYMENTS: Final = frozenset({"charge", "refund", "refund_reversal", "dispute", "dispute_reversal", "external"})

#: Cost columns, by what they are called in a row's fee.
_COSTS: Final[Mapping[str, str]] = {
    "commission": "Commission",
    "markup": "Markup",
    "scheme_fees": "Scheme Fees",
    "interchange": "Interchange",
}

#: Abbreviations of time zones that are UTC, for an account without a zone.
_UTC_NAMES: Final = frozenset({"", "UTC", "GMT", "Z"})

#: A payout's text has the name that the bank statement shows too.
_TRANSFER: Final = re.compile(r"\bTX[0-9A-Z]+XT\b", re.ASCII)

DETAILS_REQUIRED: Final = (
    "Psp Reference",
    "Type",
    "Modification Reference",
    "Gross Currency",
    "Gross Debit (GC)",
    "Gross Credit (GC)",
    "Net Currency",
    "Net Debit (NC)",
    "Net Credit (NC)",
    "Batch Number",
)
DETAILS_OPTIONAL: Final = (
    "Merchant Account",
    "Merchant Reference",
    "Payment Method",
    "Creation Date",
    "Booking Date",
    "TimeZone",
    "Exchange Rate",
    "Issuer Country",
    *(f"{name} (NC)" for name in _COSTS.values()),
)

ACCOUNTING_REQUIRED: Final = (
    "Psp Reference",
    "Booking Date",
    "Record Type",
    "Main Currency",
    "Main Amount",
    "Settlement Currency",
    "Payable (SC)",
)
ACCOUNTING_OPTIONAL: Final = (
    "Merchant Account",
    "Merchant Reference",
    "Payment Method",
    "TimeZone",
    "Modification Psp Reference",
    *(f"{name} (SC)" for name in _COSTS.values()),
)


class _Shared:
    """What rows of both reports have. One report is about one merchant account."""

    def __init__(self, columns: Columns, options: ReadOptions, register: str) -> None:
        at = columns.at
        self._options = options
        self._zone: tzinfo = options.tzinfo()
        self._account, self._zone_name = at("Merchant Account"), at("TimeZone")
        self._merchant, self._method = at("Merchant Reference"), at("Payment Method")
        self._psp = at("Psp Reference")
        self._costs = {name: at(f"{column} ({register})") for name, column in _COSTS.items()}
        self._account_name: str | None = None

    def require_place(self, cells: Cells) -> None:
        """Raises FileRefused for rows of a second merchant account, and for times in a zone that the account lacks."""
        account = cell(cells, self._account)
        if account and account != self._account_name:
            if self._account_name is not None:
                raise FileRefused(
                    "several_accounts", "it has rows of several merchant accounts: batches would be mixed"
                )
            self._account_name = account
        if self._options.zone is None and cell(cells, self._zone_name) not in _UTC_NAMES:
            raise FileRefused("zone_unknown", "its times are local: the account needs a zone")

    def time(self, cells: Cells, at: int) -> datetime | None:
        return moment(text, self._zone) if (text := cell(cells, at)) else None

    def parts(self, cells: Cells, exponent: int) -> dict[str, int]:
        read = {name: minor_units(text, exponent) for name, at in self._costs.items() if (text := cell(cells, at))}
        return {name: amount for name, amount in read.items() if amount}


class SettlementDetails:
    """The settlement details report: one file a closed batch. A payout row closes it; a negative batch is carried."""

    name = "adyen_settlement_details"
    version = 2
    provider: str | None = "adyen"
    purpose: FilePurpose = "post"

    def recognises(self, head: bytes) -> bool:
        lines = first_lines(head, 1)
        return bool(lines) and has_columns(lines[0], DETAILS_REQUIRED)

    def is_complete(self, options: ReadOptions, batches: Collection[str], *, has_payouts: bool) -> bool:
        return True

    def read(self, source: BinaryIO, options: ReadOptions) -> Iterator[Item]:
        table = Table(source, options.encoding)
        columns = Columns(header_of(table), DETAILS_REQUIRED, DETAILS_OPTIONAL)
        yield from read_rows(table, columns.width, _Details(columns, options).read)


class _Details(_Shared):
    def __init__(self, columns: Columns, options: ReadOptions) -> None:
        super().__init__(columns, options, "NC")
        at = columns.at
        self._type, self._modification, self._batch = at("Type"), at("Modification Reference"), at("Batch Number")
        self._currency, self._debit, self._credit = at("Net Currency"), at("Net Debit (NC)"), at("Net Credit (NC)")
        self._payer, self._payer_debit = at("Gross Currency"), at("Gross Debit (GC)")
        self._payer_credit, self._rate = at("Gross Credit (GC)"), at("Exchange Rate")
        self._created, self._booked, self._country = at("Creation Date"), at("Booking Date"), at("Issuer Country")

    def read(self, cells: Cells, line: int) -> SettlementRow:
        self.require_place(cells)
        currency = currency_of(cells[self._currency])
        exponent = EXPONENTS[currency]
        net = _credit_less_debit(cell(cells, self._credit), cell(cells, self._debit), exponent)
        parts = self.parts(cells, exponent)
        fee = sum(parts.values())
        raw_type = cells[self._type].strip()
        batch = name_of(cells[self._batch])
        if not raw_type or batch is None:
            raise RowRefused("no_batch", "it has no type, or no batch number")
        row = SettlementRow(
            position=0,
            line=line,
            batch=batch,
            row_key="",
            kind=self._options.kind_of(raw_type, KINDS, raw_type.lower()),
            raw_type=raw_type,
            currency=currency,
            gross=net + fee,
            fee=fee,
            net=net,
            merchant_reference=name_of(cell(cells, self._merchant)),
            payment_reference=name_of(cells[self._psp]),
            method=name_of(cell(cells, self._method)),
            country=name_of(cell(cells, self._country)),
            rate=name_of(cell(cells, self._rate)),
            occurred_at=self.time(cells, self._created),
            booked_at=self.time(cells, self._booked),
            fee_parts=parts or None,
        )
        self._say_what_the_payer_saw(row, cells)
        return self._named(row, cells[self._modification].strip())

    def _say_what_the_payer_saw(self, row: SettlementRow, cells: Cells) -> None:
        debit, credit = cell(cells, self._payer_debit), cell(cells, self._payer_credit)
        if (debit or credit) and (code := cell(cells, self._payer)):
            row.payer_currency = currency_of(code)
            row.payer_amount = _credit_less_debit(credit, debit, EXPONENTS[row.payer_currency])

    def _named(self, row: SettlementRow, modification: str) -> SettlementRow:
        if row.kind in _OF_PAYMENTS and modification:
            row.reference = name_of(modification)
            row.row_key = f"{row.raw_type.lower()}:{row.reference}"
            return row
        row.text = text_of(modification)
        if row.kind == "fee":
            cost_row(row, row.raw_type)
        if row.kind in ("payout", "payout_reversal") and (transfer := _TRANSFER.search(modification)):
            row.payout_reference = transfer[0]
        return keyed_by_content(row)


class Accounting:
    """The payments accounting report: one row a change of status. Only rows that move the payable balance are read, of
    one record type each: earlier ones have the same amounts."""

    name = "adyen_accounting"
    version = 2
    provider: str | None = "adyen"
    purpose: FilePurpose = "compare"

    def recognises(self, head: bytes) -> bool:
        lines = first_lines(head, 1)
        return bool(lines) and has_columns(lines[0], ACCOUNTING_REQUIRED)

    def is_complete(self, options: ReadOptions, batches: Collection[str], *, has_payouts: bool) -> bool:
        return False

    def read(self, source: BinaryIO, options: ReadOptions) -> Iterator[Item]:
        table = Table(source, options.encoding)
        columns = Columns(header_of(table), ACCOUNTING_REQUIRED, ACCOUNTING_OPTIONAL)
        yield from read_rows(table, columns.width, _Accounting(columns, options).read)


class _Accounting(_Shared):
    def __init__(self, columns: Columns, options: ReadOptions) -> None:
        super().__init__(columns, options, "SC")
        at = columns.at
        self._type, self._booked, self._payable = at("Record Type"), at("Booking Date"), at("Payable (SC)")
        self._currency, self._main, self._amount = at("Settlement Currency"), at("Main Currency"), at("Main Amount")
        self._modification = at("Modification Psp Reference")

    def read(self, cells: Cells, line: int) -> SettlementRow | None:
        self.require_place(cells)
        raw_type = cells[self._type].strip()
        kind = self._options.kind_of(raw_type, KINDS, raw_type.lower())
        if kind not in _OF_PAYMENTS:
            return None  # a status, and no movement of the payable balance
        currency = currency_of(cells[self._currency])
        exponent = EXPONENTS[currency]
        net = minor_units(cells[self._payable].strip() or "0", exponent)
        parts = self.parts(cells, exponent)
        gross = net + sum(parts.values())
        payer_currency = currency_of(cells[self._main])
        payer_amount = abs(minor_units(cells[self._amount].strip(), EXPONENTS[payer_currency]))
        psp, modification = name_of(cells[self._psp]), name_of(cell(cells, self._modification))
        row = SettlementRow(
            position=0,
            line=line,
            batch="",
            row_key=f"{raw_type.lower()}:{modification or psp}",
            kind=kind,
            raw_type=raw_type,
            currency=currency,
            gross=gross,
            fee=gross - net,
            net=net,
            payer_amount=-payer_amount if gross < 0 else payer_amount,
            payer_currency=payer_currency,
            reference=modification,
            payment_reference=psp,
            merchant_reference=name_of(cell(cells, self._merchant)),
            method=name_of(cell(cells, self._method)),
            booked_at=self.time(cells, self._booked),
            fee_parts=parts or None,
        )
        return row if modification or psp else keyed_by_content(row)


def _credit_less_debit(credit: str, debit: str, exponent: int) -> int:
    amounts = [minor_units(text or "0", exponent) for text in (credit, debit)]
    if min(amounts) < 0:
        raise RowRefused("signed", "a debit or a credit has a sign")
    return amounts[0] - amounts[1]


FORMATS: Final = (SettlementDetails(), Accounting())
