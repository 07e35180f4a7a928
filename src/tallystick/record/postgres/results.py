"""What a statement of an exchange answered."""

from __future__ import annotations

import struct
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from psycopg.pq.abc import PGresult

from tallystick.record.postgres.parameters import EPOCH

_INT2, _INT4, _INT8 = struct.Struct(">h"), struct.Struct(">i"), struct.Struct(">q")


def _timestamp(value: bytes) -> datetime:
    return EPOCH + timedelta(microseconds=_INT8.unpack(value)[0])


#: Object id of a column's type -> its value from the binary format.
_DECODE: Final[dict[int, Callable[[bytes], Any]]] = {
    16: lambda value: value == b"\x01",
    17: bytes,
    20: lambda value: _INT8.unpack(value)[0],
    21: lambda value: _INT2.unpack(value)[0],
    23: lambda value: _INT4.unpack(value)[0],
    25: bytes.decode,
    114: bytes.decode,
    1184: _timestamp,
}


class Answer(Protocol):
    """What one statement answered."""

    #: Rows that were written or returned.
    count: int

    def rows(self) -> list[tuple[Any, ...]]:
        """What it returned."""


class ServerAnswer:
    """A result of libpq. Its rows are decoded where they are asked for: a batch that went well only counts them."""

    __slots__ = ("_result", "count")

    def __init__(self, result: PGresult) -> None:
        self._result = result
        self.count = result.command_tuples or 0

    def rows(self) -> list[tuple[Any, ...]]:
        """What the statement returned."""
        result = self._result
        columns = range(result.nfields)
        decode = [_DECODE[result.ftype(column)] for column in columns]
        return [
            tuple(
                None if (value := result.get_value(row, column)) is None else decode[column](bytes(value))
                for column in columns
            )
            for row in range(result.ntuples)
        ]
