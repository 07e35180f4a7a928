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
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESSIV

from tallystick.domain.errors import TallystickError
from tallystick.kit import atomic_file
from tallystick.settings.load import Settings, SettingsError

#: The first byte of every sealed value; another format gets another version.
_VERSION: Final = b"\x01"
_ALIKE_VERSION: Final = b"\x02"

#: Of a sealed value that is encrypted once more, by a key in the record (``postgres/arrival_keys.py``).
WRAPPED_VERSION: Final = b"\x03"

#: AES-256.
KEY_BYTES: Final = 32

#: 96 bits, as SP 800-38D recommends; random nonces may be used 2^32 times with one key, which is rotated before.
_NONCE_BYTES: Final = 12

#: Where a key is without the setting, in the data directory.
KEY_FILE: Final = "sealing.key"

#: Enough of the key's hash to distinguish a few keys; it reveals nothing about the key.
KEY_ID_BYTES: Final = 4

#: GCM's own, at the end of what it encrypted.
_TAG_BYTES: Final = 16

_HEAD_BYTES: Final = len(_VERSION) + KEY_ID_BYTES + _NONCE_BYTES


class SealBroken(TallystickError):
    """The value was not sealed by any of these keys, belongs to another row, or was changed."""


class KeysUnreadable(SealBroken):
    """This process has no keys. ``why`` is about the file in the data directory; it never repeats a key. ``missing``:
    there is no such file."""

    def __init__(self, why: str, *, missing: bool = False) -> None:
        super().__init__(f"the sealing key is not here: {why}")
        self.why = why
        self.missing = missing


class SealingRefused(TallystickError):
    """This process may not seal now; the message says why."""


class KeyName(NamedTuple):
    """What a key is known by. ``key_id`` is in each value that it sealed. ``fingerprint`` is in the record: a SHA-256
    over 256 random bits, from which no guess finds them."""

    key_id: bytes
    fingerprint: bytes


class Sealer:
    """Seals with the first of its keys, opens with any. ``keys`` is called on first use: a process that seals nothing
    needs no key.

    While ``refused`` has a reason, it seals nothing: what would be sealed could not be opened elsewhere.
    """

    def __init__(self, keys: Callable[[], Sequence[bytes]]) -> None:
        self._keys = keys
        self.refused: str | None = None

    def seal(self, plain: bytes, about: bytes) -> bytes:
        """Encrypt ``plain``, bound to ``about``, the identity of its row. Raises SealingRefused."""
        first = self._sealing_ids()[0]
        nonce = os.urandom(_NONCE_BYTES)
        return _VERSION + first + nonce + self._ciphers[first].encrypt(nonce, plain, about)

    def open(self, sealed: bytes, about: bytes) -> bytes:
        """The sealed text. Raises SealBroken."""
        key_id = key_id_of(sealed)
        if key_id is None:
            raise SealBroken("it is not sealed")
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise SealBroken(f"sealed by the key {key_id.hex()}, which is not here")
        try:
            return cipher.decrypt(sealed[1 + KEY_ID_BYTES : _HEAD_BYTES], sealed[_HEAD_BYTES:], about)
        except InvalidTag:
            raise SealBroken("bound to another row, or changed") from None

    def seal_alike(self, plain: bytes, about: bytes) -> bytes:
        """Encrypt ``plain``, not empty: the same text about the same gives the same seal. Raises SealingRefused."""
        oldest = self._sealing_ids()[-1]
        return _ALIKE_VERSION + oldest + self._alike_ciphers[oldest].encrypt(plain, [about])

    def open_alike(self, sealed: bytes, about: bytes) -> bytes:
        """The text of ``seal_alike``. Raises SealBroken."""
        key_id, text = sealed[1 : 1 + KEY_ID_BYTES], sealed[1 + KEY_ID_BYTES :]
        cipher = self._alike_ciphers.get(key_id)
        if sealed[:1] != _ALIKE_VERSION or cipher is None:
            raise SealBroken("sealed by another key, or not sealed at all")
        try:
            return cipher.decrypt(text, [about])
        except (InvalidTag, ValueError):  # a ValueError: of a text that is too short
            raise SealBroken("about something else, or changed") from None

    def names(self) -> list[KeyName]:
        """Of each key that is here, the one that seals first. Raises KeysUnreadable."""
        return list(dict.fromkeys(KeyName(_key_id(key), fingerprint(key)) for key in self._held))

    def read_again(self) -> None:
        """Read the keys anew at the next use: a person may have put back the file."""
        self.__dict__.pop("_held", None)
        self.__dict__.pop("_ciphers", None)
        self.__dict__.pop("_alike_ciphers", None)

    def _sealing_ids(self) -> list[bytes]:
        """The ids of the keys that are here, the newest first. Raises SealingRefused."""
        if self.refused is not None:
            raise SealingRefused(self.refused)
        try:
            return list(self._ciphers)
        except KeysUnreadable as error:
            raise SealingRefused(str(error)) from None

    @cached_property
    def _ciphers(self) -> dict[bytes, AESGCM]:
        """By key id, the one that seals first."""
        return {_key_id(key): AESGCM(key) for key in self._held}

    @cached_property
    def _alike_ciphers(self) -> dict[bytes, AESSIV]:
        """By key id, the oldest last. Their keys are derived: one key serves one algorithm."""
        return {_key_id(key): AESSIV(hmac.digest(key, b"tallystick alike", "sha512")) for key in self._held}

    @cached_property
    def _held(self) -> Sequence[bytes]:
        try:
            return self._keys()
        except FileNotFoundError:
            raise KeysUnreadable(f"{KEY_FILE} is missing from the data directory", missing=True) from None
        except OSError as error:
            raise KeysUnreadable(f"{KEY_FILE} in the data directory cannot be read ({error.strerror})") from None
        except (SettingsError, UnicodeDecodeError):
            raise KeysUnreadable(f"{KEY_FILE} in the data directory holds no key") from None


