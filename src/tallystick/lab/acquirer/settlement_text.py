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
    "opening",
    "closing",
)

#: In the place of an entry's id: the line of a total.
TOTAL: Final = "total"

#: How payouts are named that somebody made by hand: they are of no batch.
MANUAL: Final = "po_manual_"


def currencies(entries: Sequence[Entry]) -> list[str]:
    """Those of the entries, in alphabetical order."""
    return sorted({each.currency for each in entries})


def net_of(entries: Sequence[Entry], currency: str) -> int:
    """What the balance in a currency moved by."""
    return sum(each.net for each in entries if each.currency == currency)


def balances(entries: Sequence[Entry], currency: str) -> tuple[int, int]:
    """What the acquirer has for us before the batch, and after it: what is carried is no movement."""
    of = [each for each in entries if each.currency == currency]
    carried = [each.gross for each in of if each.kind == "carry"]
    opening = sum(each for each in carried if each < 0)
    return opening, opening + sum(each.net for each in of if each.kind != "carry")


def payout(batch: str, currency: str, amount: int, ordinal: int = 1, kind: str = "po_") -> Entry:
    """The balance leaves for our bank. ``ordinal``: from 1, of the batch's payouts."""
    reference = f"{kind}{batch}_{currency}_{ordinal}"
    return Entry(entry_id=f"en_{reference}", kind="payout", currency=currency, gross=-amount, effect=reference)


def closing(
    batch: str, entries: Sequence[Entry], payouts: int = 1, manual: Sequence[tuple[str, int]] = ()
) -> tuple[list[Entry], list[Entry]]:
    """The rows that bring the batch to nothing, and those that the next day begins with. ``payouts``: in how many it
    leaves; ``manual``: currency and amount of what was paid out by hand, which is left of the batch."""
    rows: list[Entry] = []
    following: list[Entry] = []
    for currency in currencies(entries):
        net = net_of(entries, currency)
        by_hand = [amount for of, amount in manual if of == currency]
        if net > 0:
            left = net - sum(by_hand)
            parts = [left // payouts] * (payouts - 1)
            parts.append(left - sum(parts))
            rows += [payout(batch, currency, amount, ordinal) for ordinal, amount in enumerate(parts, 1) if amount]
            rows += [payout(batch, currency, amount, ordinal, MANUAL) for ordinal, amount in enumerate(by_hand, 1)]
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
        own_batch = "" if each.effect.startswith(MANUAL) else batch
        writer.writerow((each.entry_id, each.kind, own_batch, *money, *names, "", ""))
    of_batch = [each for each in entries if not each.effect.startswith(MANUAL)]
    for currency in currencies(of_batch):
        opening, closed = balances(of_batch, currency)
        total = {"entry_id": TOTAL, "batch": batch, "currency": currency, "net": net_of(of_batch, currency)}
        total |= {"opening": opening, "closing": closed}
        writer.writerow([total.get(name, "") for name in COLUMNS])
    return text.getvalue().encode()
