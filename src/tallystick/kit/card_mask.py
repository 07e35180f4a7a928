"""Masks card numbers and security codes in what others wrote, in place: each of their digits becomes ``*``.

``card_data`` says what a card number is, and finds those for which a request is refused: it must not refuse a request
without one. Here nothing is refused, and masking a number too many costs little. So a card number is found at any place
in a row of digits, however they are separated, and behind escapes. A row of digits that holds one is masked whole.
Security codes are masked where they are named, and where they follow a number.

UUIDs, digests, our own ids and times are not looked into: their shape says what they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import groupby
from typing import Any, Final, NamedTuple

from tallystick.kit.card_data import ASCII_FOLD, has_card_like_number, numbers_within
from tallystick.kit.escapes import unescaped, unescaped_with_places

#: What a digit becomes.
MASK: Final = "*"

#: Replaces a value that cannot be walked through.
WITHHELD: Final = "[withheld: looks like card data]"

#: More digits in one row than any text has a reason for are masked without a look: it keeps the work linear.
_MAX_ROW_DIGITS: Final = 400

#: Between two digits of one number may stand so many characters that are neither letter nor digit: ``", \n    "``.
_MAX_GAP: Final = 8

#: As many digits as the shortest card number has, each as a zero.
_THIRTEEN: Final = b"0" * 13

#: For the first look: a digit is a zero, a letter is small, and what begins an escape is one sign; all else goes, in
#: any script: a number may be written with any signs between.
_ESCAPE_SIGN: Final = b"%"
_FLAT: Final = bytes.maketrans(
    b"123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ\\&", b"000000000abcdefghijklmnopqrstuvwxyz" + _ESCAPE_SIGN * 2
)
_DROPPED: Final = bytes(code for code in range(256) if code > 127 or not (chr(code).isalnum() or chr(code) in "\\%&"))

#: Shapes that are not looked into, in small letters. Each stands alone. Hexadecimal ones have a letter, so that digits
#: alone never pass for one, and a usual length, so that a number with a few letters after it does not either. A UUID's
#: letter is looked for within its length: what is beyond is none of it, and a row of dashes is not read from each.
_SHAPES: Final = re.compile(
    r"(?<![0-9a-z])(?:"
    r"(?=[0-9-]{0,35}+[a-f])[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    r"|(?:0x)?(?=[0-9]*[a-f])(?:[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64})"
    r"|[a-z]{2,4}_[0-9a-f]{32}"
    r"|[12][0-9]{3}-[01][0-9]-[0-3][0-9][t ][0-2][0-9]:[0-5][0-9]:[0-6][0-9](?:\.[0-9]{1,9})?"
    r"(?:z|[+-][0-9]{2}:?[0-9]{2})?"
    r")(?![0-9a-z])"
)
_ROW: Final = re.compile(rf"[0-9](?:[\W_]{{0,{_MAX_GAP}}}[0-9]){{12,}}")
_IDENTIFIER: Final = re.compile(r"[A-Za-z0-9_.:/~-]+", re.ASCII)
_LONG_RUN: Final = re.compile(r"[0-9]{20,}", re.ASCII)

#: A security code by its name, with nothing but signs and these words between. Three or four digits that stand alone.
_NAMED_CODE: Final = re.compile(
    r"(?:cv[cv]2?|(?<![a-z])(?:csc|cid|cav2?)|(?:security|verification|card)[\W_]{0,3}(?:code|value|number|no))"
    r"(?:[\W_]{1,8}(?:code|number|value|is|was|given|entered|sent)(?![^\W_])){0,3}[\W_]{0,8}"
    r"([0-9](?:[\W_]?[0-9]){2,3})(?![0-9])"
)

#: Lengths of security codes; and how many groups after a number are looked at (month, year, code).
_CODE_DIGITS: Final = (3, 4)
_GROUPS_AFTER: Final = 4

#: Floats below are written without an exponent, and have too few digits before the point; those beyond have too many.
_PLAIN_FLOATS: Final = 1e12
_BEYOND_CARDS: Final = 1e20

#: Stands between two values of one tree. No text in it may have it.
_BETWEEN: Final = "\x1f"


def mask_cards(text: str) -> str:
    """The text without card numbers and security codes; the same object where it has none."""
    if is_clear(text):
        return text
    hidden = _hidden(text)
    return _masked(text, hidden) if hidden else text


def mask_cards_within(value: Any) -> Any:
    """Parsed JSON without them, in keys and values, at any depth, and over the borders of neighbouring values. The same
    object where it has none. A number that is masked becomes a text."""
    leaves = _leaves(value)
    joined = _BETWEEN.join(leaves)
    if is_clear(joined):
        return value
    hidden = _hidden(joined)
    if not hidden:
        return value
    try:
        return _rebuilt(value, iter(zip(leaves, _masked(joined, hidden).split(_BETWEEN), strict=True)))
    except RecursionError:
        return WITHHELD


def names_a_card(identifier: str) -> bool:
    """Whether an identifier looks like a card number. Its rows of digits are judged whole, as ``card_data`` does;
    twenty and more, where one could hide, at every place. What has not the shape of an identifier is judged as text."""
    flat = _flat(identifier)
    if _THIRTEEN not in flat and _ESCAPE_SIGN not in flat:
        return False
    if _IDENTIFIER.fullmatch(identifier) is None:
        return mask_cards(identifier) != identifier
    text = _without_shapes(identifier.lower())
    return has_card_like_number(text) or any(next(numbers_within(run), None) for run in _LONG_RUN.findall(text))


def _flat(text: str) -> bytes:
    if not text.isascii():
        text = text.translate(ASCII_FOLD)
    return text.encode("utf-8", "surrogatepass").translate(_FLAT, _DROPPED)


def is_clear(text: str) -> bool:
    """The cheap first look: true only where there is certainly nothing to mask."""
    flat = _flat(text)
    return _ESCAPE_SIGN not in flat and not _is_suspicious(flat)


def is_clear_json(written: bytes) -> bool:
    """``is_clear`` of JSON: true only where ``mask_cards_within`` changes none of its parts. Escaped quotation
    marks hide nothing."""
    unquoted = written.replace(b'\\"', b"")
    if not written.isascii():
        return is_clear(unquoted.decode())
    flat = unquoted.translate(_FLAT, _DROPPED)
    return _ESCAPE_SIGN not in flat and not _is_suspicious(flat)


def _is_suspicious(flat: bytes) -> bool:
    return (
        _THIRTEEN in flat
        or (b"cv" in flat and (b"cvc" in flat or b"cvv" in flat))
        or (b"code" in flat and (b"securitycode" in flat or b"cardcode" in flat or b"verificationcode" in flat))
    )


class _View(NamedTuple):
    """A text as it is looked at, in ASCII and small letters: its character at ``i`` is what stands at ``spans[i]``."""

    text: str
    spans: Sequence[tuple[int, int]]


def _view(characters: Iterator[tuple[str, int, int]]) -> _View:
    folded: list[str] = []
    spans: list[tuple[int, int]] = []
    for character, start, end in characters:
        meant = ASCII_FOLD[ord(character)]
        if meant is not None:
            folded.append(meant.lower() if meant.isascii() else meant)
            spans.append((start, end))
    return _View("".join(folded), spans)


def _hidden(text: str) -> set[tuple[int, int]]:
    """The places of the digits that are masked: in the text as it is written, and as its escapes mean it. What looks
    like an escape need not be one."""
    hidden: set[tuple[int, int]] = set()
    if _is_suspicious(_flat(text)):
        if text.isascii():
            hidden.update((at, at + 1) for at in _hidden_in(text.lower()))
        else:
            hidden.update(_hidden_in_view(_view((character, at, at + 1) for at, character in enumerate(text))))
    meant = unescaped(text)
    if meant != text and _is_suspicious(_flat(meant)) and _hidden_in(meant.translate(ASCII_FOLD).lower()):
        hidden.update(_hidden_in_view(_view(unescaped_with_places(text))))
    return hidden


def _hidden_in_view(view: _View) -> Iterator[tuple[int, int]]:
    return (view.spans[at] for at in _hidden_in(view.text))


def _hidden_in(text: str) -> set[int]:
    text = _without_shapes(text)
    hidden: set[int] = set()
    for row in _ROW.finditer(text):
        hidden.update(_hidden_in_row(row))
    for named in _NAMED_CODE.finditer(text):
        hidden.update(at for at in range(*named.span(1)) if text[at] in "0123456789")
    return hidden


def _without_shapes(text: str) -> str:
    return _SHAPES.sub(lambda shape: "x" * len(shape[0]), text)


def _hidden_in_row(row: re.Match[str]) -> Iterator[int]:
    """Of groups of digits those that hold a number, whole, and the codes after them."""
    places = [at for at in range(*row.span()) if row.string[at] in "0123456789"]
    if len(places) > _MAX_ROW_DIGITS:
        yield from places
        return
    digits = "".join(row.string[at] for at in places)
    of_a_number = {
        place
        for start, end in numbers_within(digits)
        if _is_one(row.string, places[start:end])
        for place in places[start:end]
    }
    if not of_a_number:
        return
    groups = [[at for _, at in group] for _, group in groupby(enumerate(places), lambda each: each[1] - each[0])]
    since = _GROUPS_AFTER
    for group in groups:
        if not of_a_number.isdisjoint(group):
            since = 0
            yield from group
            continue
        since += 1
        if since <= _GROUPS_AFTER and len(group) in _CODE_DIGITS:
            yield from group


def _is_one(text: str, places: Sequence[int]) -> bool:
    """Whether digits are parts of one number: over a border between values only where each value is a whole part."""
    first, last = places[0], places[-1]
    if _BETWEEN not in text[first:last]:
        return True
    return not (text[first - 1 : first].isdigit() or text[last + 1 : last + 2].isdigit())


def _masked(text: str, hidden: set[tuple[int, int]]) -> str:
    parts: list[str] = []
    at = 0
    for start, end in sorted(hidden):
        if start < at:  # the same digit as another view has it
            continue
        parts += (text[at:start], MASK)
        at = end
    return "".join((*parts, text[at:]))


def _leaves(value: Any) -> list[str]:
    """The texts and numbers of a tree, keys included, in the order in which they are written."""
    leaves: list[str] = []
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if type(item) is str and _BETWEEN not in item:  # nearly all of them
            leaves.append(item)
        elif isinstance(item, dict):
            for key, held in reversed(item.items()):
                waiting += (held, key)
        elif isinstance(item, list | tuple):
            waiting.extend(reversed(item))
        else:
            leaves.append(_as_text(item))
    return leaves


def _as_text(item: Any) -> str:
    if isinstance(item, str):
        return item.replace(_BETWEEN, " ") if _BETWEEN in item else item
    if isinstance(item, float):
        return repr(item) if abs(item) < _PLAIN_FLOATS else f"{item:.0f}" if abs(item) < _BEYOND_CARDS else "x"
    return str(item) if isinstance(item, int | Decimal) and not isinstance(item, bool) else "x"


def _rebuilt(value: Any, leaves: Iterator[tuple[str, str]]) -> Any:
    if isinstance(value, dict):
        made: dict[Any, Any] = {}
        for key, held in value.items():
            name = _rebuilt(key, leaves)
            while name in made:  # two keys that differed in what is masked
                name = f"{name}'"
            made[name] = _rebuilt(held, leaves)
        return made
    if isinstance(value, list | tuple):
        return [_rebuilt(held, leaves) for held in value]
    before, after = next(leaves)
    return value if before == after else after
