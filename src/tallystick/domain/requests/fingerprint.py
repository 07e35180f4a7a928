"""Fingerprints: two requests under one idempotency key are the same instruction if method, path and JSON are equal.

Only member order and whitespace are ignored. Defaults are not added, and number literals stay as written: a client that
repeats a request repeats its bytes, and a later release with other defaults must not change the answer.
"""

from __future__ import annotations

import hashlib
import struct
from typing import Any, Final

import msgspec

from tallystick.domain.requests.json_body import NumberLiteral, parse_json_object, safe_name

# Stored beside every fingerprint and hashed into it. Raise it when ``canonical`` or the framing changes, and
# keep the old way for as long as instructions of that version exist: keys never expire.
FINGERPRINT_VERSION: Final = 1

# Version, then the byte lengths of the three parts that follow: no two different triples share a framing.
_FRAME: Final = struct.Struct(">BQQQ")

# What ``differing_field`` returns for equal bodies: then the method or the path differs.
OPERATION: Final = "operation"


def canonical(body: dict[str, Any]) -> bytes:
    """The parsed body as UTF-8 JSON: names sorted at every level, no whitespace, number literals as sent."""
    return _ENCODER.encode(body)


def fingerprint(method: str, path: str, canonical_body: bytes) -> bytes:
    """SHA-256 (32 bytes) over version, method, path and canonical body."""
    method_bytes, path_bytes = method.encode(), path.encode()
    frame = _FRAME.pack(FINGERPRINT_VERSION, len(method_bytes), len(path_bytes), len(canonical_body))
    return hashlib.sha256(b"".join((frame, method_bytes, path_bytes, canonical_body))).digest()


def differing_field(stored_canonical: bytes, sent_canonical: bytes) -> str:
    """The first field, in sorted order, that differs between two canonical bodies: ``amount``, ``metadata.order``.

    "operation" when the bodies are equal. Both must come from ``canonical``; BadJson otherwise. Names are
    made safe to repeat, values never appear.
    """
    if stored_canonical == sent_canonical:
        return OPERATION
    return ".".join(_first_difference(parse_json_object(stored_canonical), parse_json_object(sent_canonical)))


def _first_difference(stored: dict[str, Any], sent: dict[str, Any]) -> list[str]:
    for name in sorted(stored.keys() | sent.keys()):
        if name not in stored or name not in sent:
            return [safe_name(name)]
        ours, theirs = stored[name], sent[name]
        # Compared as bytes: in Python True equals 1, and the literal 1.0 equals the string "1.0".
        if _ENCODER.encode(ours) == _ENCODER.encode(theirs):
            continue
        if isinstance(ours, dict) and isinstance(theirs, dict):
            return [safe_name(name), *_first_difference(ours, theirs)]
        return [safe_name(name)]
    return []


def _literal(value: object) -> msgspec.Raw:
    """Number literals are written as they were received."""
    if isinstance(value, NumberLiteral):
        return msgspec.Raw(value.encode())
    raise TypeError("only parsed JSON has a canonical form")


_ENCODER: Final = msgspec.json.Encoder(order="sorted", enc_hook=_literal)
