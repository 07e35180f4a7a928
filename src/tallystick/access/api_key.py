"""API keys: their text, and how a presented key is compared with the stored hash. No I/O.

A key reads ``tsk_<merchant>_<key id>_<secret>``. It contains its merchant, so that only that merchant's shard
is asked. The key id names the row; it is public and may be logged. Only a hash of the secret is kept.

Key id and secret consist of letters only, and a merchant id that looks like a card number is refused. So a key never
looks like card data, which the API would refuse.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import string
from typing import Final

from msgspec import Struct

from tallystick.kit.card_data import looks_like_card_number

#: Lets secret scanners and people recognise a leaked key.
KEY_PREFIX: Final = "tsk"

#: 26 letters ^ 16 is 75 bits: unique without coordination, and short enough to read aloud.
KEY_ID_LENGTH: Final = 16

#: 52 letters ^ 45 is 256.5 bits: as hard to guess as the hash is to invert.
SECRET_LENGTH: Final = 45

#: No underscore, which separates the parts; a hyphen only between letters and digits.
_MERCHANT_ID: Final = r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?"

_MERCHANT: Final = re.compile(_MERCHANT_ID, re.ASCII)
_KEY: Final = re.compile(
    rf"{KEY_PREFIX}_({_MERCHANT_ID})_([a-z]{{{KEY_ID_LENGTH}}})_([A-Za-z]{{{SECRET_LENGTH}}})", re.ASCII
)


class MintedKey(Struct, frozen=True):
    """A new key. ``text`` is shown once and never stored; the other two are stored."""

    text: str
    key_id: str
    secret_hash: bytes

    def __repr__(self) -> str:
        return f"MintedKey(key_id={self.key_id!r})"


class ParsedKey(Struct, frozen=True):
    """The parts of a presented key, not yet authenticated."""

    merchant_id: str
    key_id: str
    secret: str

    def __repr__(self) -> str:
        return f"ParsedKey(merchant_id={self.merchant_id!r}, key_id={self.key_id!r})"


def is_merchant_id(text: str) -> bool:
    """Whether ``text`` is a valid merchant id: 1-32 of a-z, 0-9 and inner hyphens, and not like a card number."""
    return _MERCHANT.fullmatch(text) is not None and not looks_like_card_number(text)


def mint_key(merchant_id: str) -> MintedKey:
    """A new random key of this merchant. Raises ValueError for an invalid ``merchant_id``."""
    if not is_merchant_id(merchant_id):
        raise ValueError("a merchant id is 1-32 of a-z, 0-9 and inner hyphens, and not like a card number")
    key_id = _random_text(string.ascii_lowercase, KEY_ID_LENGTH)
    secret = _random_text(string.ascii_letters, SECRET_LENGTH)
    text = f"{KEY_PREFIX}_{merchant_id}_{key_id}_{secret}"
    return MintedKey(text=text, key_id=key_id, secret_hash=hash_secret(secret))


def parse_key(text: str) -> ParsedKey | None:
    """The parts of a key, or None if ``text`` is not a key."""
    found = _KEY.fullmatch(text)
    return None if found is None else ParsedKey(*found.groups())


def hash_secret(secret: str) -> bytes:
    """SHA-256, 32 bytes. No slow password hash: 256 random bits cannot be searched at any speed."""
    return hashlib.sha256(secret.encode()).digest()


def matches(secret: str, stored_hash: bytes) -> bool:
    """Whether ``secret`` has this hash, compared in constant time."""
    return hmac.compare_digest(hash_secret(secret), stored_hash)


def _random_text(alphabet: str, length: int) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(length))
