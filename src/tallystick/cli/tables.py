"""Tables that truncate nothing: on a narrow terminal cells wrap, and ids stay in one piece where they fit."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from typing import Final

import msgspec
from rich.table import Table
from rich.text import Text

#: Cells are literal text: names chosen by providers or merchants must not be read as markup.
Cell = str | Text

#: What a terminal may act on. A line break is a cell's own.
_CONTROL: Final = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")


def literal(text: str) -> Text:
    """Text of others as it is: markup is shown, and a control character is shown by its escape."""
    return Text(_CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text))


def table_of(
    columns: Sequence[str],
    rows: Iterable[Sequence[Cell]],
    *,
    whole: Collection[str] = (),
    title: str | None = None,
    caption: str | None = None,
) -> Table:
    """A table. Columns in ``whole`` hold ids and are not wrapped while there is room."""
    table = Table(title=title, caption=caption)
    for name in columns:
        table.add_column(name, overflow="fold", no_wrap=name in whole)
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else literal(cell) for cell in row))
    return table


def facts_of(facts: Iterable[tuple[str, str]]) -> Table:
    """Names and values, one a line, without those that are empty."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    for name, value in facts:
        if value:
            table.add_row(name, literal(value))
    return table


def json_lines(value: object) -> str:
    """A JSON value for people: one member a line, also of a text that is a JSON object itself, such as a provider's
    answer."""
    return msgspec.json.format(msgspec.json.encode(_unpacked(msgspec.to_builtins(value))), indent=2).decode()


def _unpacked(value: object) -> object:
    if isinstance(value, dict):
        return {name: _unpacked(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_unpacked(each) for each in value]
    if isinstance(value, str) and value.startswith("{"):
        try:
            return msgspec.json.decode(value)
        except msgspec.DecodeError:
            return value
    return value


def duration(span_ms: int) -> str:
    """A span for people, in its largest whole unit: ``40 s``, ``7 min``, ``3 h``, ``2 days``."""
    seconds = span_ms // 1000
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3_600:
        return f"{seconds // 60} min"
    hours = seconds // 3_600
    return f"{hours} h" if hours < 48 else f"{hours // 24} days"


def way_of_an_event(checkpoints: Iterable[tuple[str, str, str, str]], title: str | None = None) -> Table:
    """Checkpoints of an event, each with time, result and detail, in two columns so that ids are not wrapped."""
    rows = [(f"{name}\n{at}".rstrip(), f"{result}\n{detail}".strip()) for name, at, result, detail in checkpoints]
    return table_of(("checkpoint, at", "result, detail"), rows, whole=["checkpoint, at"], title=title)
