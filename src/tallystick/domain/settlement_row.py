"""What a provider or a bank reports, line by line, in one form whatever the file's format: the normal form. Pure.

A row is a movement of the balance that a provider or bank keeps for us, and no payment: one payment has several rows,
and many rows have no payment.

Signs are the platform's: more than 0 is money that is owed to us, less than 0 is money that we owe or that left.
``fee`` is a cost, and more than 0 where it is charged. So ``net = gross - fee``, always, all in ``currency``.
"""

from __future__ import annotations

import hashlib
from datetime import date, datetime
from typing import Final, Literal, get_args

import msgspec
from msgspec import Struct

#: What a row moved. Stored rows have these names for ever. The sign says in which direction.
RowKind = Literal[
    "charge",
    "charge_reversal",
    "refund",
    "refund_reversal",
    "dispute",
    "dispute_reversal",
    "external",
    "fee",
    "tax",
    "reserve",
    "payout",
    "payout_reversal",
    "carry",
    "conversion",
    "transfer",
    "adjustment",
    "bank_entry",
    "unknown",
]

ROW_KINDS: Final[tuple[RowKind, ...]] = get_args(RowKind)

#: What the rows of each kind are, for people.
KIND_MEANINGS: Final[dict[RowKind, str]] = {
    "charge": "a payer's money, captured",
    "charge_reversal": "a part of a charge that is taken back because it was never captured, or did not arrive",
    "refund": "money given back to a payer",
    "refund_reversal": "a refund that failed: its money is back",
    "dispute": "money that a payer's bank took back, or the provider withholds for it",
    "dispute_reversal": "money of a dispute that is back",
    "external": "a charge, refund or dispute that another company settles: its money is not in this balance",
    "fee": "a cost that has a row of its own",
    "tax": "a tax that has a row of its own",
    "reserve": "money that the provider keeps back, or releases",
    "payout": "money sent from the balance to a bank",
    "payout_reversal": "a payout that came back",
    "carry": "a balance carried from one batch to the next",
    "conversion": "one leg of a conversion between currencies",
    "transfer": "money sent to another account at the provider, or from it",
    "adjustment": "a correction that the provider made",
    "bank_entry": "a booked entry of a bank statement",
    "unknown": "a type that the parser does not know: its money counts, and somebody has to say what it is",
}

#: Kinds that take the balance out of the batch: they close it, and are no part of what it paid for.
CLOSING: Final[frozenset[str]] = frozenset({"payout", "payout_reversal"})


class SettlementRow(Struct, kw_only=True, gc=False):
    """One row of a file, in the order of the columns that it is stored in.

    ``position``: from 1, its place among the file's rows. ``line``: its first line in the file (of XML, the line of the
    entry). ``batch``: what the provider pays out together, or the statement; "" where the file names none.

    ``row_key``: the format's own id of the row, or ``#`` and a digest of the normal form. Rows of one batch that have
    the same key are told apart by ``occurrence``, from 1; the importer counts it.

    ``gross``, ``fee``, ``net``: signed minor units of ``currency``, in which the balance is kept. ``fee_parts``: what
    the fee consists of, by name, where the file says so; its sum is ``fee``. ``payer_amount``: signed, in
    ``payer_currency``, what the payer paid or got; None where the file does not say. ``rate``: the provider's own, as
    it is written.

    ``reference``: the provider's name of what moved (capture, refund, dispute, payout, bank entry).
    ``payment_reference``: its name of the payment that it belongs to. ``other_references``: whatever else names one of
    the two. ``merchant_reference``: what we, or the merchant, called it. ``payout_reference``: the payout or transfer
    that paid it.

    ``occurred_at``: when it happened at the provider. ``booked_at``: when it changed the balance; of a file that has
    only dates, the start of that day in the file's zone. ``value_on``: from when the money counts, in the file's zone.
    """

    position: int
    line: int
    batch: str
    row_key: str
    occurrence: int = 1
    kind: RowKind
    raw_type: str
    currency: str
    gross: int
    fee: int
    net: int
    payer_amount: int | None = None
    payer_currency: str | None = None
    rate: str | None = None
    reference: str | None = None
    payment_reference: str | None = None
    merchant_reference: str | None = None
    payout_reference: str | None = None
    method: str | None = None
    country: str | None = None
    occurred_at: datetime | None = None
    booked_at: datetime | None = None
    value_on: date | None = None
    other_references: list[str] | None = None
    fee_parts: dict[str, int] | None = None
    text: str | None = None


#: The columns of a stored row, after its file.
ROW_FIELDS: Final = SettlementRow.__struct_fields__

#: What a row without an id is known by: what every file of its format says. Its batch is a part of its identity anyway.
_CONTENT: Final = ("raw_type", "currency", "gross", "fee", "net", "reference", "payment_reference", "text")

_ENCODER: Final = msgspec.json.Encoder(order="sorted")

#: Characters of a digest in a row key: 128 bits, which no number of rows makes collide.
_DIGEST_CHARS: Final = 32


def keyed_by_content(row: SettlementRow, *more: str) -> SettlementRow:
    """The row, with a digest of what it says as its key: neither of its line, nor of the order or set of columns.
    ``more``: fields that every file of its format has too."""
    said = [getattr(row, name) for name in (*_CONTENT, *more)]
    row.row_key = f"#{hashlib.sha256(_ENCODER.encode(said)).hexdigest()[:_DIGEST_CHARS]}"
    return row
