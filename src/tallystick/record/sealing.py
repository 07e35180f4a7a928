"""Encryption at rest: raw webhooks, endpoint secrets, payers' next actions, and names that look like card numbers.

AES-256-GCM (NIST SP 800-38D) with a random 96-bit nonce. The identity of the row is associated data, so that a sealed
value cannot be moved to another row. Each value names its key, so keys can rotate: the first seals, all open.

What has to be compared while it is sealed is sealed with AES-SIV (RFC 5297) and the oldest key, which is the last: the
same text is the same seal for as long as that key is there.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESSIV

from tallystick.domain.errors import TallystickError
from tallystick.kit import atomic_file
from tallystick.settings.load import Settings, SettingsError

#: The first byte of every sealed value; another format gets another version.
_VERSION: Final = b"\x01"
_ALIKE_VERSION: Final = b"\x02"

#: AES-256.
KEY_BYTES: Final = 32

#: 96 bits, as SP 800-38D recommends; random nonces may be used 2^32 times with one key, which is rotated before.
_NONCE_BYTES: Final = 12

#: Enough of the key's hash to distinguish a few keys; it reveals nothing about the key.
_KEY_ID_BYTES: Final = 4

_HEAD_BYTES: Final = len(_VERSION) + _KEY_ID_BYTES + _NONCE_BYTES


class SealBroken(TallystickError):
    """The value was not sealed by any of these keys, belongs to another row, or was changed."""


class Sealer:
    """Seals with the first of its keys, opens with any. ``keys`` is called on first use: a process that seals nothing
    needs no key."""

    def __init__(self, keys: Callable[[], Sequence[bytes]]) -> None:
        self._keys = keys

    def seal(self, plain: bytes, about: bytes) -> bytes:
        """Encrypt ``plain``, bound to ``about``, the identity of its row."""
        nonce = os.urandom(_NONCE_BYTES)
        first = next(iter(self._ciphers))
        return _VERSION + first + nonce + self._ciphers[first].encrypt(nonce, plain, about)

    def open(self, sealed: bytes, about: bytes) -> bytes:
        """The sealed text. Raises SealBroken."""
        key_id, nonce = sealed[1 : 1 + _KEY_ID_BYTES], sealed[1 + _KEY_ID_BYTES : _HEAD_BYTES]
        cipher = self._ciphers.get(key_id)
        if sealed[:1] != _VERSION or cipher is None or len(nonce) != _NONCE_BYTES:
            raise SealBroken("sealed by another key, or not sealed at all")
        try:
            return cipher.decrypt(nonce, sealed[_HEAD_BYTES:], about)
        except InvalidTag:
            raise SealBroken("bound to another row, or changed") from None

    def seal_alike(self, plain: bytes, about: bytes) -> bytes:
        """Encrypt ``plain``, not empty: the same text about the same gives the same seal."""
        oldest = list(self._alike_ciphers)[-1]
        return _ALIKE_VERSION + oldest + self._alike_ciphers[oldest].encrypt(plain, [about])

    def open_alike(self, sealed: bytes, about: bytes) -> bytes:
        """The text of ``seal_alike``. Raises SealBroken."""
        key_id, text = sealed[1 : 1 + _KEY_ID_BYTES], sealed[1 + _KEY_ID_BYTES :]
        cipher = self._alike_ciphers.get(key_id)
        if sealed[:1] != _ALIKE_VERSION or cipher is None:
            raise SealBroken("sealed by another key, or not sealed at all")
        try:
            return cipher.decrypt(text, [about])
        except (InvalidTag, ValueError):  # a ValueError: of a text that is too short
            raise SealBroken("about something else, or changed") from None

    @cached_property
    def _alike_ciphers(self) -> dict[bytes, AESSIV]:
        """By key id, the oldest last. Their keys are derived: one key serves one algorithm."""
        return {_key_id(key): AESSIV(hmac.digest(key, b"tallystick alike", "sha512")) for key in self._keys()}

    @cached_property
    def _ciphers(self) -> dict[bytes, AESGCM]:
        """By key id, the one that seals first."""
        return {_key_id(key): AESGCM(key) for key in self._keys()}


def sealer_of(settings: Settings) -> Sealer:
    """A sealer with the keys of the settings; else with the key in the data directory, created if missing.

    Raises SettingsError for malformed keys; OSError if the first use cannot create one.
    """
    if settings.sealing_keys is not None:
        keys = [_read(text) for text in settings.sealing_keys.split(",")]
        return Sealer(lambda: keys)
    return Sealer(lambda: [_read(_own_key(Path(settings.data_dir).expanduser() / "sealing.key"))])


def _own_key(file: Path) -> str:
    """The key in ``file``. The first process that creates it creates it for all."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        atomic_file.create_if_absent(file, base64.b64encode(os.urandom(KEY_BYTES)).decode())
    return file.read_text(encoding="ascii")


def _read(text: str) -> bytes:
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise SettingsError(f"TALLYSTICK_SEALING_KEYS: every key must be {KEY_BYTES} bytes in base64")
    return key


def _key_id(key: bytes) -> bytes:
    return hashlib.sha256(b"tallystick key id" + key).digest()[:_KEY_ID_BYTES]
