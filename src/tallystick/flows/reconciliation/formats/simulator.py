"""The test acquirer's settlement file: entries of its books in minor units, and a total for each batch."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import date
from typing import BinaryIO, Final

from tallystick.domain.settlement_file import FilePurpose, StatedTotal
from tallystick.domain.settlement_row import CLOSING, ROW_KINDS, RowKind, SettlementRow
from tallystick.flows.reconciliation.formats.base import (
    Item,
    ReadOptions,
    RowRefused,
    cost_row,
    currency_of,
    integer_units,
    moment,
    name_of,
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

COLUMNS: Final = (
    "entry_id",
    "type",
    "batch",
    "currency",
    "gross",
    "fee",
    "net",
    "payer_amount",
    "payer_currency",
    "rate",
    "charge",
    "effect",
    "merchant_reference",
    "method",
    "occurred_at",
    "booked_at",
)

#: Of a total: what the acquirer had for us before the batch, and has after it.
OPTIONAL: Final = ("opening", "closing")

#: The acquirer names its entries as the normal form names kinds.
KINDS: Final[dict[str, RowKind]] = {kind: kind for kind in ROW_KINDS}

#: In the place of an entry's id: the line has the batch's total.
_TOTAL: Final = "total"


class Simulator:
    """What the test acquirer writes each day."""

    name = "simulator"
    version = 3
    provider: str | None = "simulator"
    purpose: FilePurpose = "post"

    def recognises(self, head: bytes) -> bool:
        lines = first_lines(head, 1)
        return bool(lines) and has_columns(lines[0], COLUMNS)

    def is_complete(self, options: ReadOptions, batches: Collection[str], *, has_payouts: bool) -> bool:
        return True

    def read(self, source: BinaryIO, options: ReadOptions) -> Iterator[Item]:
        table = Table(source, options.encoding)
        columns = Columns(header_of(table), COLUMNS, OPTIONAL)
        places = [columns.at(name) for name in COLUMNS]
        balances = [columns.at(name) for name in OPTIONAL]
        zone = options.tzinfo()
        days: dict[str, date] = {}  # batch -> its last day with a row: the order of balances that are stated

        def read(cells: Cells, line: int) -> SettlementRow | StatedTotal:
            given = dict(zip(COLUMNS, [cells[at].strip() for at in places], strict=True))
            currency, net = currency_of(given["currency"]), integer_units(given["net"])
            if given["entry_id"] == _TOTAL:
                opening, closing = (integer_units(said) if (said := cell(cells, at)) else None for at in balances)
                return StatedTotal(
                    batch=given["batch"],
                    currency=currency,
                    proof="footer",
                    total=net,
                    opening=opening,
                    closing=closing,
                    to_on=None if closing is None else days.get(given["batch"]),
                )
            gross, fee = integer_units(given["gross"]), integer_units(given["fee"])
            if net != gross - fee:
                raise RowRefused("does_not_add_up", "net is not gross less fee")
            if not (given["entry_id"] and given["type"]):
                raise RowRefused("no_id", "it has no entry_id, or no type")
            row = SettlementRow(
                position=0,
                line=line,
                batch=name_of(given["batch"]) or "",
                row_key=name_of(given["entry_id"]) or "",
                kind=options.kind_of(given["type"], KINDS),
                raw_type=given["type"],
                currency=currency,
                gross=gross,
                fee=fee,
                net=net,
                payer_amount=integer_units(amount) if (amount := given["payer_amount"]) else None,
                payer_currency=currency_of(code) if (code := given["payer_currency"]) else None,
                rate=name_of(given["rate"]),
                reference=name_of(given["effect"]),
                payment_reference=name_of(given["charge"]),
                merchant_reference=name_of(given["merchant_reference"]),
                method=name_of(given["method"]),
                occurred_at=moment(at, zone) if (at := given["occurred_at"]) else None,
                booked_at=moment(at, zone) if (at := given["booked_at"]) else None,
            )
            if row.booked_at is not None:
                on = row.booked_at.date()
                days[row.batch] = max(days.get(row.batch, on), on)
            if row.kind in CLOSING:
                row.payout_reference = row.reference
            if row.kind in ("fee", "tax"):
                cost_row(row, row.raw_type)
            return row

        yield from read_rows(table, columns.width, read)


FORMAT: Final = Simulator()
