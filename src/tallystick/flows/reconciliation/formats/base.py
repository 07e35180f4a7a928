"""What a format of settlement files is, and what all of them share: amounts, times, and how a file or a row is refused.

A format reads bytes and yields rows of the normal form, rows that it could not read, and the totals that the file
states. It keeps no more of the file in memory than one row. It knows no database, and no other format.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, date, datetime, tzinfo
from functools import lru_cache
from typing import Any, BinaryIO, Final, Literal, Protocol
from zoneinfo import ZoneInfo

from msgspec import Struct

from tallystick.decisions.balance_accounts import is_another_account
from tallystick.domain.currencies import EXPONENTS
from tallystick.domain.settlement_file import BadRow, FilePurpose, StatedTotal
from tallystick.domain.settlement_file import FileRefused as FileRefused
from tallystick.domain.settlement_row import RowKind, SettlementRow

#: What a format yields.
Item = SettlementRow | BadRow | StatedTotal

#: Bytes of a file by which its format is recognised: the header, and a first row or two.
HEAD_BYTES: Final = 65_536

#: No row of any provider moves more. A sum of nine thousand of them fits 64 bits.
MAX_ROW_AMOUNT: Final = 10**15

#: Longer names are cut off nowhere: a row with one is a bad row.
MAX_NAME_CHARS: Final = 255

#: Free text is for people, and is cut.
MAX_TEXT_CHARS: Final = 500

Reversals = Literal["as_written", "inverted"]


class RowRefused(ValueError):
    """This row cannot be read; the next one can. ``reason`` names why; ``detail`` repeats nothing of the row."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class ReadOptions(Struct, frozen=True, kw_only=True):
    """How the files of one account are read. ``zone``: of its dates, an IANA name; None: they are in UTC, and a file
    that says otherwise is refused. ``encoding``: of a file that does not say it. ``kinds``: what types of row are, by
    their names in the file, where the format does not know it or is wrong for this account. ``reversals``: of a bank
    statement, whether an entry marked as a reversal has the direction that it says, or the opposite. ``mapping``: of
    the generic format."""

    zone: str | None = None
    encoding: str = "utf-8"
    kinds: Mapping[str, RowKind] = {}
    reversals: Reversals = "as_written"
    mapping: Mapping[str, Any] | None = None

    def kind_of(self, raw_type: str, known: Mapping[str, RowKind], name: str | None = None) -> RowKind:
        """What a type of row is: as the account says, or the format (``name``: as its table has it), or unknown."""
        return self.kinds.get(raw_type) or known.get(raw_type if name is None else name) or "unknown"

    def tzinfo(self) -> tzinfo:
        """Raises FileRefused for a zone that nobody knows."""
        if self.zone is None or self.zone == "UTC":
            return UTC
        try:
            return ZoneInfo(self.zone)
        except (KeyError, ValueError, OSError):
            raise FileRefused("unknown_zone", f"there is no time zone {self.zone}") from None


class Format(Protocol):
    """One format. ``name`` and ``version`` stay with each imported file: a change of what it makes of a file is another
    version. ``provider``: whose files these are; None: the operator says it."""

    name: str
    version: int
    provider: str | None
    purpose: FilePurpose

    def recognises(self, head: bytes) -> bool:
        """Whether a file that begins like this is of this format. It raises nothing."""

    def is_complete(self, options: ReadOptions, batches: Collection[str], *, has_payouts: bool) -> bool:
        """Whether a file with rows of these batches claims to have all of their rows: then a row that an earlier file
        had and this one lacks is a conflict. ``has_payouts``: whether rows of payouts are among them."""

    def read(self, source: BinaryIO, options: ReadOptions) -> Iterator[Item]:
        """The file's items, in its order. Raises FileRefused, at the latest before the first row."""


#: An amount of fewer characters is within bounds.
_SHORT: Final = 15

_AMOUNT: Final = re.compile(r"([+-]?)([0-9]{1,24})(?:\.([0-9]{0,12}))?|([+-]?)\.([0-9]{1,12})", re.ASCII)


