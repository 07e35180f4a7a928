"""Where a page of a list begins: cursors, opaque to clients."""

from __future__ import annotations

import base64
import binascii
from typing import Final

from tallystick.domain.errors import ProblemField
from tallystick.domain.requests.commands import InvalidFields
from tallystick.kit.ids import is_id

#: The first byte of a cursor: another way to page gets another one.
_CURSOR_VERSION: Final = b"\x01"


def write_cursor(payment_id: str) -> str:
    """A position in a list of payments: after this one. Opaque to clients."""
    return (
        base64.urlsafe_b64encode(_CURSOR_VERSION + bytes.fromhex(payment_id.removeprefix("pay_"))).decode().rstrip("=")
    )


def read_cursor(cursor: str) -> str:
    """The payment that a cursor comes after. Raises InvalidFields for one that we did not write."""
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    payment_id = f"pay_{raw[1:].hex()}"
    if raw[:1] != _CURSOR_VERSION or not is_id("pay", payment_id) or write_cursor(payment_id) != cursor:
        raise InvalidFields([ProblemField("cursor", "invalid_value", "must be a next_cursor of an earlier page")])
    return payment_id
