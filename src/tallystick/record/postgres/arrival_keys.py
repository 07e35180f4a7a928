"""Bytes of arrivals under a key of their event, so that they can be erased: arrivals are append-only, events are not.

What the sealing key encrypted is encrypted once more, by a random key that stands in the event's row. Without it the
sealing key opens nothing. That key's id stays readable in front.
"""

from __future__ import annotations

import hashlib
import os
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tallystick.record.sealing import KEY_ID_BYTES, WRAPPED_VERSION, delivery_row

#: AES-128: the key has to be unknown, and nothing else.
KEY_BYTES: Final = 16

_NONCE_BYTES: Final = 12

#: An arrival by its key: provider, account, the provider's event id, delivery.
ArrivalName = tuple[str, str, str, str]


def new_key() -> bytes:
    """For the arrivals of one event."""
    return os.urandom(KEY_BYTES)


def wrapped(key: bytes, sealed: bytes, name: ArrivalName) -> bytes:
    """Sealed bytes under the event's key, bound to their arrival."""
    head = WRAPPED_VERSION + sealed[1 : 1 + KEY_ID_BYTES]
    return head + AESGCM(key).encrypt(_nonce(name), sealed, delivery_row(*name))


def is_wrapped(kept: bytes) -> bool:
    """Whether the event's key is needed."""
    return kept[:1] == WRAPPED_VERSION


def unwrapped(key: bytes | None, kept: bytes, name: ArrivalName) -> bytes:
    """The sealed bytes. Empty where they are erased, and where another key stands in the event's row."""
    if not is_wrapped(kept):
        return kept
    if key is None:
        return b""
    try:
        return AESGCM(key).decrypt(_nonce(name), kept[1 + KEY_ID_BYTES :], delivery_row(*name))
    except (InvalidTag, ValueError):
        return b""


def _nonce(name: ArrivalName) -> bytes:
    """Another one for each arrival under a key: an arrival's id is given once, and written once."""
    return hashlib.sha256(name[3].encode()).digest()[:_NONCE_BYTES]
