"""The settlement details report of a fake Adyen, from its own events: those of a closed batch.

A capture costs 1.4 % and 0.25 (commission), a refund 0.10 (commission), a chargeback 7.50 (markup). All of it is in
currencies with two decimals. A sale's capture has a name of its own, which no answer and no notification brought.
"""

from __future__ import annotations

import random
import string
from typing import Any

COLUMNS = (
    "Company Account,Merchant Account,Psp Reference,Merchant Reference,Payment Method,Creation Date,TimeZone,Type,"
    "Modification Reference,Gross Currency,Gross Debit (GC),Gross Credit (GC),Exchange Rate,Net Currency,"
    "Net Debit (NC),Net Credit (NC),Commission (NC),Markup (NC),Scheme Fees (NC),Interchange (NC),"
    "Payment Method Variant,Modification Merchant Reference,Batch Number,Reserved4,Reserved5,Booking Date"
).split(",")

#: Event -> type of its row, and whether the money is owed to the merchant or by them.
TYPES = {
    "CAPTURE": ("Settled", 1),
    "REFUND": ("Refunded", -1),
    "REFUNDED_REVERSED": ("RefundedReversed", 1),
    "CHARGEBACK": ("Chargeback", -1),
    "CHARGEBACK_REVERSED": ("ChargebackReversed", 1),
    "SECOND_CHARGEBACK": ("SecondChargeback", -1),
}

_COSTS = {"Settled": "Commission (NC)", "Refunded": "Commission (NC)", "Chargeback": "Markup (NC)"}


def new_psp() -> str:
    """A name of theirs."""
    return "".join(random.choices(string.ascii_uppercase, k=16))


def row_of(item: dict[str, Any], *, is_sale: bool) -> dict[str, Any] | None:
    """The row of an event; None where it moved no money."""
    if item["success"] != "true":
        return None
    sale = item["eventCode"] == "AUTHORISATION" and is_sale
    kind, sign = ("Settled", 1) if sale else TYPES.get(item["eventCode"], ("", 0))
    if not sign:
        return None
    amount, currency = item["amount"]["value"], item["amount"]["currency"]
    cost = {"Settled": amount * 14 // 1_000 + 25, "Refunded": 10, "Chargeback": 750}.get(kind, 0)
    row = {
        "Psp Reference": item.get("originalReference") or item["pspReference"],
        "Merchant Reference": item["merchantReference"],
        "Payment Method": "visa",
        "Type": kind,
        "Modification Reference": new_psp() if sale else item["pspReference"],
        "Gross Currency": currency,
        "Exchange Rate": "1",
        "Net Currency": currency,
        "net": sign * amount - cost,
        _side("Gross", sign, "GC"): _major(amount),
        _side("Net", sign * amount - cost, "NC"): _major(sign * amount - cost),
    }
    return row | ({_COSTS[kind]: _major(cost)} if cost else {})


def _side(name: str, amount: int, register: str) -> str:
    return f"{name} {'Credit' if amount >= 0 else 'Debit'} ({register})"


def report_of(rows: list[dict[str, Any]], batch: int, account: str) -> str:
    """The report of a batch, with the payout that closes it in each currency."""
    lines = [dict(row) for row in rows]
    for currency in sorted({row["Net Currency"] for row in rows}):
        net = sum(row["net"] for row in rows if row["Net Currency"] == currency)
        lines.append(
            {
                "Type": "MerchantPayout",
                "Modification Reference": f"TX{new_psp()}XT batch {batch}, {account}",
                "Gross Currency": currency,
                "Net Currency": currency,
                _side("Net", -net, "NC"): _major(net),
            }
        )
    about = {"Company Account": "TallystickCompany", "Merchant Account": account, "TimeZone": "CET"}
    about |= {"Creation Date": "2026-03-02 10:00:00", "Booking Date": "2026-03-03 02:00:00", "Batch Number": str(batch)}
    written = [",".join(_quoted({**about, **line}.get(name, "")) for name in COLUMNS) for line in lines]
    return "\n".join([",".join(COLUMNS), *written, ""])


def _quoted(said: Any) -> str:
    return f'"{said}"' if "," in str(said) else str(said)


def _major(amount: int) -> str:
    return f"{abs(amount) // 100}.{abs(amount) % 100:02d}"
