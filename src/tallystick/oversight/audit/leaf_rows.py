"""Rows as they stand in leaves: the encoding's columns in its order, with hashes in place of what is hashed."""

from __future__ import annotations

import hashlib
import json
from binascii import hexlify
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import msgspec
from msgspec import UNSET, Raw, Struct

from tallystick.oversight.audit.sealed_tables import ADDED, COLUMNS, SALTED
from tallystick.record.postgres.audit_things import PART_COLUMNS, PRINTED_COLUMNS, STORED_COLUMNS, Columns, Thing

_SALTED_COLUMNS: Final = frozenset(name for name in SALTED if name.count(".") == 1)
_SALTED_MEMBERS: Final[Mapping[str, tuple[str, ...]]] = {
    "transition.change": tuple(name.split(".")[2] for name in sorted(SALTED) if name.startswith("transition.change."))
}

_ROW: Final = msgspec.json.Decoder(dict[str, Raw])
_TEXT: Final = msgspec.json.Encoder()
_NULL: Final = b"null"

#: Table -> what reads its row, and writes it again in the encoding's order.
_READERS: Final[Mapping[str, msgspec.json.Decoder[Any]]] = {
    table: msgspec.json.Decoder(
        msgspec.defstruct(
            f"row_of_{table}",
            [
                (column, Raw, UNSET if column in ADDED.get(table, ()) else Raw(_NULL))
                for column in sorted((*columns, *ADDED.get(table, ())))
            ],
            gc=False,
        )
    )
    for table, columns in COLUMNS.items()
}


def _before(name: str) -> bytes:
    return name.encode() + b"\0"


class _Member(Struct, frozen=True):
    """A member of a column that is hashed alone. ``said``: its name as it is written; ``salted``: what stands before
    its value in what is hashed."""

    name: str
    said: str
    salted: bytes


class _Hashed(Struct, frozen=True):
    """A column that is hashed, or some members of which are. ``salted``: what stands before its value in what is
    hashed. ``members``: none where it is hashed whole."""

    column: str
    salted: bytes
    members: tuple[_Member, ...]

    def in_leaf(self, salt: bytes, value: str) -> str:
        """What stands for this value in a leaf; the value itself where nothing of it is hashed."""
        return _with_members_hashed(salt, self, value) if self.members else _hashed(salt, self.salted, value.encode())


def _members(name: str) -> tuple[_Member, ...]:
    return tuple(
        _Member(member, f'"{member}"', _before(f"{name}.{member}")) for member in _SALTED_MEMBERS.get(name, ())
    )


#: Table -> its columns of which something is hashed, in alphabetical order.
_HASHED: Final[Mapping[str, tuple[_Hashed, ...]]] = {
    table: tuple(
        _Hashed(column, _before(f"{table}.{column}"), _members(f"{table}.{column}"))
        for column in columns
        if f"{table}.{column}" in _SALTED_COLUMNS or f"{table}.{column}" in _SALTED_MEMBERS
    )
    for table, columns in COLUMNS.items()
}


def row_in_leaf(table: str, row: str | Columns, salt: bytes) -> bytes:
    """The row as a leaf has it. Raises msgspec.DecodeError for a document that is not a JSON object."""
    if not isinstance(row, str):
        return _WRITERS[table](salt, *row)
    columns = _READERS[table].decode(row)
    for column in ADDED.get(table, ()):
        if getattr(columns, column) in (UNSET, Raw(_NULL)):
            setattr(columns, column, UNSET)
    for each in _HASHED[table]:
        value = bytes(getattr(columns, each.column))
        if value != _NULL:
            setattr(columns, each.column, Raw(each.in_leaf(salt, value.decode())))
    return _TEXT.encode(columns)


def document_of(table: str, row: str | Columns) -> str:
    """The row as a JSON document, with nothing hashed."""
    return row if isinstance(row, str) else _UNHASHED[table](b"", *row).decode()


