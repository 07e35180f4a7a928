"""Finds card numbers (PAN, ISO/IEC 7812-1) in anything a client sends, so that the request can be refused.

A card number is 13-19 digits, contiguous or in card-like groups under one kind of separator, that starts like
an issuer's number, has that issuer's length, and passes the Luhn check (ISO/IEC 7812-1, annex B). Digits of
every script count, letters glued to the digits change nothing, and invisible characters between them are
ignored. What is percent-encoded is read both ways. UUIDs and hex digests are removed first: their random digits
would sometimes pass the check.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal, InvalidOperation
from itertools import chain
from typing import Final

# Issuer, first and last prefix of a range, lengths. Overlaps are intended: any matching row is enough.
ISSUERS: Final[tuple[tuple[str, str, str, Iterable[int]], ...]] = (
    ("Visa", "4", "4", (13, 16, 19)),
    ("Mastercard", "51", "55", (16,)),
    ("Mastercard", "2221", "2720", (16,)),
    ("American Express", "34", "34", (15,)),
    ("American Express", "37", "37", (15,)),
    ("Discover", "6011", "6011", range(16, 20)),
    ("Discover", "644", "649", range(16, 20)),
    ("Discover", "65", "65", range(16, 20)),
    ("Diners Club", "300", "305", range(14, 20)),
    ("Diners Club", "309", "309", range(14, 20)),
    ("Diners Club", "36", "36", range(14, 20)),
    ("Diners Club", "38", "39", range(14, 20)),
    ("JCB", "3528", "3589", range(16, 20)),
    ("UnionPay", "62", "62", range(16, 20)),
    ("Maestro", "5018", "5018", range(13, 20)),
    ("Maestro", "5020", "5020", range(13, 20)),
    ("Maestro", "5038", "5038", range(13, 20)),
    ("Maestro", "5893", "5893", range(13, 20)),
    ("Maestro", "6304", "6304", range(13, 20)),
    ("Maestro", "6759", "6759", range(13, 20)),
    ("Maestro", "6761", "6763", range(13, 20)),
    ("Mir", "2200", "2204", range(16, 20)),
    ("RuPay", "508", "508", (16,)),
    ("RuPay", "60", "60", (16,)),
    ("Verve", "506099", "506198", range(16, 20)),
    ("Verve", "507865", "507964", range(16, 20)),
    ("Troy", "9792", "9792", (16,)),
)

# How card numbers are printed and typed. One group of 13-19 digits is card-like by itself.
GROUPINGS: Final[frozenset[tuple[int, ...]]] = frozenset(
    {(length,) for length in range(13, 20)}
    | {(4, 4, 5), (4, 3, 3, 3)}  # Maestro of 13 digits, embossed Visa of 13
    | {(4, 4, 4, tail) for tail in range(1, 8)}  # 13-19 digits in fours, the last group of any length
    | {(4, 4, 4, 4, tail) for tail in range(1, 4)}  # 17-19 digits in fours
    | {(4, 6, 4), (4, 6, 5), (4, 5, 5), (4, 5, 6), (4, 6, 6)}  # Diners Club, American Express and similar
    | {(6, 13)}  # UnionPay of 19 digits
)
_GROUPINGS_BY_START: Final[Mapping[int, frozenset[tuple[int, ...]]]] = {
    first: frozenset(sizes for sizes in GROUPINGS if sizes[0] == first and len(sizes) > 1)
    for first in {sizes[0] for sizes in GROUPINGS if len(sizes) > 1}
}
_GROUP_COUNTS: Final = tuple(sorted({len(sizes) for sizes in GROUPINGS if len(sizes) > 1}))

# Kinds of separator; a number keeps to one kind, and up to three in a row ("4111  1111") are one gap.
_SEPARATOR_KINDS: Final = (r"\s", r"\-", r"\.", "_", "/")
_ANY_SEPARATOR: Final = "".join(_SEPARATOR_KINDS)
_MAX_GAP: Final = 3
_FEWEST_DIGITS: Final = 13

# A digit, then twelve more digits or separators: every card number contains this, and it is the cheapest pattern
# to search for (1 us on an ordinary body, half the cost of counting digits across gaps).
_CANDIDATE_PATTERN: Final = rf"[0-9][0-9{_ANY_SEPARATOR}]{{{_FEWEST_DIGITS - 1}}}"
_CANDIDATE: Final = re.compile(_CANDIDATE_PATTERN, re.ASCII)
_CANDIDATE_BYTES: Final = re.compile(_CANDIDATE_PATTERN.encode())

# For the first look at text: every digit is a zero, and what may separate two is gone (``\\s`` of ASCII is six signs).
_DIGITS_ALIKE: Final = bytes.maketrans(b"123456789", b"0" * 9)
_SEPARATORS: Final = b" \t\n\r\f\v-._/"
_THIRTEEN: Final = b"0" * _FEWEST_DIGITS

# A UUID in its dashed form, or at least 20 hex characters with a letter among them (hex UUID, SHA-256 …).
# Both must stand alone: next to another letter or digit they are not recognised. A prefix such as "pay_" may come
# before.
_IDENTIFIER: Final = re.compile(
    r"(?<![0-9A-Za-z])(?:0x)?"
    r"(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?=[0-9]*[a-f])[0-9a-f]{20,})"
    r"(?![0-9A-Za-z])",
    re.ASCII | re.IGNORECASE,
)
# Groups of digits that one kind of separator holds together; a gap of another kind ends the series. The
# look-behind and the possessive "++" keep this linear on a long run of digits.
_SERIES: Final = tuple(
    re.compile(rf"(?<![0-9])[0-9]++(?:[{kind}]{{1,{_MAX_GAP}}}[0-9]++)+", re.ASCII) for kind in _SEPARATOR_KINDS
)
_DIGITS: Final = re.compile(r"[0-9]+", re.ASCII)

_PERCENT_ENCODED: Final = re.compile(r"(?:%[0-9A-Fa-f]{2})+", re.ASCII)

_BEYOND_CARDS: Final = 10**19  # the first integer with more than 19 digits
BELOW_CARDS: Final = 10**12  # the first integer with 13 digits


def _lengths_by_prefix() -> Mapping[str, frozenset[int]]:
    lengths: dict[str, frozenset[int]] = {}
    for _, first, last, allowed in ISSUERS:
        for prefix in range(int(first), int(last) + 1):
            lengths[str(prefix)] = lengths.get(str(prefix), frozenset()) | frozenset(allowed)
    return lengths


_LENGTHS: Final = _lengths_by_prefix()
_PREFIX_SIZES: Final = tuple(sorted({len(prefix) for prefix in _LENGTHS}))
# What a digit in every second place, counted from the right, becomes in the Luhn sum: the digit sum of its
# double.
_LUHN_DOUBLED: Final = bytes.maketrans(b"0123456789", b"0246813579")


class _AsciiFold(dict[int, str | None]):
    """Translation table, filled as characters are met: other scripts' digits, spaces, dashes and dots to
    ASCII, invisible characters to nothing, the rest unchanged."""

    _MAX_ENTRIES: Final = 4096  # distinct characters: more than real text has; bounds what hostile text adds
    _DOTS: Final = frozenset("·․‧∙•・．｡。")  # noqa: RUF001 - look-alikes are the point

    def __missing__(self, codepoint: int) -> str | None:
        folded = self._fold(chr(codepoint))
        if len(self) < self._MAX_ENTRIES:
            self[codepoint] = folded
        return folded

    def _fold(self, character: str) -> str | None:
        if character.isascii():
            return character
        digit = unicodedata.digit(character, None)
        if digit is not None:
            return str(digit)
        category = unicodedata.category(character)
        if category in {"Cf", "Mn", "Me"}:  # zero-width characters, soft hyphen, variation selectors, keycaps
            return None
        if category in {"Zs", "Zl", "Zp"} or character == "\x85":
            return " "
        if category == "Pd" or character in "\u2212\u2043\u02d7":  # minus sign, hyphen bullet, modifier minus
            return "-"
        return "." if character in self._DOTS else character


#: For ``str.translate``.
ASCII_FOLD: Final = _AsciiFold()


def looks_like_card_number(text: str) -> bool:
    """Whether a card number appears anywhere in ``text``, as it is written or as a URL means it."""
    return _holds_card_number(text) or ("%" in text and _holds_card_number(_PERCENT_ENCODED.sub(_decoded, text)))


def _decoded(found: re.Match[str]) -> str:
    return bytes.fromhex(found[0].replace("%", "")).decode("utf-8", "replace")


def _holds_card_number(text: str) -> bool:
    if not text.isascii():
        text = text.translate(ASCII_FOLD)
    if _CANDIDATE.search(text) is None:
        return False
    # "#" is neither digit, letter nor separator: the text on both sides stays separate.
    return has_card_like_number(_IDENTIFIER.sub("#", text))


def has_card_like_number(text: str) -> bool:
    """Whether a card number is in a text of ASCII, whatever it is a part of."""
    return any(_is_card_number(number) for number in _card_like_numbers(text))


def contains_card_data(value: object) -> bool:
    """Whether a card number appears in parsed JSON: in any key, string, integer or number literal."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            # A number literal is a subclass of str; an ordinary sentence never parses as a number.
            if looks_like_card_number(item) or (type(item) is not str and _integral_literal_trips(item)):
                return True
        elif isinstance(item, bool) or item is None:
            continue
        elif isinstance(item, int):
            if BELOW_CARDS <= abs(item) < _BEYOND_CARDS and _is_card_number(str(abs(item))):
                return True
        elif isinstance(item, float):
            if looks_like_card_number(repr(item)) or _integral_literal_trips(repr(item)):
                return True
        elif isinstance(item, dict):
            waiting.extend(item.keys())
            waiting.extend(item.values())
        elif isinstance(item, list | tuple):
            waiting.extend(item)
    return False


