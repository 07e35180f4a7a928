"""Rows as structs: the store returns named, typed values and no classes of the driver."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any, TypeVar

import asyncpg
import msgspec

Row = TypeVar("Row")


def struct_of(record: asyncpg.Record, kind: type[Row]) -> Row:
    """One row. Columns that ``kind`` does not have are left out; msgspec.ValidationError for a missing column or
    another type."""
    return msgspec.convert(dict(record), kind)


def unchecked_structs(records: Sequence[asyncpg.Record], kind: type[Row]) -> list[Row]:
    """Rows of one statement, in their order. Columns are taken as they are: for very many rows of a statement whose
    types are known. Columns that ``kind`` does not have are left out; KeyError for a missing column."""
    if not records:
        return []
    struct: Any = kind  # a type can be hashed, which mypy does not know of one that is a variable
    return _unchecked(struct, tuple(records[0].keys()))(records)


@cache
def _unchecked(kind: type[Any], columns: tuple[str, ...]) -> Callable[[Sequence[asyncpg.Record]], list[Any]]:
    fields = kind.__struct_fields__
    if missing := set(fields) - set(columns):
        raise KeyError(", ".join(sorted(missing)))
    return compiled_reader(columns, f"struct({', '.join(f'{name}={name}' for name in fields)})", {"struct": kind})


def compiled_reader(columns: Sequence[str], row: str, names: dict[str, Any]) -> Callable[[Any], list[Any]]:
    """A function from rows to a list of what the expression ``row`` makes of each. The expression has the row's columns
    by name, the row itself as ``row_``, and ``names``. It is written out and compiled, as ``dataclasses`` does: to take
    a row apart in one step costs a third of asking it for each column."""
    names = dict(names)
    exec(f"def read(rows):\n    return [{row} for row_ in rows for ({', '.join(columns)},) in [row_]]", names)
    read: Callable[[Any], list[Any]] = names["read"]
    return read


def structs_of(records: Iterable[asyncpg.Record], kind: type[Row]) -> list[Row]:
    """Rows, in their order."""
    return [struct_of(record, kind) for record in records]
