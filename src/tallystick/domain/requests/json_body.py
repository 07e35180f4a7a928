"""Reads a request body as exactly one JSON object (RFC 8259), and refuses what two parsers could read differently.

Refused: duplicate member names, NaN and Infinity, deep nesting, lone surrogates, a byte order mark, anything
but UTF-8. Numbers that are not plain integers stay as the text that was sent. Nothing raised here repeats
client input.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final, NoReturn

from tallystick.domain.errors import TallystickError
from tallystick.kit.card_data import looks_like_card_number

# Levels of objects and arrays. The deepest body of the contract has two (metadata); the rest is room for the
# future.
MAX_DEPTH: Final = 16

# A signed 64-bit integer has at most 19 characters without its sign: longer numbers are kept as text.
_MAX_INTEGER_CHARS: Final = 19

# Characters of a client's member name that are repeated in an answer: the longest metadata key fits.
MAX_ECHOED_NAME_CHARS: Final = 40

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_SURROGATE_ESCAPE: Final = re.compile(rb"\\u[dD][89a-fA-F]")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


class BadJson(TallystickError):
    """The body is not a valid JSON object. ``code`` is stable; ``detail`` never repeats what was sent."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class NumberLiteral(str):
    """A JSON number as it was written: one with a fraction or an exponent, or too long for 64 bits."""

    __slots__ = ()


def parse_json_object(raw: bytes) -> dict[str, Any]:
    """The JSON object in ``raw``; numbers are ``int`` or ``NumberLiteral``, never ``float``.

    BadJson with one of the codes byte_order_mark, not_utf8, json_broken, duplicate_name, not_a_number,
    too_deep, lone_surrogate, not_an_object.
    """
    if raw.startswith(_BYTE_ORDER_MARK):
        raise BadJson("byte_order_mark", "The body starts with a byte order mark.")
    value = _decode(raw)
    # Only a body with more opening brackets than levels can be too deep: ordinary bodies are not walked.
    if raw.count(b"{") + raw.count(b"[") > MAX_DEPTH and _is_deeper_than(MAX_DEPTH, value):
        raise _too_deep()
    if _SURROGATE_ESCAPE.search(raw) is not None and _holds_lone_surrogate(value):
        raise BadJson("lone_surrogate", "A string holds half of a surrogate pair.")
    if type(value) is not dict:
        raise BadJson("not_an_object", "The body is not a JSON object.")
    return value


def safe_name(name: str) -> str:
    """A client's member name, safe to repeat: cut short, non-printables escaped, never a card number."""
    cut = name[:MAX_ECHOED_NAME_CHARS]
    if looks_like_card_number(name) or looks_like_card_number(cut):
        return "(withheld)"
    if cut.isprintable():
        return cut
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in cut
    )


def _decode(raw: bytes) -> object:
    # Raised outside the handlers: the decoders' own exceptions carry the whole body and must not be chained.
    try:
        return _DECODER.decode(raw.decode())
    except UnicodeDecodeError:
        problem = BadJson("not_utf8", "The body is not UTF-8.")
    except RecursionError:
        problem = _too_deep()
    except json.JSONDecodeError as error:
        problem = BadJson("json_broken", f"Broken JSON at line {error.lineno}, column {error.colno}.")
    raise problem


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise BadJson("duplicate_name", "An object has two members of the same name.")
    return members


def _integer(literal: str) -> int | NumberLiteral:
    return int(literal) if len(literal) <= _MAX_INTEGER_CHARS else NumberLiteral(literal)


def _constant(_: str) -> NoReturn:
    raise BadJson("not_a_number", "NaN and Infinity are not JSON.")


def _too_deep() -> BadJson:
    return BadJson("too_deep", f"Objects and arrays are nested deeper than {MAX_DEPTH} levels.")


def _is_deeper_than(levels: int, value: object) -> bool:
    layer = [value] if isinstance(value, dict | list) else []
    for _ in range(levels):
        layer = [child for item in layer for child in _children(item) if isinstance(child, dict | list)]
    return bool(layer)


def _children(value: object) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _holds_lone_surrogate(value: object) -> bool:
    if isinstance(value, dict) and any(map(_holds_lone_surrogate, value)):
        return True
    if isinstance(value, str):
        return _SURROGATE.search(value) is not None
    return any(map(_holds_lone_surrogate, _children(value)))


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=NumberLiteral, parse_int=_integer, parse_constant=_constant
)
