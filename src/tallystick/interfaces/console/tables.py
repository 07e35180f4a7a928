"""Pages that are tables of facts: one template for all of them."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from tallystick.interfaces.console.words import bounded


class Cell(Struct, frozen=True):
    """One cell. ``href``: where it leads; ``kind``: a class of the stylesheet, such as ``number`` or ``bad``."""

    text: str
    href: str = ""
    kind: str = ""


class Section(Struct, frozen=True, kw_only=True):
    """A table with its heading. ``empty``: what it means that there are no rows; ``says``: what the rows are."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    empty: str
    says: str = ""


def row(*cells: Cell | str | None) -> tuple[Cell, ...]:
    """A row of cells; a text is a cell that leads nowhere, bounded."""
    return tuple(each if isinstance(each, Cell) else Cell(bounded(each) if each else "-") for each in cells)
