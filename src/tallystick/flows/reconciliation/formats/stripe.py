"""Stripe's itemised reports: payout reconciliation, balance changes, and payouts.

Columns are chosen for each run. Amounts are in major units of the balance's currency, signed; ``net = gross - fee``. A
row is known by ``balance_transaction_id``. Only an automatic payout names its rows.

Source: docs.stripe.com/reports/balance, docs.stripe.com/reports/reporting-categories.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, tzinfo
from typing import BinaryIO, Final

from tallystick.domain.currencies import EXPONENTS
from tallystick.domain.settlement_file import FilePurpose
from tallystick.domain.settlement_row import RowKind, SettlementRow
from tallystick.flows.reconciliation.formats.base import (
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
        at = columns.at
        self._options = options
        self._id, self._currency, self._category = at(REQUIRED[0]), at("currency"), at("reporting_category")
        self._gross, self._fee, self._net = at("gross"), at("fee"), at("net")
        self._source, self._charge, self._intent = at("source_id"), at("charge_id"), at("payment_intent_id")
        self._payer, self._payer_currency = at("customer_facing_amount"), at("customer_facing_currency")
        self._batch, self._payout, self._trace = at("automatic_payout_id"), at("payout_id"), at("trace_id")
        self._method, self._country, self._text = at("payment_method_type"), at("card_country"), at("description")
        self._balance = at("balance_type")
        self._payments_attempt, self._refunds_attempt = at(OPTIONAL[-2]), at(OPTIONAL[-1])
        zone = options.tzinfo()
        self._made, self._made_zone = _first(columns, zone, "created", "effective_at")
        self._available, _ = _first(columns, zone, "available_on", "payout_expected_arrival_date")

    def read(self, cells: Cells, line: int) -> SettlementRow:
        """One row. Raises RowRefused."""
        cells.append("")  # at -1: what a column says that the file does not have
        currency = currency_of(cells[self._currency])
        exponent = EXPONENTS[currency]
        gross = minor_units(cells[self._gross], exponent)
        fee = minor_units(cells[self._fee], exponent)
        net = minor_units(cells[self._net], exponent)
        if net != gross - fee:
            raise RowRefused("does_not_add_up", "net is not gross less fee")
        if (balance := cells[self._balance].strip()) not in ("", "payments"):
            raise RowRefused("other_balance", "it moves another balance than that of payments" if balance else "")
        category = cells[self._category].strip()
        kind = self._options.kind_of(category, KINDS)
        key = name_of(cells[self._id])
        if key is None:
            raise RowRefused("no_id", "it has no balance_transaction_id")
        made = moment(cells[self._made].strip(), self._made_zone)
        payout = name_of(cells[self._payout]) or name_of(cells[self._batch])
        row = SettlementRow(
            position=0,
            line=line,
            batch=payout or "",
            row_key=key,
            kind=kind,
            raw_type=category,
            currency=currency,
            gross=gross,
            fee=fee,
            net=net,
            payout_reference=payout,
            method=name_of(cells[self._method]),
            country=name_of(cells[self._country]),
            occurred_at=made,
            booked_at=made,
            value_on=day(available) if (available := cells[self._available].strip()) else None,
            text=cells[self._text].strip()[:MAX_TEXT_CHARS] or None,
        )
        self._name(row, cells)
        self._say_what_the_payer_saw(row, cells)
        if kind in ("fee", "tax"):
            cost_row(row, category)
        return row

    def _name(self, row: SettlementRow, cells: Cells) -> None:
        source, charge, intent = (
            name_of(cells[self._source]),
            name_of(cells[self._charge]),
            name_of(cells[self._intent]),
        )
        if row.kind in _CLOSING:
            row.reference = source or row.payout_reference
            row.batch = row.batch or row.reference or ""
            row.payout_reference = row.payout_reference or row.reference
            trace = name_of(cells[self._trace])
            row.other_references = [trace] if trace else None
            return
        row.reference = (charge or source) if row.kind in _OF_A_CHARGE else source
        row.payment_reference = intent or charge
        if row.kind == "charge":  # what we wrote there: it names a payment of which no answer came
            row.merchant_reference = name_of(cells[self._payments_attempt])
        elif row.kind == "refund":
            row.merchant_reference = name_of(cells[self._refunds_attempt])
        if charge and charge not in (row.reference, row.payment_reference):
            row.other_references = [charge]

    def _say_what_the_payer_saw(self, row: SettlementRow, cells: Cells) -> None:
        amount, currency = cells[self._payer].strip(), cells[self._payer_currency].strip()
        if amount and currency:
            row.payer_currency = currency_of(currency)
            is_gross = row.payer_currency == row.currency and amount == cells[self._gross]  # nearly always
            row.payer_amount = row.gross if is_gross else minor_units(amount, EXPONENTS[row.payer_currency])


def _first(columns: Columns, zone: tzinfo, *names: str) -> tuple[int, tzinfo]:
    """Where the first of these times is, in UTC before in the zone of the report."""
    for name in names:
        if columns.has(f"{name}_utc"):
            return columns.at(f"{name}_utc"), UTC
        if columns.has(name):
            return columns.at(name), zone
    return -1, zone


FORMAT: Final = Stripe()
