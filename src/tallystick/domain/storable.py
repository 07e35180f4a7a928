"""What the record can hold of what a provider says: text that PostgreSQL stores, times of this age, names of a sensible
length. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from tallystick.domain.verdicts import KeyTaken, NotFound, NotSent, Unknown, Verdict
from tallystick.kit.card_data import BELOW_CARDS, contains_card_data

#: Types of values that hold no time and, beside free text, no number.
_TIMELESS: Final = frozenset({str, bool, dict, type(None)})

#: Longest name that a provider may give to an event, its type, a charge or a refund, in characters; theirs have at most
#: 80.
MAX_NAME_CHARS: Final = 255

#: Plausible years. Times at the ends of the calendar cannot be converted to UTC.
SENSIBLE_YEARS: Final = range(1970, 2200)

#: How JSON writes a NUL.
_NUL: Final = b"\\u0000"

_ENCODER: Final = msgspec.json.Encoder()

#: Reason of an answer that cannot be kept as it is.
CANNOT_KEEP: Final = "the answer holds invalid text, an impossible time or amount, or an impossible name"


def storable_verdict(verdict: Verdict) -> Verdict:
    """The verdict, or what of it the record can hold. An empty name names nothing, and evidence that cannot be kept is
    left out. An outcome that cannot be kept even so is not known. That nothing was sent, and that a key is taken, stay.
    """
    if verdict.reference == "":
        verdict = replace(verdict, reference=None)
    if _is_storable(verdict):
        return verdict
    bare: Verdict = replace(verdict, raw=None)
    if _is_storable(bare):
        return bare
    if isinstance(verdict, NotSent | KeyTaken):
        return type(verdict)(reason=CANNOT_KEEP)
    return NotFound() if isinstance(verdict, NotFound) else Unknown(reason=CANNOT_KEEP)


def is_storable_name(name: str) -> bool:
    """Whether a name can be stored, and told from others."""
    return 0 < len(name) <= MAX_NAME_CHARS and "\x00" not in name and is_text(name)


def is_storable_within(said: Struct | None) -> bool:
    """Whether a database can store every text in it (no lone surrogates, no NUL), every time is plausible, and no
    amount looks like a card number: it could not be masked."""
    if said is None or (_is_plain(said) and _is_clean_json(said)):
        return True  # most of what providers say ends here
    if _has_card_number(said):
        return False
    return _storable_within(msgspec.to_builtins(said, builtin_types=(datetime,)))


def is_storable_time(time: datetime | None) -> bool:
    """Whether a time can be one of these years."""
    return time is None or (time.tzinfo is not None and time.year in SENSIBLE_YEARS)


def is_text(text: str) -> bool:
    """Whether it can be written as UTF-8: half a surrogate pair cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_storable(verdict: Verdict) -> bool:
    if verdict.reference is not None and not is_storable_name(verdict.reference):
        return False
    try:
        return is_storable_within(verdict)
    except (RecursionError, ValueError):  # too deep, or half a character
        return False


def _has_card_number(said: object) -> bool:
    """In its fields of numbers: numbers in what a provider wrote freely are masked."""
    if isinstance(said, Struct):
        return any(_has_card_number(getattr(said, field)) for field in said.__struct_fields__)
    if isinstance(said, tuple):
        return any(map(_has_card_number, said))
    return isinstance(said, int) and contains_card_data(said)


def _is_clean_json(said: Struct) -> bool:
    """Whether JSON can write it, which half a character prevents, without a NUL."""
    try:
        return _NUL not in _ENCODER.encode(said)
    except (TypeError, ValueError, RecursionError):
        return False


def _is_plain(said: Any) -> bool:
    """Whether its fields hold texts, parsed JSON, plausible times and numbers that are too small for a card number's,
    at any depth. What a provider wrote freely is parsed JSON."""
    values = said if isinstance(said, tuple) else (getattr(said, field) for field in said.__struct_fields__)
    for value in values:
        kind = type(value)
        if kind in _TIMELESS:
            continue
        if kind is int:
            if not -BELOW_CARDS < value < BELOW_CARDS:
                return False
        elif kind is datetime:
            if not is_storable_time(value):
                return False
        elif not isinstance(value, Struct | tuple) or not _is_plain(value):
            return False
    return True


def _storable_within(value: Any) -> bool:
    if isinstance(value, datetime):
        return is_storable_time(value)
    if isinstance(value, str):
        return "\x00" not in value and is_text(value)
    if isinstance(value, Mapping):
        return all(_storable_within(part) for item in value.items() for part in item)
    if isinstance(value, list | tuple):
        return all(_storable_within(part) for part in value)
    return True
