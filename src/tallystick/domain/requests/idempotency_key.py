"""The ``Idempotency-Key`` request header, quoted (draft-ietf-httpapi-idempotency-key-header) or bare.

The draft makes it a structured-field String (RFC 8941, section 3.3.3): ``"8e03…"``, with ``\\"`` and ``\\\\``
inside. Many clients send the value bare. Both forms are accepted, and both spellings of a value are the same key.
Parameters after the string are refused: none are defined, and ignoring one could merge two keys that a client
meant to be different.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from tallystick.domain.errors import TallystickError

# Long enough for any UUID with a prefix; short enough for a database index entry.
MAX_KEY_CHARS: Final = 255

_OPTIONAL_WHITESPACE: Final = " \t"  # OWS, RFC 9110 section 5.6.3
_QUOTED: Final = re.compile(r'"((?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\["\\])*+)"')
_ESCAPED: Final = re.compile(r"\\(.)")
# Bare: printable ASCII without the space, the quote and the comma. A comma or space may come from two
# header lines that a proxy joined, and a quote from a truncated string; all three may be sent in quotes.
_BARE: Final = re.compile(r"[\x21\x23-\x2b\x2d-\x7e]+")


class IdempotencyKeyMissing(TallystickError):
    """No ``Idempotency-Key`` header was sent."""

    code: Final = "idempotency_key_missing"
    detail: Final = "Send an Idempotency-Key header: one value per instruction, the same value on every retry of it."

    def __init__(self) -> None:
        super().__init__(self.detail)


class IdempotencyKeyInvalid(TallystickError):
    """The ``Idempotency-Key`` header cannot be read as one key. ``detail`` never repeats it."""

    code: Final = "idempotency_key_invalid"

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


def parse_idempotency_key(values: Sequence[str]) -> str:
    """The one key in the header lines ``values``, unquoted: 1-255 printable ASCII characters.

    IdempotencyKeyMissing without a header line; IdempotencyKeyInvalid for several lines, an empty or
    over-long key, characters outside printable ASCII, a broken quoted string, or a bare key with a space,
    comma or quote.
    """
    if not values:
        raise IdempotencyKeyMissing
    if len(values) > 1:
        raise IdempotencyKeyInvalid("The Idempotency-Key header was sent more than once.")
    key = _unquoted(values[0].strip(_OPTIONAL_WHITESPACE))
    if not key:
        raise IdempotencyKeyInvalid("The Idempotency-Key header is empty.")
    if len(key) > MAX_KEY_CHARS:
        raise IdempotencyKeyInvalid(f"The Idempotency-Key is longer than {MAX_KEY_CHARS} characters.")
    return key


def _unquoted(value: str) -> str:
    if not value.startswith('"'):
        if value and _BARE.fullmatch(value) is None:
            raise IdempotencyKeyInvalid(
                "A bare Idempotency-Key is printable ASCII without space, comma and quote; quote others."
            )
        return value
    quoted = _QUOTED.fullmatch(value)
    if quoted is None:
        raise IdempotencyKeyInvalid(
            'A quoted Idempotency-Key is a string of printable ASCII, with \\" and \\\\ for " and \\.'
        )
    return _ESCAPED.sub(r"\1", quoted.group(1))
