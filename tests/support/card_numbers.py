"""Card numbers that no card has, in every way in which a text may hold them, and what can still be read of them."""

from __future__ import annotations

import html
import json
import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import quote, unquote

from hypothesis import strategies as st

#: Prefix and length of issuers.
ISSUERS: Final = (("4", 16), ("4", 13), ("4", 19), ("51", 16), ("34", 15), ("6011", 16), ("36", 14), ("62", 17))


def numbers() -> st.SearchStrategy[str]:
    """Numbers that pass for a card's."""

    def of(issuer: tuple[str, int]) -> st.SearchStrategy[str]:
        prefix, length = issuer
        free = length - len(prefix) - 1
        return st.integers(0, 10**free - 1).map(lambda rest: completed(f"{prefix}{rest:0{free}d}"))

    return st.sampled_from(ISSUERS).flatmap(of)


def completed(digits: str) -> str:
    """With the check digit of ISO/IEC 7812-1, annex B."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        doubled = int(digit) * (2 if place % 2 == 0 else 1)
        total += doubled - 9 if doubled > 9 else doubled
    return f"{digits}{-total % 10}"


def _grouped(gap: str) -> Callable[[str], str]:
    return lambda number: gap.join(re.findall(".{1,4}", number))


def _in_script(zero: str) -> Callable[[str], str]:
    return lambda number: "".join(chr(ord(zero) + int(digit)) for digit in number)


def _percent(number: str) -> str:
    return "".join(f"%{ord(digit):02X}" for digit in number)


_GAPS: Final = (" ", "-", ".", "\n", "\r\n  ", "/", "_", "\u00a0", "\u2011", ", ", "\uff0c", "\u2192", "\x80")

#: A way to write a number -> how.
WRITTEN: Final[Mapping[str, Callable[[str], str]]] = {
    "plain": str,
    "in a longer run": lambda number: f"99{number}0",
    **{f"grouped by {gap!r}": _grouped(gap) for gap in _GAPS},
    "digit by digit": lambda number: " ".join(number),
    "between letters": lambda number: f"x{number}abcd",
    "fullwidth": _in_script("\uff10"),
    "arabic": _in_script("\u0660"),
    "mathematical": _in_script("\U0001d7ce"),
    "with invisible characters": lambda number: "\u200b".join(number),
    "in JSON": lambda number: json.dumps(_grouped("\n")(number)),
    "in JSON in JSON": lambda number: json.dumps(json.dumps({"n": _in_script("\uff10")(number)})),
    "split by JSON": lambda number: json.dumps(re.findall(".{1,4}", number)),
    "percent": _percent,
    "percent twice": lambda number: quote(_percent(number)),
    "in a URL": lambda number: f"https://bank.example/3ds?a=1&pan={quote(_grouped(' ')(number))}&b=2",
    "fullwidth in a URL": lambda number: quote(_in_script("\uff10")(number)),
    "in HTML": lambda number: "&nbsp;".join(re.findall(".{1,4}", number)),
    "in HTML by its names": lambda number: "&thinsp;&middot;".join(re.findall(".{1,4}", number)),
    "as HTML": lambda number: "".join(f"&#{ord(digit)};" for digit in number),
}  # fmt: skip


def readings(text: str) -> set[str]:
    """The digits of a text, with nothing between them: as it is written, and as its escapes mean it."""
    views = [text]
    for _ in range(2):
        views += [unquote(view) for view in views] + [html.unescape(view) for view in views]
        views += [_unescaped(view) for view in views]
        views = list(dict.fromkeys(views))
    return {view.translate(_DIGITS) for view in views}


def _unescaped(text: str) -> str:
    text = re.sub(r"\\+u([0-9A-Fa-f]{4})", lambda found: chr(int(found[1], 16)), text)
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return re.sub(r"\\+[nrt\"]", " ", text)


class _Digits(dict[int, str | None]):
    """For ``str.translate``: digits of every script to ASCII, all else to nothing."""

    def __missing__(self, code: int) -> str | None:
        digit = unicodedata.digit(chr(code), None)
        self[code] = None if digit is None else str(digit)
        return self[code]


_DIGITS: Final = _Digits()
