"""Finds the parts of JSON text that a strict reader refuses as a whole. Pure, and without recursion.

One delivery holds several items, each with a signature of its own. A number that is not finite, half a character or a
thousand brackets in one of them must cost no other item its place. What is found here is judged by its signature and
kept; it is never translated.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import msgspec

_STRING: Final = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_TEXT: Final = re.compile(_STRING, re.DOTALL)
_SCALAR: Final = re.compile(rb"[^\s,\[\]{}\":]+")
_TOKEN: Final = re.compile(_STRING + rb"|[\[\]{}\"]", re.DOTALL)
_BRACKET: Final = re.compile(rb"[\[\]{}]")
_SPACE: Final = re.compile(rb"\s*")
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"

_NAME: Final = msgspec.json.Decoder(str)


def members(text: bytes) -> dict[str, bytes]:
    """The members of an object, each value as it is written; of a repeated name the last. Raises ValueError."""
    found: dict[str, bytes] = {}
    for name, value in _parts(text, b"{", b"}"):
        try:
            found[_NAME.decode(name)] = value
        except msgspec.MsgspecError:
            continue  # a name that nobody looks for
    return found


def elements(text: bytes) -> list[bytes]:
    """The elements of a list, each as it is written. Raises ValueError."""
    return [value for _, value in _parts(text, b"[", b"]")]


def _parts(text: bytes, opens: bytes, closes: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and value of each part; elements have no name."""
    text = text.removeprefix(_BYTE_ORDER_MARK)
    tokens = _Tokens(text)
    at = _after_space(text, 0)
    if text[at : at + 1] != opens:
        raise ValueError("another kind of value")
    at = _after_space(text, at + 1)
    while text[at : at + 1] != closes:
        name = b""
        if opens == b"{":
            end = _end_of_value(text, at, tokens)
            name, at = text[at:end], _after_space(text, end)
            if text[at : at + 1] != b":":
                raise ValueError("a name without a value")
            at = _after_space(text, at + 1)
        end = _end_of_value(text, at, tokens)
        yield name, text[at:end]
        at = _after_space(text, end)
        if text[at : at + 1] == b",":
            at = _after_space(text, at + 1)
        elif text[at : at + 1] != closes:
            raise ValueError("it ends too early")


class _Tokens:
    """Brackets, and strings that end. After a quotation mark whose string never ends all others are escaped: no string
    begins there either, and none of them is looked at again."""

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._strings_until = len(text)

    def after(self, at: int) -> Iterator[re.Match[bytes]]:
        """Those from this place on."""
        if at < self._strings_until:
            for token in _TOKEN.finditer(self._text, at):
                if token[0] == b'"':
                    self._strings_until = at = token.start()
                    break
                yield token
            else:
                return
        yield from _BRACKET.finditer(self._text, at)


def _end_of_value(text: bytes, at: int, tokens: _Tokens) -> int:
    if text[at : at + 1] not in (b"{", b"["):
        found = _TEXT.match(text, at) or _SCALAR.match(text, at)
        if found is None:
            raise ValueError("no value")
        return found.end()
    depth = 0
    for token in tokens.after(at):
        if token[0] in (b"{", b"["):
            depth += 1
        elif token[0] in (b"}", b"]"):
            depth -= 1
            if depth == 0:
                return token.end()
    raise ValueError("it ends too early")


def _after_space(text: bytes, at: int) -> int:
    found = _SPACE.match(text, at)
    assert found is not None  # it matches nothing too
    return found.end()
