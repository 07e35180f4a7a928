"""Rows of subjects' tables as subjects, for any declared kind."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, get_type_hints

import asyncpg
import msgspec

from tallystick.domain.kinds import SubjectKind
from tallystick.record.postgres.column_types import is_json

Row = asyncpg.Record


@cache
def reader(kind: SubjectKind) -> Callable[[Row], Any]:
    """A function from a row to a subject: columns as they are, JSON decoded to the field's type.

    It is written out and compiled, as ``dataclasses`` does: one call with every field by name costs two thirds of
    collecting them in a loop, and every read of a payment goes through it.
    """
    hints = get_type_hints(kind.struct)
    names: dict[str, Any] = {"struct": kind.struct}
    fields = []
    for column in kind.columns:
        if is_json(hints[column]):
            names[f"decode_{column}"] = msgspec.json.Decoder(hints[column]).decode
            fields.append(f"{column}=None if (text := row[{column!r}]) is None else decode_{column}(text)")
        else:
            fields.append(f"{column}=row[{column!r}]")
    exec(f"def read(row):\n    return struct({', '.join(fields)})", names)
    read: Callable[[Row], Any] = names["read"]
    return read
