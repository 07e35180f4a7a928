"""Positions in lists: one cursor for all of them, opaque to clients."""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, Generic, TypeVar

from msgspec import Struct

Row = TypeVar("Row")

#: (created at, id) of the last row of a page: the order of every list is total and stable by these two.
Position = tuple[datetime, str]

#: Version, list, microseconds since 1970, the id's 128 bits.
_LAYOUT: Final = struct.Struct(">BBq16s")

#: The first byte of a cursor. Version 1 was three formats, one for each list.
_VERSION: Final = 2

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class PagedList(Struct, frozen=True):
    """A list that is read page by page. ``number`` is in its cursors, so that no other list takes them: never reuse
    a number. ``id_prefix`` is of the ids in the list."""

    number: int
    id_prefix: str


PAYMENTS: Final = PagedList(1, "pay")
WEBHOOK_DELIVERIES: Final = PagedList(2, "msg")
DEAD_LETTERS: Final = PagedList(3, "evt")
REFUNDS: Final = PagedList(4, "re")
DISPUTES: Final = PagedList(5, "dp")
PROVIDER_EVENTS: Final = PagedList(6, "evt")
MESSAGES: Final = PagedList(7, "msg")
REJECTIONS: Final = PagedList(8, "case")
ACTS: Final = PagedList(9, "opa")
SETTLEMENT_FILES: Final = PagedList(15, "stl")
IN_DOUBT: Final = PagedList(16, "att")
LATE_MONEY: Final = PagedList(17, "pay")
ERASURES: Final = PagedList(18, "apr")


def write_cursor(paged: PagedList, position: Position) -> str:
    """The cursor of the page that comes after this position."""
    created_at, row_id = position
    moment = (created_at - _EPOCH) // _MICROSECOND
    packed = _LAYOUT.pack(_VERSION, paged.number, moment, bytes.fromhex(row_id.removeprefix(f"{paged.id_prefix}_")))
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def read_cursor(paged: PagedList, cursor: str) -> Position | None:
    """The position; None for a cursor that ``write_cursor`` did not make for this list."""
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        _, _, moment, id_bytes = _LAYOUT.unpack(raw)
        position = (_EPOCH + moment * _MICROSECOND, f"{paged.id_prefix}_{id_bytes.hex()}")
    except (binascii.Error, ValueError, OverflowError, struct.error):
        return None
    # Written again it is the same: so version, list and every spare bit are right.
    return position if write_cursor(paged, position) == cursor else None


class Cut(Struct, Generic[Row], frozen=True):
    """One page out of the rows that were read. ``next_cursor``: None on the last page."""

    rows: Sequence[Row]
    next_cursor: str | None

    @property
    def has_more(self) -> bool:
        """Whether another page comes after it."""
        return self.next_cursor is not None


def cut_page(paged: PagedList, rows: Sequence[Row], limit: int, position: Callable[[Row], Position]) -> Cut[Row]:
    """The page that ``rows``, read up to ``limit`` + 1, begin with. ``position``: where in the list a row is."""
    shown, more = rows[:limit], len(rows) > limit
    return Cut(shown, write_cursor(paged, position(shown[-1])) if more else None)
