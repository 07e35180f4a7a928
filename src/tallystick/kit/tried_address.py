"""Which addresses a failed connection was for, kept with its error: the system's own words often do not name them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

_TRIED: Final = "tried: "


def note_tried(error: BaseException, addresses: Sequence[tuple[str, int]]) -> None:
    """Keep hosts (or directories of sockets) and ports with the error."""
    if addresses:
        error.add_note(_TRIED + ", ".join(_named(host, port) for host, port in addresses))


def tried_address(error: BaseException) -> str:
    """What was kept with the error, for people; empty where nothing was."""
    notes = (note for note in getattr(error, "__notes__", ()) if note.startswith(_TRIED))
    return next(notes, _TRIED).removeprefix(_TRIED)


def _named(host: str, port: int) -> str:
    if host.startswith("/"):
        return f"{host}/.s.PGSQL.{port}"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
