"""JSON objects as they stand in the record, where somebody may have written anything."""

from __future__ import annotations

from typing import Any, Final

import msgspec

_OBJECT: Final = msgspec.json.Decoder(dict[str, Any])


def object_in(body: bytes) -> dict[str, Any] | None:
    """The object; None for bytes that are none: no JSON, no UTF-8, nested too deep, a number that is too large, or
    another value than an object. The values of its members may be anything."""
    try:
        return _OBJECT.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
