"""Stripe's itemised reports: payout reconciliation, balance changes, and payouts.

Columns are chosen for each run. Amounts are in major units of the balance's currency, signed; ``net = gross - fee``. A
row is known by ``balance_transaction_id``. Only an automatic payout names its rows.

Source: docs.stripe.com/reports/balance, docs.stripe.com/reports/reporting-categories.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, tzinfo
from operator import itemgetter
from typing import BinaryIO, Final

from tallystick.domain.currencies import EXPONENTS
from tallystick.domain.settlement_file import FilePurpose
from tallystick.domain.settlement_row import RowKind, SettlementRow
from tallystick.flows.reconciliation.formats.base import (
    MAX_NAME_CHARS,
    MAX_TEXT_CHARS,
    FileRefused,
    Item,
    ReadOptions,
    RowRefused,
    cost_row,
    currency_of,
    day,
    minor_units,
    moment,
    name_of,
)
from tallystick.flows.reconciliation.formats.delimited import (
    Cells,
    Columns,
    Table,
    first_lines,
    has_columns,
    header_of,
    read_rows,
)

REQUIRED: Final = ("balance_transaction_id", "currency", "gross", "fee", "net", "reporting_category")

#: Those that are read where they are. A time has a twin in UTC, which is taken where both are there.
OPTIONAL: Final = (
    "created_utc",
    "created",
    "effective_at_utc",
    "effective_at",
    "available_on_utc",
    "available_on",
    "payout_expected_arrival_date",
    "source_id",
    "description",
    "customer_facing_amount",
    "customer_facing_currency",
    "automatic_payout_id",
    "payout_id",
    "charge_id",
    "payment_intent_id",
    "payment_method_type",
    "card_country",
    "trace_id",
    "balance_type",
    "payment_metadata[tallystick_attempt]",
    "refund_metadata[tallystick_attempt]",
)

#: Categories that Stripe offers and that are not here are unknown: to book them as a fee would hide money.
KINDS: Final[Mapping[str, RowKind]] = {
    "charge": "charge",
    "charge_failure": "charge_reversal",
    "partial_capture_reversal": "charge_reversal",
    "refund": "refund",
    "refund_failure": "refund_reversal",
    "dispute": "dispute",
    "dispute_reversal": "dispute_reversal",
    "fee": "fee",
    "network_cost": "fee",
    "tax": "tax",
    "risk_reserved_funds": "reserve",
    "connect_reserved_funds": "reserve",
    "payout": "payout",
    "payout_reversal": "payout_reversal",
    "transfer": "transfer",
    "transfer_reversal": "transfer",
    "connect_collection_transfer": "transfer",
    "platform_earning": "transfer",
    "platform_earning_refund": "transfer",
    "topup": "transfer",
    "topup_reversal": "transfer",
    "other_adjustment": "adjustment",
}

#: A charge is named by its PaymentIntent; what else moved has a name of its own, and the charge's beside it.
_OF_A_CHARGE: Final = frozenset({"charge", "charge_reversal"})
_CLOSING: Final = frozenset({"payout", "payout_reversal"})


class Stripe:
    """The three reports: which one it is follows from its columns."""

    name = "stripe"
    version = 2
    provider: str | None = "stripe"
    purpose: FilePurpose = "post"

    def recognises(self, head: bytes) -> bool:
        lines = first_lines(head, 1)
        return bool(lines) and has_columns(lines[0], REQUIRED)

    def is_complete(self, options: ReadOptions, batches: Collection[str], *, has_payouts: bool) -> bool:
        return "" not in batches and not has_payouts  # the report of a payout's rows, and not of a month's

    def read(self, source: BinaryIO, options: ReadOptions) -> Iterator[Item]:
        table = Table(source, options.encoding)
        columns = Columns(header_of(table), REQUIRED, OPTIONAL)
        if not any(columns.has(name) for name in ("created_utc", "created", "effective_at_utc", "effective_at")):
            raise FileRefused("missing_columns", "columns are missing: created_utc")
        reader = _Rows(columns, options)
        yield from read_rows(table, columns.width, reader.read)


class _Rows:
    """Reads the rows of one file."""

    def __init__(self, columns: Columns, options: ReadOptions) -> None:
        at, zone = columns.at, options.tzinfo()
        made, self._made_zone = _first(columns, zone, "created", "effective_at")
        available, _ = _first(columns, zone, "available_on", "payout_expected_arrival_date")
        self._kinds: Mapping[str, RowKind] = {**KINDS, **options.kinds}
        self._amounts = itemgetter(*map(at, ("currency", "gross", "fee", "net")))
        places = [*map(at, ("balance_type", "reporting_category", REQUIRED[0])), made]
        places += map(at, ("payout_id", "automatic_payout_id", "payment_method_type", "card_country"))
        places += [available, *map(at, ("description", "customer_facing_amount", "customer_facing_currency"))]
        places += map(at, ("source_id", "charge_id", "payment_intent_id", "trace_id", *OPTIONAL[-2:]))
        self._texts = itemgetter(*places)

    def read(self, cells: Cells, line: int) -> SettlementRow:
        """One row. Raises RowRefused."""
        cells.append("")  # at -1: what a column says that the file does not have
        code, gross_text, fee_text, net_text = self._amounts(cells)
        currency = currency_of(code)
        exponent = EXPONENTS[currency]
        gross = minor_units(gross_text, exponent)
        fee = minor_units(fee_text, exponent)
        net = minor_units(net_text, exponent)
        if net != gross - fee:
            raise RowRefused("does_not_add_up", "net is not gross less fee")
        balance, category, own, made, payout, automatic, method, country, available, text, paid, paid_in, *names = map(
            str.strip, self._texts(cells)
        )
        if balance and balance != "payments":
            raise RowRefused("other_balance", "it moves another balance than that of payments")
        if (key := name_of(own)) is None:
            raise RowRefused("no_id", "it has no balance_transaction_id")
        made_at = moment(made, self._made_zone)
        payout = payout or automatic
        may_be_long = len("".join((payout, method, country, *names))) > MAX_NAME_CHARS
        if may_be_long:
            _refuse_long(payout, method, country)
        row = SettlementRow(
            position=0,
            line=line,
            batch=payout,
            row_key=key,
            kind=self._kinds.get(category, "unknown"),
            raw_type=category,
            currency=currency,
            gross=gross,
            fee=fee,
            net=net,
            payout_reference=payout or None,
            method=method or None,
            country=country or None,
            occurred_at=made_at,
            booked_at=made_at,
            value_on=day(available) if available else None,
            text=text[:MAX_TEXT_CHARS] or None,
        )
        _name(row, *names, may_be_long=may_be_long)
        if paid and paid_in:
            row.payer_currency = currency_of(paid_in)
            is_gross = row.payer_currency == currency and paid == gross_text  # nearly always
            row.payer_amount = gross if is_gross else minor_units(paid, EXPONENTS[row.payer_currency])
        if row.kind in ("fee", "tax"):
            cost_row(row, category)
        return row


def _name(
    row: SettlementRow,
    source: str,
    charge: str,
    intent: str,
    trace: str,
    payments_attempt: str,
    refunds_attempt: str,
    *,
    may_be_long: bool,
) -> None:
    """What the row is about. Raises RowRefused."""
    if row.kind in _CLOSING:
        if may_be_long:
            _refuse_long(source, charge, intent, trace)
        row.reference = source or row.payout_reference
        row.batch = row.batch or row.reference or ""
        row.payout_reference = row.payout_reference or row.reference
        row.other_references = [trace] if trace else None
        return
    # What we wrote there: it names a payment of which no answer came.
    attempt = payments_attempt if row.kind == "charge" else refunds_attempt if row.kind == "refund" else ""
    if may_be_long:
        _refuse_long(source, charge, intent, attempt)
    row.reference = ((charge or source) if row.kind in _OF_A_CHARGE else source) or None
    row.payment_reference = intent or charge or None
    row.merchant_reference = attempt or None
    if charge and charge not in (row.reference, row.payment_reference):
        row.other_references = [charge]


def _refuse_long(*names: str) -> None:
    for each in names:
        name_of(each)


def _first(columns: Columns, zone: tzinfo, *names: str) -> tuple[int, tzinfo]:
    """Where the first of these times is, in UTC before in the zone of the report."""
    for name in names:
        if columns.has(f"{name}_utc"):
            return columns.at(f"{name}_utc"), UTC
        if columns.has(name):
            return columns.at(name), zone
    return -1, zone


FORMAT: Final = Stripe()
