"""A day in the formats of others: three providers' reports, a table of a company's own, and the bank's statements of
what was paid out. Pure.

They are written by what these companies publish of their formats, and by nothing that Tallystick reads them with.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final
from xml.sax.saxutils import escape

from msgspec import Struct

from tallystick.lab.acquirer.bank_day import BankEntry
from tallystick.lab.acquirer.settlement_entries import Entry
from tallystick.lab.acquirer.settlement_paypal import paypal as stl
from tallystick.lab.acquirer.settlement_text import currencies

#: Decimals of currencies that have not two (ISO 4217).
_DECIMALS: Final[Mapping[str, int]] = {
    **dict.fromkeys("BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF".split(), 0),
    **dict.fromkeys("BHD IQD JOD KWD LYD OMR TND".split(), 3),
    **dict.fromkeys("CLF UYW".split(), 4),
}

#: Our account at the bank, and the company account at a provider, in what is made up here.
_IBAN: Final = "NL00BANK0000000001"
_MERCHANT_ACCOUNT: Final = "TallystickShop"


class Day(Struct, frozen=True, kw_only=True):
    """What is written. ``opening``: currency -> what the bank had of it before the day, in minor units; ``at_bank``:
    what it booked; ``copy``: the how-manieth time it writes its statements, each time under other ids."""

    number: int
    date: str
    batch: str
    entries: Sequence[Entry]
    opening: Mapping[str, int] = {}
    at_bank: Sequence[BankEntry] = ()
    copy: int = 1

    def booked(self, currency: str) -> list[BankEntry]:
        """The bank's entries."""
        return [each for each in self.at_bank if each.currency == currency]

    def bank_currencies(self) -> list[str]:
        """Those of which there is a statement."""
        return sorted({*currencies(self.entries), *self.opening, *(each.currency for each in self.at_bank)})


def major(amount: int, currency: str, mark: str = ".") -> str:
    """An amount in major units, with all decimals of its currency."""
    decimals = _DECIMALS.get(currency, 2)
    whole, rest = divmod(abs(amount), 10**decimals)
    fraction = f"{mark}{rest:0{decimals}d}" if decimals else mark if mark == "," else ""
    return f"{'-' if amount < 0 else ''}{whole}{fraction}"