def salted_values(thing: Thing) -> Iterator[tuple[str, str]]:
    """(name, value as it stands in the row) of everything in the leaf that is a salted hash."""
    for table, row in thing.rows:
        given = _ROW.decode(document_of(table, row))
        for column in COLUMNS[table]:
            name, value = f"{table}.{column}", bytes(given.get(column, _NULL))
            if value != _NULL and name in _SALTED_COLUMNS:
                yield name, value.decode()
            elif value != _NULL and name in _SALTED_MEMBERS:
                members = _ROW.decode(value)
                for member in _SALTED_MEMBERS[name]:
                    if member in members:
                        yield f"{name}.{member}", bytes(members[member]).decode()


def salted(salt: bytes, name: str, value: bytes) -> str:
    """The hash of a personal value, in hexadecimal."""
    return hashlib.sha256(salt + _before(name) + value).hexdigest()


def _hashed(salt: bytes, before: bytes, value: bytes) -> str:
    return f'{{"salted":"{hashlib.sha256(salt + before + value).hexdigest()}"}}'


def _with_members_hashed(salt: bytes, column: _Hashed, value: str) -> str:
    """The object with some of its members as hashes; an object that has none of them stays as it is written. One
    that has a member twice is hashed whole: readers differ about what it says."""
    escaped = "\\" in value
    if not escaped:
        for member in column.members:
            if member.said in value:
                break
        else:
            return value
    given = _ROW.decode(value)
    found = [member for member in column.members if member.name in given]
    if not found:
        return value
    # An object that is as long as its members need is written without blanks, and has none of them twice.
    needed = sum(map(len, given)) + sum(map(len, given.values())) + 4 * len(given) + 1
    plain = value.isascii() and needed == len(value)
    if not plain and len(json.loads(value, object_pairs_hook=list)) != len(given):
        return _hashed(salt, column.salted, value.encode())
    contents = {member.name: bytes(given[member.name]) for member in found}
    hashed = {member.name: _hashed(salt, member.salted, contents[member.name]) for member in found}
    if plain and not escaped and all(value.count(member.said) == 1 for member in found):
        for member in found:  # its name stands in it once: there
            said = f"{member.said}:"
            value = value.replace(said + contents[member.name].decode(), said + hashed[member.name], 1)
        return value
    members = [
        f"{_TEXT.encode(name).decode()}:{hashed[name] if name in hashed else bytes(content).decode()}"
        for name, content in given.items()
    ]
    return f"{{{','.join(members)}}}"


def _stored(value: bytes) -> bytes:
    """Bytes as the database prints them in JSON."""
    return b'"\\\\x%s"' % hexlify(value)


def _writer(table: str, hashed: Mapping[str, _Hashed]) -> Callable[..., bytes]:
    """A function from a salt and the columns of a row to the row. It is written out and compiled, as ``dataclasses``
    does: to go through a description of the columns costs twice as much."""
    columns = PART_COLUMNS[table]
    names: dict[str, Any] = {
        "_row": msgspec.defstruct(f"columns_of_{table}", [(each, Any) for each in columns], gc=False),
        "_encode": _TEXT.encode,
        "_raw": Raw,
        "_stored": _stored,
        "_hashed": _hashed,
        "_members": _with_members_hashed,
    }
    values = []
    for column in columns:
        value = column
        if column in STORED_COLUMNS:
            value = f"_stored({column})"
        if column in hashed:
            names[f"_of_{column}"] = hashed[column] if hashed[column].members else hashed[column].salted
            if hashed[column].members:
                value = f"_members(_salt, _of_{column}, {value})"
            else:
                value = f"_hashed(_salt, _of_{column}, {value if column in STORED_COLUMNS else f'{value}.encode()'})"
        if column in PRINTED_COLUMNS:
            value = f"None if {column} is None or {column} == 'null' else _raw({value})"
        elif column in STORED_COLUMNS:
            value = f"None if {column} is None else _raw({value})"
        values.append(value)
    exec(f"def _write(_salt, {', '.join(columns)}):\n    return _encode(_row({', '.join(values)}))", names)
    write: Callable[..., bytes] = names["_write"]
    return write


#: Table -> what writes a row that is read as columns.
_WRITERS: Final = {table: _writer(table, {each.column: each for each in _HASHED[table]}) for table in PART_COLUMNS}
_UNHASHED: Final = {table: _writer(table, {}) for table in PART_COLUMNS}
