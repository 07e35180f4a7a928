"""The reference that everything we make at Adyen carries, and that its notifications bring back. Pure.

``<merchant>.<payment>.<attempt>.<kind>``, at most 80 characters, which is all that Adyen keeps: a merchant's name has
up to 32, and an id is 128 bits, 22 digits of base 62. The kind says what the attempt is, so that a notification about
a capture can be told from one that brings the payment's own reference (one for a capture made in Adyen's dashboard),
and a sale, which is captured by itself, from a hold: notifications do not say how a payment is to be captured.
"""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from typing import Final, assert_never

from msgspec import Struct

from tallystick.domain.subjects import Operation

#: Longest reference that Adyen keeps, in characters.
MAX_REFERENCE_CHARS: Final = 80

#: Kind -> operation. A sale is an authorization that is captured at once.
OPERATIONS: Final[Mapping[str, Operation]] = {
    "s": "authorize",
    "a": "authorize",
    "c": "capture",
    "v": "cancel",
    "r": "refund",
}

_DIGITS: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
_VALUES: Final = {digit: value for value, digit in enumerate(_DIGITS)}
_ID_DIGITS: Final = 22  # 62^22 > 2^128
_SHAPE: Final = re.compile(r"([a-z0-9-]{1,32})\.([0-9A-Za-z]{22})\.([0-9A-Za-z]{22})\.([sacvr])", re.ASCII)


class Reference(Struct, frozen=True):
    """Whose attempt it is; ``operation`` and, of an authorization, whether it is captured by itself."""

    merchant_id: str
    payment_id: str
    attempt_id: str
    operation: Operation
    sale: bool = False


def write_reference(reference: Reference) -> str:
    """As Adyen gets it. Raises ValueError for ids that are not ours."""
    payment, attempt = _digits("pay_", reference.payment_id), _digits("att_", reference.attempt_id)
    written = f"{reference.merchant_id}.{payment}.{attempt}.{_kind(reference)}"
    if _SHAPE.fullmatch(written) is None:
        raise ValueError("a merchant id that cannot be in a reference")
    return written


def read_reference(text: str | None) -> Reference | None:
    """What a reference of ours says; None for what is not one of ours."""
    found = _SHAPE.fullmatch(text or "")
    if found is None:
        return None
    merchant_id, payment, attempt, kind = found.groups()
    payment_id, attempt_id = _id("pay_", payment), _id("att_", attempt)
    if payment_id is None or attempt_id is None:
        return None
    return Reference(merchant_id, payment_id, attempt_id, OPERATIONS[kind], kind == "s")


def _kind(reference: Reference) -> str:
    match reference.operation:
        case "authorize":
            return "s" if reference.sale else "a"
        case "capture":
            return "c"
        case "cancel":
            return "v"
        case "refund":
            return "r"
        case _:
            assert_never(reference.operation)


def _digits(prefix: str, name: str) -> str:
    value, digits = int(name.removeprefix(prefix), 16), ""
    if f"{prefix}{value:032x}" != name:
        raise ValueError("not an id of ours")
    for _ in range(_ID_DIGITS):
        value, digit = divmod(value, len(_DIGITS))
        digits = _DIGITS[digit] + digits
    return digits


def _id(prefix: str, digits: str) -> str | None:
    value = 0
    for digit in digits:
        value = value * len(_DIGITS) + _VALUES[digit]
    return None if value >> 128 else f"{prefix}{value:032x}"