def may_contain_card_data(raw: bytes) -> bool:
    """Cheap, cautious check of raw JSON: False only if ``contains_card_data`` of its parsed form is False too.

    True for escapes, percent signs and non-ASCII bytes, which may hide digits and separators, and for 13 digits in a
    loose row.
    """
    return not raw.isascii() or b"\\" in raw or b"%" in raw or _CANDIDATE_BYTES.search(raw) is not None


def may_contain_card_text(text: str) -> bool:
    """Cheap, cautious check of text: False only if ``looks_like_card_number`` is False of it and of each of its parts.

    True for percent signs and non-ASCII characters, and for 13 digits with nothing but separators between them. A tenth
    of the cost of a search.
    """
    return not text.isascii() or "%" in text or _THIRTEEN in text.encode().translate(_DIGITS_ALIKE, _SEPARATORS)


def numbers_within(digits: str) -> Iterator[tuple[int, int]]:
    """Where card numbers stand in bare ASCII digits, as (start, end): at any place, also over each other."""
    for start in range(len(digits) - _FEWEST_DIGITS + 1):
        for size in _PREFIX_SIZES:
            for length in _LENGTHS.get(digits[start : start + size], ()):
                if start + length <= len(digits) and _passes_luhn(digits[start : start + length]):
                    yield start, start + length


