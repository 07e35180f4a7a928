"""Replaces the escapes of JSON, URLs and HTML by what they mean, and keeps where each character is written."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

#: An escape of JSON, of a URL or of HTML, written once or several times over. One of JSON begins at the first of a row
#: of backslashes, and at no other: a row that is no escape is looked at once.
_ESCAPE: Final = re.compile(
    r"(?P<url>(?:%(?:25)*[0-9A-Fa-f]{2})+)"
    r"|(?<!\\)\\++(?:"
    r"u(?P<high>[dD][89abAB][0-9A-Fa-f]{2})\\++u(?P<low>[dD][c-fC-F][0-9A-Fa-f]{2})"
    r"|u(?P<json>[0-9A-Fa-f]{4})"
    r"|(?P<control>[nrtbf\"'/]))"
    r"|&(?:(?P<space>[A-Za-z]{2,20})|\#(?P<html>[0-9]{1,7})|\#[xX](?P<html_hex>[0-9A-Fa-f]{1,6}));",
)
_URL_BYTE: Final = re.compile(r"%(?:25)*([0-9A-Fa-f]{2})")

#: A character of ASCII as JSON escapes it, once or several times over; or a quote that is not escaped.
_IN_JSON: Final = re.compile(r"(?<!\\)\\++(?:u00(?P<ascii>[2-7][0-9A-Fa-f])|(?P<sign>[\"/]))|\"")

_LAST_CODE_POINT: Final = 0x10FFFF


def unescaped(text: str) -> str:
    """The text with each escape replaced by what it means."""
    return _ESCAPE.sub(lambda found: "".join(character for character, _, _ in _meaning(found)), text)


def json_in_texts(text: str, quote: str) -> str:
    """JSON, also cut off or broken, with what its texts escape of ASCII as it is: JSON in them can be read. ``quote``:
    what stands for the quotes around them."""
    return _IN_JSON.sub(
        lambda found: chr(int(found["ascii"], 16)) if found["ascii"] else found["sign"] or quote,
        text,
    )


def unescaped_with_places(text: str) -> Iterator[tuple[str, int, int]]:
    """The characters of ``unescaped``, each with where it is written, as (character, start, end)."""
    at = 0
    for found in _ESCAPE.finditer(text):
        yield from ((text[place], place, place + 1) for place in range(at, found.start()))
        at = found.end()
        yield from _meaning(found)
    yield from ((text[place], place, place + 1) for place in range(at, len(text)))


def _meaning(found: re.Match[str]) -> Iterator[tuple[str, int, int]]:
    return _of_url(found) if found["url"] else iter([(_meant_by(found), *found.span())])


def _of_url(found: re.Match[str]) -> Iterator[tuple[str, int, int]]:
    """The characters of a row of percent-encoded bytes; a byte that is not UTF-8 is the replacement character."""
    codes = list(_URL_BYTE.finditer(found.string, found.start(), found.end()))
    octets = bytes(int(code[1], 16) for code in codes)
    at = 0
    while at < len(octets):
        size = next((each for each in (1, 2, 3, 4) if _is_utf8(octets[at : at + each])), None)
        character = "\ufffd" if size is None else octets[at : at + size].decode()
        last = at + (size or 1) - 1
        yield character, codes[at].start(), codes[last].end()
        at = last + 1


def _is_utf8(octets: bytes) -> bool:
    try:
        return len(octets.decode()) == 1
    except UnicodeDecodeError:
        return False


def _meant_by(found: re.Match[str]) -> str:
    if found["high"]:
        high, low = int(found["high"], 16) - 0xD800, int(found["low"], 16) - 0xDC00
        return chr(0x10000 + (high << 10) + low)
    if found["control"] or found["space"]:
        return " "
    code = int(found["json"] or found["html_hex"] or "0", 16) or int(found["html"] or "0")
    return chr(code) if 0 < code <= _LAST_CODE_POINT else " "
