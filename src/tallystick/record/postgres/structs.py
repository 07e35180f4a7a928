"""Rows as structs: what leaves the store has names and types, and no driver's classes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

import asyncpg
import msgspec

Row = TypeVar("Row")


def struct_of(record: asyncpg.Record, kind: type[Row]) -> Row:
    """One row. Columns that ``kind`` does not have are left out; msgspec.ValidationError where one is missing or of
    another type."""
    return msgspec.convert(dict(record), kind)


def structs_of(records: Iterable[asyncpg.Record], kind: type[Row]) -> list[Row]:
    """Rows, in their order."""
    return [struct_of(record, kind) for record in records]
