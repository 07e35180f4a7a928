"""Rows of subjects' tables as subjects, for any declared kind."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from operator import itemgetter
from typing import Any, get_type_hints

import asyncpg
import msgspec

from tallystick.domain.kinds import SubjectKind
from tallystick.record.postgres.column_types import is_json

Row = asyncpg.Record


@cache
def reader(kind: SubjectKind) -> Callable[[Row], Any]:
    """A function from a row to a subject: columns as they are, JSON decoded to the field's type."""
    struct, columns = kind.struct, kind.columns
    hints = get_type_hints(struct)
    decoders = [(name, msgspec.json.Decoder(hints[name]).decode) for name in columns if is_json(hints[name])]

    pick = itemgetter(*columns)

    def read(row: Row) -> Any:
        values = dict(zip(columns, pick(row), strict=True))
        for name, decode in decoders:
            text = values[name]
            if text is not None:
                values[name] = decode(text)
        return struct(**values)

    return read