def _card_like_numbers(text: str) -> Iterator[str]:
    """The digits of every run, and of every window over neighbouring groups, that is grouped as cards are."""
    for run in _DIGITS.findall(text):
        if (len(run),) in GROUPINGS:
            yield run
    for series in chain.from_iterable(pattern.finditer(text) for pattern in _SERIES):
        groups = _DIGITS.findall(series.group())
        sizes = tuple(map(len, groups))
        for start, size in enumerate(sizes):
            groupings = _GROUPINGS_BY_START.get(size, frozenset())
            for count in _GROUP_COUNTS if groupings else ():
                if sizes[start : start + count] in groupings:
                    yield "".join(groups[start : start + count])


def _is_card_number(digits: str) -> bool:
    """Whether bare ASCII digits have an issuer's prefix and length, and a valid Luhn check digit."""
    length = len(digits)
    if not any(length in _LENGTHS.get(digits[:size], ()) for size in _PREFIX_SIZES):
        return False
    return _passes_luhn(digits)


def _passes_luhn(digits: str) -> bool:
    plain = digits.encode()
    total = sum(plain[-1::-2]) + sum(plain[-2::-2].translate(_LUHN_DOUBLED)) - len(plain) * ord("0")
    return total % 10 == 0


def _integral_literal_trips(literal: str) -> bool:
    """Whether a number with a point or exponent (4.111111111111111e15) is, as an integer, a card number."""
    if _CANDIDATE.search(literal) is None:
        return False
    try:
        number = Decimal(literal)
    except InvalidOperation:  # not a number, or an exponent beyond what can be held
        return False
    if not number.is_finite() or number.adjusted() > 18:  # over 19 digits; also keeps 1e999999 from being written out
        return False
    return number == number.to_integral_value() and _is_card_number(format(abs(number.to_integral_value()), "f"))
