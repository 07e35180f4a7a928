"""Rows as structs: the store returns named, typed values and no classes of the driver."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

import asyncpg
import msgspec

Row = TypeVar("Row")


def struct_of(record: asyncpg.Record, kind: type[Row]) -> Row:
    """One row. Columns that ``kind`` does not have are left out; msgspec.ValidationError for a missing column or
    another type."""
    return msgspec.convert(dict(record), kind)


def structs_of(records: Iterable[asyncpg.Record], kind: type[Row]) -> list[Row]:
    """Rows, in their order."""
    return [struct_of(record, kind) for record in records]
