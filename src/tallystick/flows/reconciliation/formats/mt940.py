"""SWIFT MT940, the customer statement message, as banks write it.

``:61:`` lines are the entries, ``:86:`` explains the one before it. Amounts have a decimal comma, and perhaps no digit
after it. RC reverses a credit: its money leaves; RD reverses a debit: its money comes. An entry's own date has no year:
it is the one nearest to the value date. 29 and 30 February are the last day of that month.

A statement is known by its reference, its number, its currency and the day of its opening balance: banks have constant
references, begin to count anew each year, or do not count at all.

Source: SWIFT Standards, category 9, MT 940.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Collection, Iterator
from datetime import date, datetime, tzinfo
from typing import BinaryIO, Final

from tallystick.domain.currencies import EXPONENTS
from tallystick.domain.settlement_file import BadRow, FilePurpose, StatedTotal
from tallystick.domain.settlement_row import SettlementRow, keyed_by_content
from tallystick.flows.reconciliation.formats.base import (
    FileRefused,
    Item,
    OneAccount,
    ReadOptions,
    RowRefused,
    currency_of,
    minor_units,
    moment,
    name_of,
    text_of,
    without_balances,
)
from tallystick.flows.reconciliation.formats.delimited import encoding_of, first_lines

#: Banks add ``:NS:`` with lines of their own, also between an entry and its information.
_TAG: Final = re.compile(r":(\d\d[A-Z]?|NS):", re.ASCII)
_BALANCE: Final = re.compile(r"([CD])(\d{6})([A-Z]{3})(\d{1,15},\d{0,6})", re.ASCII)

#: The reference has 16 characters at most by the standard; some banks write an IBAN there, and the balances prove that
#: nothing else of the line was taken for it.
_ENTRY: Final = re.compile(
    r"(?P<value>\d{6})(?P<entry>\d{4}|    )?(?P<mark>RC|RD|EC|ED|C|D)(?P<funds>[A-Z])?(?P<amount>\d{1,15},\d{0,6})"
    r"(?P<type>[A-Z][A-Z0-9]{3})(?P<reference>[^\n]{0,34}?)(?://(?P<bank>[^\n]{0,34}))?(?:\n(?P<more>.*))?",
    re.ASCII | re.DOTALL,
)

#: A part of structured information.
_FIELD: Final = re.compile(r"\?\d\d", re.ASCII)

#: No line of a message is longer, and no field has more of them.
_MAX_LINE_CHARS: Final = 4_096
_MAX_FIELD_LINES: Final = 500

_NO_REFERENCE: Final = frozenset({"", "NONREF", "NOTPROVIDED"})

_FEBRUARY: Final = 2

#: Money comes.
_CREDITS: Final = frozenset({"C", "RD", "EC"})


class Mt940:
    """Messages one after another, with or without the blocks around them."""

    name = "mt940"
    version = 4
    provider: str | None = "bank"
    purpose: FilePurpose = "post"

    def recognises(self, head: bytes) -> bool:
        lines = [line.strip() for line in first_lines(head, 12, "latin-1")]
        return any(line.startswith(":20:") or ":20:" in line[:200] for line in lines) and any(
            line.startswith(":25") for line in lines
        )

    def is_complete(self, options: ReadOptions, batches: Collection[str], *, has_payouts: bool) -> bool:
        return True

    def read(self, source: BinaryIO, options: ReadOptions) -> Iterator[Item]:
        statements = _Statements(options)
        for line, tag, text in _fields(source, options):
            yield from statements.field(line, tag, text)
        yield from statements.end()
        if not statements.began:
            raise FileRefused("not_this_format", "it has no statement")


def _fields(source: BinaryIO, options: ReadOptions) -> Iterator[tuple[int, str, str]]:
    """Line, tag and text of each field; a field goes on over lines that begin with no tag."""
    tag, text, began = "", list[str](), 0
    for number, line in enumerate(_lines(source, options), 1):
        if (at := line.find(":20:")) > 0 and line.startswith("{"):
            line = line[at:]
        match = _TAG.match(line)
        if match is None and not line.startswith(("-}", "{")) and line != "-":
            if tag:
                if len(text) > _MAX_FIELD_LINES:
                    raise FileRefused("too_large", f"line {number}: a field has too many lines")
                text.append(line)
            continue
        if tag:
            yield began, tag, "\n".join(text)
        tag, text, began = (match[1], [line[match.end() :]], number) if match else ("", [], number)
    if tag:
        yield began, tag, "\n".join(text)


def _lines(source: BinaryIO, options: ReadOptions) -> Iterator[str]:
    encoding: str | None = None
    while True:
        try:
            raw = source.readline(_MAX_LINE_CHARS)
        except (EOFError, OSError):
            raise FileRefused("broken_file", "the file ends before it is whole, or cannot be read") from None
        if not raw:
            return
        encoding = encoding or encoding_of(raw, options.encoding)
        try:
            yield raw.decode(encoding).rstrip("\r\n").lstrip("\ufeff")
        except UnicodeDecodeError:
            raise FileRefused("not_in_encoding", "the file is not in the encoding of its account") from None


class _Statements:
    """Statements as their fields come. An entry waits for the information that follows it."""

    def __init__(self, options: ReadOptions) -> None:
        self._options, self._zone = options, options.tzinfo()
        self._accounts = OneAccount()
        self.began = False
        self._reset("", 0)

    def _reset(self, reference: str, line: int) -> None:
        self._line, self._rows, self._is_proved = line, 0, False
        self._reference, self._account, self._sequence = reference, "", ""
        self._opening: tuple[date, str, int] | None = None
        self._pending: SettlementRow | None = None

    @property
    def batch(self) -> str:
        """Between two rows of digits stand letters: else they could pass for one number of a card."""
        named = [self._reference, self._sequence]
        if self._opening is not None:
            named += [self._opening[1], self._opening[0].isoformat()]
        return "/".join(each for each in named if each)

    def field(self, line: int, tag: str, text: str) -> Iterator[Item]:
        """What one field comes to. Raises FileRefused for a head or a balance that cannot be read."""
        if tag == "86":
            if self._pending is not None:
                self._pending.text = text_of(self._pending.text, _information(text))
            return
        if tag == "NS":
            return
        yield from self._entry_done()
        try:
            if tag == "61":
                self._pending = self._entry(line, text)
            else:
                yield from self._head(line, tag, text)
        except RowRefused as error:
            if tag != "61":
                raise FileRefused("bad_statement", f"line {line}: {error.detail}") from None
            yield BadRow(line=line, reason=error.reason, detail=error.detail)

    def end(self) -> Iterator[Item]:
        yield from self._entry_done()
        yield from self._unproved()

    def _unproved(self) -> Iterator[BadRow]:
        """A statement that ended with entries, and without the balances that prove them."""
        if self._rows and not self._is_proved:
            yield without_balances(self._line)

    def _entry_done(self) -> Iterator[SettlementRow]:
        row, self._pending = self._pending, None
        if row is not None:
            self._rows += 1
            yield row if row.row_key else keyed_by_content(row, "value_on", "booked_at", "other_references", "text")

    def _head(self, line: int, tag: str, text: str) -> Iterator[Item]:
        match tag:
            case "20":
                yield from self._unproved()
                self._reset(name_of(text) or "", line)
                self.began = True
            case "25" | "25P":
                self._account = name_of(text.partition("\n")[0]) or ""
            case "28" | "28C":
                self._sequence = name_of(text) or ""
            case "60F" | "60M":
                self._opening = _balance(text)
                self._accounts.require(self._opening[1], self._account)
            case "62F" | "62M":
                yield self._total(_balance(text))
                self._is_proved = True

    def _total(self, closing: tuple[date, str, int]) -> StatedTotal:
        if self._opening is None or self._opening[1] != closing[1]:
            raise RowRefused("bad_statement", "a statement closes without an opening balance in its currency")
        return StatedTotal(
            batch=self.batch,
            currency=closing[1],
            proof="balances",
            total=closing[2] - self._opening[2],
            opening=self._opening[2],
            closing=closing[2],
            sequence=self._sequence or None,
            balance_account=self._account or None,
            from_on=self._opening[0],
            to_on=closing[0],
        )

    def _entry(self, line: int, text: str) -> SettlementRow:
        if self._opening is None:
            raise RowRefused("no_currency", "it stands before the opening balance")
        match = _ENTRY.fullmatch(text.rstrip())
        if match is None:
            raise RowRefused("not_a_row", "it is not written as an entry is")
        currency = self._opening[1]
        amount = minor_units(match["amount"].replace(",", "."), EXPONENTS[currency])
        mark = match["mark"]
        is_reversal = mark.startswith("R")
        if mark not in _CREDITS:
            amount = -amount
        if is_reversal and self._options.reversals == "inverted":
            amount = -amount
        value = _day(match["value"])
        raw_type = f"{match['type']} reversal" if is_reversal else match["type"]
        bank, own = _known(match["bank"]), _known(match["reference"])
        return SettlementRow(
            position=0,
            line=line,
            batch=self.batch,
            row_key=bank or "",
            kind=self._options.kind_of(raw_type, {raw_type: "bank_entry"}),
            raw_type=raw_type,
            currency=currency,
            gross=amount,
            fee=0,
            net=amount,
            reference=bank,
            other_references=[own] if own else None,
            booked_at=_start(_booked(value, match["entry"]), self._zone),
            value_on=value,
            text=text_of(match["more"]),
        )


def _known(text: str | None) -> str | None:
    return None if text is None or text.strip().upper() in _NO_REFERENCE else name_of(text)


def _day(text: str) -> date:
    try:
        return _date(datetime.strptime(text[:2], "%y").year, text[2:])
    except ValueError:
        raise RowRefused("not_a_date", "a date cannot be read") from None


def _date(year: int, text: str) -> date:
    """A month and a day of a year. Banks that count interest by months of thirty days write 30 February: that is its
    last day. Raises ValueError."""
    month, on = int(text[:2]), int(text[2:])
    if month == _FEBRUARY and on in (29, 30):
        on = min(on, monthrange(year, month)[1])
    return date(year, month, on)


def _booked(value: date, entry: str | None) -> date:
    """The entry's own date, in the year that brings it nearest to the value date."""
    if entry is None or not entry.strip():
        return value
    found = []
    for year in (value.year - 1, value.year, value.year + 1):
        try:
            found.append(_date(year, entry))
        except ValueError:
            continue
    if not found:
        raise RowRefused("not_a_date", "a date cannot be read")
    return min(found, key=lambda each: abs((each - value).days))


def _start(of: date, zone: tzinfo) -> datetime:
    return moment(of.isoformat(), zone)


def _balance(text: str) -> tuple[date, str, int]:
    match = _BALANCE.fullmatch(text.strip())
    if match is None:
        raise RowRefused("bad_statement", "a balance cannot be read")
    currency = currency_of(match[3])
    amount = minor_units(match[4].replace(",", "."), EXPONENTS[currency])
    return _day(match[2]), currency, amount if match[1] == "C" else -amount


def _information(text: str) -> str:
    """The words of a ``:86:`` field: of a structured one, purpose and names. It is wrapped anywhere, also within a
    name; where a free text is wrapped there was a blank."""
    if text.lstrip().startswith("/"):
        return text.replace("\n", "")
    if not _FIELD.search(text):
        return " ".join(line.strip() for line in text.split("\n"))
    joined = text.replace("\n", "")
    parts = re.split(r"(\?\d\d)", joined)
    words, after = "", ""
    for code, part in zip(parts[1::2], parts[2::2], strict=True):
        if code.startswith(("?2", "?6")):
            words += part
        elif code in ("?32", "?33"):
            after += part
    return f"{words} {after}"


FORMAT: Final = Mt940()
