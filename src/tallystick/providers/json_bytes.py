"""JSON in bytes that somebody else wrote."""

from __future__ import annotations

from typing import Final

import msgspec

#: What a decoder raises for such bytes: text that is no JSON or of other types, half a character, too many brackets.
ILL_FORMED: Final = (msgspec.MsgspecError, ValueError, RecursionError)

_ANY: Final = msgspec.json.Decoder()


def said_in(body: bytes) -> object:
    """The whole of it as data; None where it is no JSON that could be read."""
    try:
        return _ANY.decode(body)
    except ILL_FORMED:
        return None
