"""The parameters of a statement in PostgreSQL's binary format, by the types that its text names (``$1::text[]``).

A column of a batch is often one value many times (a merchant, a currency), or texts of one length (ids): both are
encoded without a step for each value.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final, NamedTuple

_PLACE: Final = re.compile(r"\$(\d+)(?:::(\w+(?:\[\])?))?")

#: The binary format counts from here.
EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)

_MICROSECOND: Final = timedelta(microseconds=1)

#: Of an array: one dimension, whether there is a null, the type of its elements, how many, the first index.
_ARRAY_HEAD: Final = struct.Struct(">iiIii")

#: The length of an element.
_LENGTH: Final = struct.Struct(">i")

#: In place of a length.
_NULL: Final = _LENGTH.pack(-1)

#: A length up to here is an ASCII character in its last byte, so that lengths can be put between texts as text.
_LONGEST_SHORT_TEXT: Final = 127


class ParameterType(NamedTuple):
    """How values of one type are sent. ``binary``: else as text. ``encode`` raises whatever a value makes it raise."""

    oid: int
    binary: bool
    encode: Callable[[Any], bytes]


def _timestamp(value: datetime) -> bytes:
    return _INT8.pack((value - EPOCH) // _MICROSECOND)


_INT2, _INT4, _INT8 = struct.Struct(">h"), struct.Struct(">i"), struct.Struct(">q")

#: The length of a value of 8 bytes, and the value.
_SIZED_INT8: Final = struct.Struct(">iq")

#: Name -> object id of the type and of its array, and how a value is encoded.
_SCALARS: Final[dict[str, tuple[int, int, Callable[[Any], bytes]]]] = {
    "text": (25, 1009, str.encode),
    "smallint": (21, 1005, _INT2.pack),
    "int": (23, 1007, _INT4.pack),
    "bigint": (20, 1016, _INT8.pack),
    "boolean": (16, 1000, struct.Struct(">?").pack),
    "bytea": (17, 1001, bytes),
    "timestamptz": (1184, 1185, _timestamp),
}


def _array(oid: int, encode: Callable[[Any], bytes], column: Sequence[Any]) -> bytes:
    count = len(column)
    first = column[0] if column else None
    if column.count(first) == count:
        if first is None:
            return _ARRAY_HEAD.pack(1, count > 0, oid, count, 1) + _NULL * count
        value = encode(first)
        return _ARRAY_HEAD.pack(1, False, oid, count, 1) + (_LENGTH.pack(len(value)) + value) * count
    has_nulls = None in column
    head = _ARRAY_HEAD.pack(1, has_nulls, oid, count, 1)
    if encode is _timestamp:
        return head + b"".join(
            [_NULL if at is None else _SIZED_INT8.pack(8, (at - EPOCH) // _MICROSECOND) for at in column]
        )
    if encode is str.encode and not has_nulls and (joined := _of_one_length(column)) is not None:
        return head + joined
    pieces = [head]
    for each in column:
        if each is None:
            pieces.append(_NULL)
        else:
            value = encode(each)
            pieces.append(_LENGTH.pack(len(value)))
            pieces.append(value)
    return b"".join(pieces)


def _of_one_length(column: Sequence[str]) -> bytes | None:
    """Short ASCII texts of one length, each after its length; None where they are something else."""
    length = len(column[0])
    if length > _LONGEST_SHORT_TEXT or len(set(map(len, column))) != 1:
        return None
    before = "\0\0\0" + chr(length)
    text = before + before.join(column)
    return text.encode() if text.isascii() else None


def _numerics(column: Sequence[Any]) -> bytes:
    """As text: whole numbers, of which a batch has a few."""
    return ("{" + ",".join("NULL" if each is None else format(each, "f") for each in column) + "}").encode()


_TYPES: Final[dict[str, ParameterType]] = {
    **{name: ParameterType(oid, True, encode) for name, (oid, _, encode) in _SCALARS.items()},
    **{
        f"{name}[]": ParameterType(array, True, partial(_array, oid, encode))
        for name, (oid, array, encode) in _SCALARS.items()
    },
    "numeric[]": ParameterType(1231, False, _numerics),
}

#: A parameter whose type the server finds out. Only texts.
_UNNAMED: Final = ParameterType(0, False, str.encode)


def parameter_types(query: str) -> list[ParameterType]:
    """The types of ``$1``, ``$2`` … in their order. Raises ValueError for a type that is not known here."""
    named: dict[int, str] = {}
    for number, name in _PLACE.findall(query):
        named.setdefault(int(number), "")
        named[int(number)] = name or named[int(number)]
    unknown = {name for name in named.values() if name and name not in _TYPES}
    if unknown:
        raise ValueError(f"parameters of the types {sorted(unknown)} cannot be sent")
    return [_TYPES.get(named[number], _UNNAMED) for number in range(1, len(named) + 1)]
