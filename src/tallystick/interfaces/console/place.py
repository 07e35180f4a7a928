"""Where a page of a list begins, as its address says it: one form for every list.

A list in the order of time begins after a row, named by its moment and its id; a list in the order of ids, after an id.
Whatever else an address says is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final
from urllib.parse import urlencode

from tallystick.interfaces.console.page import Refused
from tallystick.kit.ids import is_id

#: The moment and the id of the last row that was shown.
Place = tuple[datetime, str]

#: Years that the database and a page can write in any zone.
_FIRST_YEAR: Final = 1970
_LAST_YEAR: Final = 9_000

_NO_PLACE: Final = "This address does not lead to a page of this list."


def place_text(moment: datetime, row_id: str) -> str:
    """A place as ``place_in`` reads it."""
    return f"{moment.isoformat()}~{row_id}"


def place_in(text: str | None) -> Place | None:
    """The place in a part of an address; None without one. Raises Refused."""
    if not text:
        return None
    said, _, row_id = text.partition("~")
    try:
        moment = datetime.fromisoformat(said)
    except ValueError:
        raise Refused(400, _NO_PLACE) from None
    if moment.tzinfo is None or not _FIRST_YEAR <= moment.year < _LAST_YEAR or not row_id or "\0" in row_id:
        raise Refused(400, _NO_PLACE)
    return moment, row_id


def id_in(text: str | None, prefix: str) -> str | None:
    """The id of this kind in a part of an address; None without one. Raises Refused."""
    if not text:
        return None
    if not is_id(prefix, text):
        raise Refused(400, _NO_PLACE)
    return text


def page_at(path: str, name: str, place: str, kept: Mapping[str, str] | None = None) -> str:
    """The address of the page that begins at a place. ``kept``: the filters of the list."""
    return f"{path}?{urlencode({**(kept or {}), name: place})}"
