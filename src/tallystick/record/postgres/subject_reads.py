"""Rows of subjects' tables as subjects, for any declared kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, get_type_hints

import asyncpg
import msgspec
from msgspec import NODEFAULT
from msgspec.structs import fields

from tallystick.domain.kinds import SubjectKind
from tallystick.record.postgres.column_types import is_json
from tallystick.record.postgres.structs import compiled_reader

Row = asyncpg.Record


@cache
def reader(kind: SubjectKind) -> Callable[[Row], Any]:
    """A function from a row to a subject: columns as they are, JSON decoded to the field's type. A null is the field's
    default, or what follows from the other columns.

    It is written out and compiled, as ``dataclasses`` does: one call with every field by name costs two thirds of
    collecting them in a loop, and every read of a payment goes through it.
    """
    names: dict[str, Any] = {"struct": kind.struct}
    values = []
    for column in kind.columns:
        value, of_null = _of_value(kind, column, "found", names), _of_null(kind, column, names)
        as_it_is = (value, of_null) == ("found", "None")
        found = f"row[{column!r}]"
        values.append(f"{column}={found if as_it_is else f'{of_null} if (found := {found}) is None else {value}'}")
    exec(f"def read(row):\n    return struct({', '.join(values)})", names)
    read: Callable[[Row], Any] = names["read"]
    return read


def subjects_of(kind: SubjectKind, rows: Sequence[Row]) -> list[Any]:
    """Rows of one statement as subjects, in their order: as ``reader``, for very many. KeyError for a missing
    column."""
    return _reader_of(kind, tuple(rows[0].keys()))(rows) if rows else []


@cache
def _reader_of(kind: SubjectKind, columns: tuple[str, ...]) -> Callable[[Sequence[Row]], list[Any]]:
    if missing := set(kind.columns) - set(columns):
        raise KeyError(", ".join(sorted(missing)))
    names: dict[str, Any] = {"struct": kind.struct}
    values = []
    for column in kind.columns:
        value, of_null = _of_value(kind, column, column, names), _of_null(kind, column, names, row="row_")
        as_it_is = (value, of_null) == (column, "None")
        values.append(f"{column}={column if as_it_is else f'{of_null} if {column} is None else {value}'}")
    return compiled_reader(columns, f"struct({', '.join(values)})", names)


@cache  # to evaluate a struct's annotations takes a millisecond, and there are readers of each in every process
def _hints(struct: Any) -> dict[str, Any]:
    return get_type_hints(struct)


def _of_value(kind: SubjectKind, column: str, found: str, names: dict[str, Any]) -> str:
    """The expression for a column that is not null; what it uses is added to ``names``."""
    struct: Any = kind.struct  # a type can be hashed, which mypy does not know of one that is a variable
    hint = _hints(struct)[column]
    if not is_json(hint):
        return found
    names[f"decode_{column}"] = msgspec.json.Decoder(hint).decode
    return f"decode_{column}({found})"


def _of_null(kind: SubjectKind, column: str, names: dict[str, Any], row: str = "row") -> str:
    """The expression for a column that is null; what it uses is added to ``names``."""
    if column in kind.derived:
        names[f"derive_{column}"] = kind.derived[column]
        return f"derive_{column}({row})"
    default = next(each for each in fields(kind.struct) if each.name == column)
    if default.default_factory is not NODEFAULT:
        names[f"new_{column}"] = default.default_factory
        return f"new_{column}()"
    if default.default is NODEFAULT or default.default is None:
        return "None"
    names[f"default_{column}"] = default.default
    return f"default_{column}"
