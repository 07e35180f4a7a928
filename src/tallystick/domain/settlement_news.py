"""News: a row of a settlement file tells of a movement that the record does not have. Plain data.

It goes to the inbox, as a provider's notice does, under a name that is made from the movement. So what a webhook,
another file or the same file again tells of that movement is one movement there.
"""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime
from typing import Final

from msgspec import Struct

from tallystick.domain.notices import Notice
from tallystick.domain.settlement_row import RowKind

#: Who compares and posts, and tells of news, in evidence and history.
RECONCILIATION: Final = "service:reconciliation"

#: How the types of these events begin. No provider's does: theirs come from their own lists.
TYPE: Final = "settlement_row."

#: How their names begin. No provider's does.
_NAME: Final = "settlement_row:"

#: Bytes of the digest in a name: 160 bits, 32 letters.
_DIGEST_BYTES: Final = 20


class News(Struct, frozen=True, kw_only=True):
    """One movement. ``positions``: its rows, the first one first; ``line``: of that one. ``movement``: the provider's
    names of it. ``charge``: the provider's name for the charge that it belongs to. ``telling``: 1, and one more where
    every file that told of it before was withdrawn."""

    positions: tuple[int, ...]
    line: int
    kind: RowKind
    movement: tuple[str, ...]
    merchant_id: str
    payment_id: str
    charge: str | None
    occurred_at: datetime | None
    notice: Notice
    telling: int = 1

    @property
    def type(self) -> str:
        """The type of its event."""
        return f"{TYPE}{self.kind}"

    @property
    def name(self) -> str:
        """The name of its event: the same whichever file tells of it."""
        again = () if self.telling == 1 else (f"telling {self.telling}",)
        said = "\x1f".join((self.kind, *self.movement, *again)).encode()
        digest = hashlib.sha256(said).digest()[:_DIGEST_BYTES]
        return f"{_NAME}{base64.b32encode(digest).decode().lower()}"


def is_news(event_type: str, event_name: str) -> bool:
    """Whether an event of the inbox came from a settlement file."""
    return event_type.startswith(TYPE) and event_name.startswith(_NAME)
