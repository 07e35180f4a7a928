"""A line of the log as bytes: a JSON object, or words for a person at a terminal. One format for every line."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any, Final

import msgspec

_ENCODER: Final = msgspec.json.Encoder(enc_hook=repr)

#: What stands before the fields in words, in this order; each of them is a part of every line.
_HEAD: Final = frozenset({"timestamp", "level", "event", "component"})

#: Widths in words, so that the columns of most lines stand below each other.
_LEVEL_WIDTH: Final = 7
_EVENT_WIDTH: Final = 24

_NANOSECONDS: Final = 1_000_000_000


def as_json(line: Mapping[str, Any]) -> bytes:
    """One JSON object, without a newline."""
    return _ENCODER.encode(line)


def as_text(line: Mapping[str, Any]) -> bytes:
    """For people: time of day (UTC), level, event, then the fields as ``name=value``. A value with a space or a sign
    that could pass for something else is quoted as in JSON, so that no value begins a line."""
    at = str(line.get("timestamp", ""))[11:23]
    head = f"{at} {line.get('level', ''):<{_LEVEL_WIDTH}} {_value(line.get('event')):<{_EVENT_WIDTH}}"
    fields = (f"{name}={_value(value)}" for name, value in line.items() if name not in _HEAD)
    return " ".join((head, *fields)).rstrip().encode("utf-8", "backslashreplace")


def _value(value: object) -> str:
    if isinstance(value, str):
        plain = value.isascii() and value.isprintable() and not any(sign in value for sign in '"=')
        return value if plain and (" " not in value or value.replace(" ", "").isalpha()) else json.dumps(value)
    if value is None or isinstance(value, bool | int | float):
        return json.dumps(value)
    return _ENCODER.encode(value).decode()


class Moments:
    """Times in ISO 8601 (UTC, microseconds) from nanoseconds since 1970. The second is written once for all its
    moments: that is most of the work."""

    def __init__(self) -> None:
        self._second = -1
        self._written = ""

    def written(self, at_ns: int) -> str:
        """As ``2026-11-26T12:00:00.000000Z``."""
        second, rest_ns = divmod(at_ns, _NANOSECONDS)
        if second != self._second:
            self._second, self._written = second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._written}.{rest_ns // 1000:06d}Z"