def minor_units(text: str, exponent: int) -> int:
    """An amount in major units, such as ``-12.50``, in minor ones: exact. Raises RowRefused."""
    if exponent == 2 and text[-3:-2] == "." and len(text) < _SHORT and text.isascii():  # nearly all of them
        digits = text[:-3] + text[-2:]
        if digits.isdigit():
            return int(digits)
        if text[0] == "-" and digits[1:].isdigit():
            return -int(digits[1:])
    match = _AMOUNT.fullmatch(text)
    if match is None:
        raise RowRefused("not_an_amount", "an amount is not a decimal number")
    sign, whole, fraction = match[1] or match[4] or "", match[2] or "", match[3] or match[5] or ""
    if len(fraction) > exponent:
        if fraction[exponent:].strip("0"):
            raise RowRefused("too_fine", "an amount has more decimals than its currency")
        fraction = fraction[:exponent]
    value = int(whole + fraction.ljust(exponent, "0") or "0")
    if value > MAX_ROW_AMOUNT:
        raise RowRefused("too_large", "an amount is larger than any row's")
    return -value if sign == "-" else value


def integer_units(text: str) -> int:
    """An amount in minor units, such as ``-1250``. One with a decimal mark is in major ones. Raises RowRefused."""
    if "." in text:
        raise RowRefused("not_an_amount", "an amount in minor units has decimals")
    return minor_units(text, 0)


def hundredths(text: str, exponent: int) -> int:
    """An amount of digits alone, with two implied decimals whatever the currency, in minor units. Raises RowRefused."""
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise RowRefused("not_an_amount", "an amount is not a row of digits")
    return minor_units(f"{text[:-2] or '0'}.{text[-2:].rjust(2, '0')}", exponent)


@lru_cache(1_024)
def currency_of(text: str) -> str:
    """An upper-case ISO 4217 code that we know. Raises RowRefused."""
    code = text.strip().upper()
    if code not in EXPONENTS:
        raise RowRefused("unknown_currency", "it is no currency that we know")
    return code


@lru_cache(4_096)
def moment(text: str, zone: tzinfo) -> datetime:
    """A time with an offset, or a local one in ``zone``; a date alone is its start. Raises RowRefused."""
    try:
        found = datetime.fromisoformat(text)
        found = found.replace(tzinfo=zone) if found.tzinfo is None else found
        if not 1990 < found.year < 2200:
            raise ValueError("out of range")
        return found.astimezone(UTC)
    except (ValueError, OverflowError):
        raise RowRefused("not_a_time", "a time cannot be read") from None


@lru_cache(4_096)
def day(text: str) -> date:
    """The date of an ISO date or time. Raises RowRefused."""
    try:
        found = date.fromisoformat(text[:10])
    except ValueError:
        raise RowRefused("not_a_date", "a date cannot be read") from None
    if not 1990 < found.year < 2200:
        raise RowRefused("not_a_date", "a date is out of range")
    return found


def name_of(text: str) -> str | None:
    """A name as others gave it; None for an empty one. Raises RowRefused for one that is too long."""
    stripped = text.strip()
    if len(stripped) > MAX_NAME_CHARS:
        raise RowRefused("too_long", f"a name has more than {MAX_NAME_CHARS} characters")
    return stripped or None


def text_of(*parts: str | None) -> str | None:
    """Free text, bounded; None where there is none."""
    joined = " ".join(part.strip() for part in parts if part and part.strip())
    return joined[:MAX_TEXT_CHARS] or None


class OneAccount:
    """The account that a bank's file is about, in each currency."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def require(self, currency: str, name: str) -> None:
        """Raises FileRefused for a second account: its statements would be taken for the first one's."""
        first = self._names.setdefault(currency, name) if name else name
        if first != name and is_another_account(name, currency, [(first, True)]):
            raise FileRefused(
                "several_accounts",
                "it has statements of several bank accounts in one currency: import each under an account of its own",
            )


def without_balances(line: int) -> BadRow:
    """A statement with entries that nothing proves: none of them is compared."""
    detail = "a statement has no opening or no closing balance: its entries prove nothing, and none is compared"
    return BadRow(line=line, reason="no_balances", detail=detail)


def cost_row(row: SettlementRow, part: str) -> None:
    """Make a row of a cost what every cost is: nothing gross, and its whole amount as the fee, under ``part``."""
    row.gross, row.fee = 0, -row.net
    row.fee_parts = {part: row.fee} if row.fee else None


def signed(amount: int, direction: str) -> int:
    """An unsigned amount with its direction: CR, CRDT or C is money to us. Raises RowRefused."""
    if direction in ("CR", "CRDT", "C"):
        return amount
    if direction in ("DR", "DBIT", "D"):
        return -amount
    raise RowRefused("no_direction", "it says neither debit nor credit")