def sealer_of(settings: Settings) -> Sealer:
    """A sealer with the keys of the settings; else with the key in the data directory, which is never made here.

    Raises SettingsError for malformed keys in the settings.
    """
    if settings.sealing_keys is not None:
        keys = [_read(text) for text in settings.sealing_keys.split(",")]
        return Sealer(lambda: keys)
    return Sealer(lambda: [_read(_key_file(settings).read_text(encoding="ascii"))])


def create_key(settings: Settings) -> None:
    """Make a key in the data directory, unless the settings have keys or the file is there: the first process that
    creates it creates it for all. Raises OSError."""
    file = _key_file(settings)
    if settings.sealing_keys is None and not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        atomic_file.create_if_absent(file, base64.b64encode(os.urandom(KEY_BYTES)).decode())


def key_id_of(sealed: bytes) -> bytes | None:
    """The id of the key that a value names; None for a value that was not sealed."""
    return (
        sealed[1 : 1 + KEY_ID_BYTES]
        if sealed[:1] in (_VERSION, WRAPPED_VERSION) and len(sealed) > _HEAD_BYTES + _TAG_BYTES
        else None
    )


def secret_row(merchant_id: str, endpoint_id: str, secret_id: str) -> bytes:
    """What a secret of an endpoint is bound to."""
    return f"webhook secret {merchant_id}/{endpoint_id}/{secret_id}".encode()


def delivery_row(provider: str, account: str, provider_event_id: str, delivery_id: str) -> bytes:
    """What the kept bytes of an arrival are bound to."""
    return f"{provider}/{account}/{provider_event_id}/{delivery_id}".encode()


def payment_row(merchant_id: str, payment_id: str) -> bytes:
    """What a payer's next action is bound to."""
    return f"next_action/payment/{merchant_id}/{payment_id}".encode()


def fingerprint(key: bytes) -> bytes:
    """32 bytes that tell keys apart."""
    return hashlib.sha256(b"tallystick sealing key fingerprint" + key).digest()


def _key_file(settings: Settings) -> Path:
    return Path(settings.data_dir).expanduser() / KEY_FILE


def _read(text: str) -> bytes:
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise SettingsError(f"TALLYSTICK_SEALING_KEYS: every key must be {KEY_BYTES} bytes in base64")
    return key


def _key_id(key: bytes) -> bytes:
    return hashlib.sha256(b"tallystick key id" + key).digest()[:KEY_ID_BYTES]
