"""A day's settlement as the acquirer writes it: CSV, amounts in minor units, one total a currency. Pure.

Every row is of one batch. The rows of a currency come to nothing: what is owed to us is paid out, and what we owe is
carried to the next day. The line of the total says so.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Final

from tallystick.lab.acquirer.settlement_entries import Entry

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

#: In the place of an entry's id: the line of a total.
TOTAL: Final = "total"


def currencies(entries: Sequence[Entry]) -> list[str]:
    """Those of the entries, in alphabetical order."""
    return sorted({each.currency for each in entries})


def net_of(entries: Sequence[Entry], currency: str) -> int:
    """What the balance in a currency moved by."""
    return sum(each.net for each in entries if each.currency == currency)


def payout(batch: str, currency: str, amount: int, ordinal: int = 1) -> Entry:
    """The balance leaves for our bank. ``ordinal``: from 1, of the batch's payouts."""
    reference = f"po_{batch}_{currency}_{ordinal}"
    return Entry(entry_id=f"en_{reference}", kind="payout", currency=currency, gross=-amount, effect=reference)


def closing(batch: str, entries: Sequence[Entry]) -> tuple[list[Entry], list[Entry]]:
    """The rows that bring the batch to nothing, and those that the next day begins with."""
    rows: list[Entry] = []
    following: list[Entry] = []
    for currency in currencies(entries):
        net = net_of(entries, currency)
        if net > 0:
            rows.append(payout(batch, currency, net))
        elif net < 0:
            rows.append(Entry(entry_id=f"en_to_next_{currency}", kind="carry", currency=currency, gross=-net))
            following.append(Entry(entry_id=f"en_from_last_{currency}", kind="carry", currency=currency, gross=net))
    return rows, following


def written(batch: str, day: str, entries: Sequence[Entry]) -> bytes:
    """The file. ``day``: an ISO date, on which all of it is booked."""
    booked_at = f"{day}T00:00:00Z"
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for each in entries:
        payer = (each.gross, each.currency) if each.charge else ("", "")
        money = (each.currency, each.gross, each.fee, each.net, *payer, "")
        names = (each.charge, each.effect, each.attempt, each.method, each.occurred_at or booked_at, booked_at)
        writer.writerow((each.entry_id, each.kind, batch, *money, *names))
    for currency in currencies(entries):
        total = {"entry_id": TOTAL, "batch": batch, "currency": currency, "net": net_of(entries, currency)}
        writer.writerow([total.get(name, "") for name in COLUMNS])
    return text.getvalue().encode()
