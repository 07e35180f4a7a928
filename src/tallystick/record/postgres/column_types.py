"""How a subject's field is stored in a column: the array type of its values, and whether they are JSON."""

from __future__ import annotations

from datetime import datetime
from types import UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin

_ARRAYS: Final[dict[Any, str]] = {
    str: "text[]",
    int: "bigint[]",
    bool: "boolean[]",
    bytes: "bytea[]",
    datetime: "timestamptz[]",
}


def array_type(hint: Any) -> str:
    """The array type for the values of a field; JSON is sent as text."""
    return _ARRAYS.get(_plain(hint), "text[]")


def is_json(hint: Any) -> bool:
    """Whether a field is stored as JSON: everything but text, numbers, flags, bytes and times."""
    return _plain(hint) not in _ARRAYS


def _plain(hint: Any) -> Any:
    """The type of a field without None; a closed set of texts is text."""
    if get_origin(hint) in (Union, UnionType):
        (hint,) = (each for each in get_args(hint) if each is not type(None))
    return str if get_origin(hint) is Literal else hint
