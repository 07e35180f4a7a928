"""A day as PayPal's settlement report (STL) has one. Pure.

Written by what PayPal publishes of the report. A section is one account's; its amounts are digits with two implied
decimals, and their direction stands beside them. What a bank takes back and what that costs are two rows. Nothing is
carried: the footer says what was there before.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from tallystick.lab.acquirer.settlement_entries import Entry
from tallystick.lab.acquirer.settlement_text import balances, currencies

#: Our account at PayPal, in what is made up here.
_ACCOUNT: Final = "TALLYSTICK1"

_COLUMNS: Final = (
    "Transaction ID",
    "Invoice ID",
    "PayPal Reference ID",
    "PayPal Reference ID Type",
    "Transaction Event Code",
    "Transaction Initiation Date",
    "Transaction Completion Date",
    "Transaction Debit or Credit",
    "Gross Transaction Amount",
    "Gross Transaction Currency",
    "Fee Debit or Credit",
    "Fee Amount",
    "Fee Currency",
    "Bank Reference ID",
)

#: A section is known by its account and its start: so many days that are closed on one date have sections of their own.
_HOUR_S: Final = 3_600

#: Kind of an entry -> event code. What has none is of a code that nobody knows.
_CODES: Final[Mapping[str, str]] = {
    "charge": "T0006",
    "refund": "T1107",
    "dispute": "T1106",
    "dispute_reversal": "T1202",
    "reserve": "T1110",
    "payout": "T0400",
    "payout_reversal": "T1101",
}
_UNKNOWN: Final = "T9999"
_DISPUTE_FEE: Final = "T0106"


def paypal(number: int, date: str, entries: Sequence[Entry], decimals: Mapping[str, int]) -> bytes:
    """The report of the day with this number. ``decimals``: of currencies that have not two; PayPal has none with
    more."""
    shown = [each for each in entries if decimals.get(each.currency, 2) <= 2 and each.kind != "carry"]
    slashed = date.replace("-", "/")
    minute, second = divmod(number % _HOUR_S, 60)
    start, end = f"{slashed} 00:{minute:02d}:{second:02d} +0000", f"{slashed} 23:59:59 +0000"
    body = [row for each in shown for row in _rows(each, f"{slashed} 00:00:00 +0000", decimals)]
    found = currencies(shown)
    footers = [_footer(currency, entries, [row for row in body if row[9] == currency], decimals) for currency in found]
    lines: list[Sequence[str]] = [
        ("RH", end, "A", _ACCOUNT, "009"),
        ("FH", "01"),
        ("SH", start, end, _ACCOUNT, ""),
        ("CH", *_COLUMNS),
        *(("SB", *row) for row in body),
        *(("SF", *each) for each in footers),
        ("SC", str(len(body))),
        *(("RF", *each) for each in footers),
        ("RC", str(len(body))),
        ("FF", str(len(body) + 2 * len(footers) + 6)),
    ]
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(lines)
    return text.getvalue().encode()


def _rows(each: Entry, booked_at: str, decimals: Mapping[str, int]) -> Iterator[tuple[str, ...]]:
    at = each.occurred_at[:19].replace("-", "/").replace("T", " ")
    begun = f"{at} +0000" if at else booked_at
    own = each.charge if each.kind == "charge" else each.effect or each.entry_id
    related = each.charge if each.charge and each.kind != "charge" else ""
    is_dispute = each.kind == "dispute"

    def row(name: str, about: str, code: str, gross: int, fee: int) -> tuple[str, ...]:
        return (
            name, each.attempt, about, "TXN" if about else "", code, begun, booked_at,
            _direction(gross), hundredths(gross, each.currency, decimals), each.currency,
            _direction(-fee) if fee else "", hundredths(fee, each.currency, decimals), each.currency,
            each.effect if each.kind == "payout" else "",
        )  # fmt: skip

    yield row(own, related, _CODES.get(each.kind, _UNKNOWN), each.gross, 0 if is_dispute else each.fee)
    if is_dispute and each.fee:
        yield row(each.entry_id, own, _DISPUTE_FEE, -each.fee, 0)


def _footer(
    currency: str, entries: Sequence[Entry], rows: Sequence[Sequence[str]], decimals: Mapping[str, int]
) -> tuple[str, ...]:
    def sums(direction: int, amount: int) -> list[str]:
        return [str(sum(int(row[amount]) for row in rows if row[direction] == way)) for way in ("CR", "DR")]

    opening, closing = balances(entries, currency)
    stated = [part for each in (opening, closing) for part in (_direction(each), hundredths(each, currency, decimals))]
    return (currency, *sums(7, 8), *sums(10, 11), *stated, "CR", "0", "CR", "0", str(len(rows)))


def _direction(amount: int) -> str:
    return "DR" if amount < 0 else "CR"


def hundredths(amount: int, currency: str, decimals: Mapping[str, int]) -> str:
    """An amount without its sign, with two implied decimals whatever the currency has."""
    return str(abs(amount) * 10 ** (2 - decimals.get(currency, 2)))