def _table(columns: Sequence[str], rows: Iterable[Mapping[str, str]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


_STRIPE_COLUMNS: Final = (
    "balance_transaction_id",
    "created_utc",
    "available_on_utc",
    "currency",
    "gross",
    "fee",
    "net",
    "reporting_category",
    "source_id",
    "description",
    "customer_facing_amount",
    "customer_facing_currency",
    "automatic_payout_id",
    "charge_id",
    "payment_method_type",
)
_STRIPE_CATEGORIES: Final[Mapping[str, str]] = {
    "charge_reversal": "charge_failure",
    "refund_reversal": "refund_failure",
    "reserve": "risk_reserved_funds",
    "carry": "other_adjustment",
}


def stripe(day: Day) -> bytes:
    """The itemised payout reconciliation report. A charge is named by its charge, whatever captured it."""
    booked_at = f"{day.date} 00:00:00"
    rows = []
    for each in day.entries:
        row = {
            "balance_transaction_id": f"txn_{each.entry_id}",
            "created_utc": each.occurred_at[:19].replace("T", " ") or booked_at,
            "available_on_utc": booked_at,
            "currency": each.currency.lower(),
            "gross": major(each.gross, each.currency),
            "fee": major(each.fee, each.currency),
            "net": major(each.net, each.currency),
            "reporting_category": _STRIPE_CATEGORIES.get(each.kind, each.kind),
            "source_id": each.charge if each.kind == "charge" else each.effect,
            "automatic_payout_id": day.batch,
        }
        if each.charge:
            row |= {
                "charge_id": each.charge,
                "customer_facing_amount": row["gross"],
                "customer_facing_currency": row["currency"],
                "payment_method_type": "card",
            }
        rows.append(row)
    return _table(_STRIPE_COLUMNS, rows)


_ADYEN_COLUMNS: Final = (
    "Company Account",
    "Merchant Account",
    "Psp Reference",
    "Merchant Reference",
    "Payment Method",
    "Creation Date",
    "TimeZone",
    "Type",
    "Modification Reference",
    "Gross Currency",
    "Gross Debit (GC)",
    "Gross Credit (GC)",
    "Exchange Rate",
    "Net Currency",
    "Net Debit (NC)",
    "Net Credit (NC)",
    "Commission (NC)",
    "Batch Number",
)
_ADYEN_TYPES: Final[Mapping[str, str]] = {
    "charge": "Settled",
    "charge_reversal": "SettledReversed",
    "refund": "Refunded",
    "refund_reversal": "RefundedReversed",
    "dispute": "Chargeback",
    "dispute_reversal": "ChargebackReversed",
    "reserve": "DepositCorrection",
    "carry": "Balancetransfer",
    "payout": "MerchantPayout",
}


def adyen(day: Day) -> bytes:
    """The settlement details report."""
    rows = []
    for each in day.entries:
        side = "Debit" if each.gross < 0 else "Credit"
        net_side = "Debit" if each.net < 0 else "Credit"
        row = {
            "Company Account": _MERCHANT_ACCOUNT,
            "Merchant Account": _MERCHANT_ACCOUNT,
            "Psp Reference": each.charge,
            "Merchant Reference": each.attempt,
            "Payment Method": "visa" if each.charge else "",
            "Creation Date": each.occurred_at[:19].replace("T", " ") or f"{day.date} 00:00:00",
            "TimeZone": "UTC",
            "Type": _ADYEN_TYPES.get(each.kind, each.kind),
            "Modification Reference": each.effect if each.charge else f"TX{day.number}XT batch {day.batch}",
            "Net Currency": each.currency,
            f"Net {net_side} (NC)": major(abs(each.net), each.currency),
            "Commission (NC)": major(each.fee, each.currency) if each.fee else "",
            "Batch Number": day.batch,
        }
        if each.charge:
            row |= {
                "Gross Currency": each.currency,
                f"Gross {side} (GC)": major(abs(each.gross), each.currency),
                "Exchange Rate": "1",
            }
        rows.append(row)
    return _table(_ADYEN_COLUMNS, rows)


def paypal(day: Day) -> bytes:
    """PayPal's settlement report."""
    return stl(day.number, day.date, day.entries, _DECIMALS)


#: Columns of a company's own, for a mapping file: separated by semicolons, with decimal commas and days of Germany.
_GENERIC_COLUMNS: Final = ("Beleg", "Art", "Datum", "Betrag", "Gebühr", "Währung", "Zahlung", "Vorgang", "Abrechnung")


def generic(day: Day) -> bytes:
    """A table as nobody else writes it."""
    on = ".".join(reversed(day.date.split("-")))
    text = io.StringIO()
    writer = csv.writer(text, delimiter=";", lineterminator="\n")
    writer.writerow(_GENERIC_COLUMNS)
    for each in day.entries:
        money = [major(amount, each.currency, ",").rstrip(",") for amount in (each.gross, each.fee)]
        writer.writerow([each.entry_id, each.kind, on, *money, each.currency, each.charge, each.effect, day.batch])
    return text.getvalue().encode()


def mt940(day: Day) -> bytes:
    """The bank's statements, one a currency: what was paid out has arrived the same day."""
    return "".join(_mt940(day, currency) for currency in day.bank_currencies()).encode()


def _mt940(day: Day, currency: str) -> str:
    date, opening = day.date[2:].replace("-", ""), day.opening.get(currency, 0)
    arrived = day.booked(currency)
    closing = opening + sum(each.amount for each in arrived)
    lines = [
        f":20:{currency}{date}C{day.copy}",
        f":25:{_IBAN}{currency}",
        f":28C:{day.number:05d}/001",
        f":60F:C{date}{currency}{major(opening, currency, ',')}",
    ]
    for number, each in enumerate(arrived, 1):
        amount = major(abs(each.amount), currency, ",")
        sign = "D" if each.amount < 0 else "C"
        lines.append(f":61:{date}{date[2:]}{sign}{amount}NTRFNONREF//B{day.number}{currency}{number}")
        lines.append(f":86:TX{day.number}XT {each.name}")
    lines.append(f":62F:C{date}{currency}{major(closing, currency, ',')}")
    return "{1:F01BANKNL2AXXXX0000000000}{2:I940BANKNL2AXXXXN}{4:\n" + "\n".join([*lines, "-}", ""])


def camt053(day: Day) -> bytes:
    """The same as an ISO 20022 document, version 8."""
    statements = "".join(_camt053(day, currency) for currency in day.bank_currencies())
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"><BkToCstmrStmt>'
        f"<GrpHdr><MsgId>M{day.number}</MsgId><CreDtTm>{day.date}T23:59:59Z</CreDtTm></GrpHdr>\n"
        f"{statements}</BkToCstmrStmt></Document>\n"
    ).encode()


def _camt053(day: Day, currency: str) -> str:
    copy = "" if day.copy == 1 else f"-{day.copy}"
    opening, arrived = day.opening.get(currency, 0), day.booked(currency)
    closing = opening + sum(each.amount for each in arrived)
    entries = "".join(
        f"<Ntry><NtryRef>{number}</NtryRef>{_amount(each.amount, currency)}<Sts><Cd>BOOK</Cd></Sts>"
        f"<BookgDt><Dt>{day.date}</Dt></BookgDt><ValDt><Dt>{day.date}</Dt></ValDt>"
        f"<AcctSvcrRef>B{day.number}{currency}{number}</AcctSvcrRef><BkTxCd><Domn><Cd>PMNT</Cd><Fmly><Cd>RCDT</Cd>"
        f"<SubFmlyCd>ESCT</SubFmlyCd></Fmly></Domn></BkTxCd><NtryDtls><TxDtls><Refs><EndToEndId>{each.name[:35]}"
        f"</EndToEndId></Refs><RmtInf><Ustrd>TX{day.number}XT {escape(each.name)}</Ustrd></RmtInf></TxDtls>"
        "</NtryDtls></Ntry>\n"
        for number, each in enumerate(arrived, 1)
    )
    return (
        f"<Stmt><Id>S{day.number}{currency}{copy}</Id><ElctrncSeqNb>{day.number}</ElctrncSeqNb>"
        f"<FrToDt><FrDtTm>{day.date}T00:00:00Z</FrDtTm><ToDtTm>{day.date}T23:59:59Z</ToDtTm></FrToDt>"
        f"<Acct><Id><IBAN>{_IBAN}</IBAN></Id><Ccy>{currency}</Ccy></Acct>\n"
        f"{_balance('OPBD', opening, currency, day.date)}{_balance('CLBD', closing, currency, day.date)}"
        f"{entries}</Stmt>\n"
    )


def _balance(code: str, amount: int, currency: str, date: str) -> str:
    kind = f"<Tp><CdOrPrtry><Cd>{code}</Cd></CdOrPrtry></Tp>"
    return f"<Bal>{kind}{_amount(amount, currency)}<Dt><Dt>{date}</Dt></Dt></Bal>\n"


def _amount(amount: int, currency: str) -> str:
    sign = "DBIT" if amount < 0 else "CRDT"
    return f'<Amt Ccy="{currency}">{major(abs(amount), currency)}</Amt><CdtDbtInd>{sign}</CdtDbtInd>'


#: Those of the bank: one file for each time that it writes the day's statements.
BANK_FORMATS: Final = ("camt053", "mt940")

#: Format -> how its files' names end, and what writes one.
FORMATS: Final[Mapping[str, tuple[str, Callable[[Day], bytes]]]] = {
    "stripe": ("stripe.csv", stripe),
    "adyen": ("adyen.csv", adyen),
    "paypal": ("paypal.csv", paypal),
    "generic": ("generic.csv", generic),
    "camt053": ("camt053.xml", camt053),
    "mt940": ("mt940.sta", mt940),
}
