"""Tables that cut nothing: on a narrow terminal cells fold, and ids stay in one piece wherever they fit."""

from __future__ import annotations

from collections.abc import Collection

from rich.table import Table


def table_of(*columns: str, whole: Collection[str] = (), title: str | None = None, caption: str | None = None) -> Table:
    """A table with these columns; those in ``whole`` hold ids, and are never narrower than what is in them."""
    table = Table(title=title, caption=caption)
    for name in columns:
        table.add_column(name, overflow="fold", no_wrap=name in whole)
    return table
