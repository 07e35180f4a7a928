"""Rows as structs: the store returns named, typed values and no classes of the driver."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, TypeVar

import asyncpg
import msgspec

Row = TypeVar("Row")


def struct_of(record: asyncpg.Record, kind: type[Row]) -> Row:
    """One row. Columns that ``kind`` does not have are left out; msgspec.ValidationError for a missing column or
    another type."""
    return msgspec.convert(dict(record), kind)


@cache
def unchecked_reader(kind: type[Any]) -> Callable[[asyncpg.Record], Any]:
    """A function from a row to a struct, which takes its columns as they are: for very many rows of a statement whose
    types are known. It is written out and compiled, as for subjects. KeyError for a missing column."""
    names: dict[str, Any] = {"struct": kind}
    fields = ", ".join(f"{name}=row[{name!r}]" for name in kind.__struct_fields__)
    exec(f"def read(row):\n    return struct({fields})", names)
    read: Callable[[asyncpg.Record], Any] = names["read"]
    return read


def structs_of(records: Iterable[asyncpg.Record], kind: type[Row]) -> list[Row]:
    """Rows, in their order."""
    return [struct_of(record, kind) for record in records]
