"""PayPal's settlement reports, written by hand: one section of one account, in one file or several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

_AT: Final = "2026/03/02 01:00:00 -0800"

COLUMNS: Final = (
    '"CH","Transaction ID","Invoice ID","PayPal Reference ID","PayPal Reference ID Type","Transaction Event Code",'
    '"Transaction Initiation Date","Transaction Completion Date","Transaction Debit or Credit",'
    '"Gross Transaction Amount","Gross Transaction Currency","Fee Debit or Credit","Fee Amount","Fee Currency",'
    '"Bank Reference ID"\n'
)
HEADER: Final = '"SH",2026/03/02 00:00:00 -0800,2026/03/02 23:59:59 -0800,"ACC9X",""\n'

#: Of a section that came to nothing.
FOOTER: Final = ("USD", "0", "0", "0", "0")


def paypal_row(key: str, code: str, gross: int, *, fee: int = 0, about: str = "", bank: str = "") -> str:
    """One row in USD. ``about``: the transaction that it names."""
    fields = [
        key, "", about, "TXN" if about else "", code, _AT, _AT, "DR" if gross < 0 else "CR", str(abs(gross)), "USD",
        "DR" if fee else "", str(fee), "USD", bank,
    ]  # fmt: skip
    return f'"SB",{",".join(_quoted(each) for each in fields)}\n'


def report_file(
    number: int, rows: Sequence[str], *, footers: Sequence[Sequence[str]] = (), account: str = "ACC9X"
) -> str:
    """A file of the report with these rows; ``footers``: of the section that ends in it."""
    ends = [f'"SF",{",".join(_quoted(each) for each in footer)}\n' for footer in footers]
    head = f'"RH",2026/03/03 04:00:00 -0800,"A","{account}",009,\n"FH","{number:02d}"\n'
    return "".join([head, HEADER.replace("ACC9X", account), COLUMNS, *rows, *ends, f'"FF",{len(rows)}\n'])


def _quoted(text: str) -> str:
    return f'"{text}"'
