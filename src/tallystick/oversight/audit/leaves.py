"""Leaves: the canonical bytes of what is sealed. One leaf is one change, with the instruction and the answer that were
written with it, or one row of a table outside changes.

Encoding 2. A leaf is JSON without spaces: ``{"encoding":2,"kind":…,"merchant_id":…,"key":…,"rows":[[table,{…}],…]}``.
Rows stand in the order of their bytes. A row has the columns that the encoding names for its table, in alphabetical
order, by name and as the database prints them in JSON, null where it has none. A migration that adds a column changes
no leaf: the next encoding names it, or it is in ``ADDED``, and in a leaf where it is not null.

What is personal, or sealed, enters as ``{"salted":"…"}``: SHA-256 over the leaf's salt (16 random bytes), the name
``table.column`` or ``table.column.member``, a zero byte, and the value as it stands in the row. Without the value and
the salt nobody finds it from the hash, so that both can be erased while the leaf stays proved.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import UNSET, Raw, Struct

from tallystick.oversight.audit.heads import LeafPart
from tallystick.oversight.audit.merkle import leaf_hash
from tallystick.oversight.audit.sealed_tables import ADDED, COLUMNS, SALTED
from tallystick.record.postgres.audit_rows import ATTACHED, KINDS, Thing

#: Of new leaves.
ENCODING: Final = 2

SALT_BYTES: Final = 16

#: Hexadecimal digits of a part's hash in the list of leaves: it only says which part differs. That one does is said by
#: the leaf's own hash.
TAG_DIGITS: Final = 16

_SALTED_COLUMNS: Final = frozenset(name for name in SALTED if name.count(".") == 1)
_SALTED_MEMBERS: Final[Mapping[str, tuple[str, ...]]] = {
    "transition.change": tuple(name.split(".")[2] for name in sorted(SALTED) if name.startswith("transition.change."))
}


class _Key(Struct):
    idempotency_key: str


_KEY: Final = msgspec.json.Decoder(_Key)
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
    said: bytes
    salted: bytes


class _Hashed(Struct, frozen=True):
    """A column that is hashed, or some members of which are. ``said``: what stands before its value in a row that is
    printed in the encoding's order; ``salted``: in what is hashed. ``members``: none where it is hashed whole."""

    column: str
    said: bytes
    salted: bytes
    members: tuple[_Member, ...]

    def in_leaf(self, salt: bytes, value: bytes) -> bytes:
        """What stands for this value in a leaf; the value itself where nothing of it is hashed."""
        return _with_members_hashed(salt, self, value) if self.members else _hashed(salt, self.salted, value)


def _members(name: str) -> tuple[_Member, ...]:
    return tuple(
        _Member(member, b'"%s"' % member.encode(), _before(f"{name}.{member}"))
        for member in _SALTED_MEMBERS.get(name, ())
    )


#: Table -> its columns of which something is hashed, in alphabetical order.
_HASHED: Final[Mapping[str, tuple[_Hashed, ...]]] = {
    table: tuple(
        _Hashed(column, b',"%s":' % column.encode(), _before(f"{table}.{column}"), _members(f"{table}.{column}"))
        for column in columns
        if f"{table}.{column}" in _SALTED_COLUMNS or f"{table}.{column}" in _SALTED_MEMBERS
    )
    for table, columns in COLUMNS.items()
}


class _Printed(Struct, frozen=True):
    """A table whose rows the database prints in the encoding's order. ``begins``: how such a document begins, which one
    in the table's own order does not. ``reader``: of what is hashed in it."""

    begins: str
    reader: msgspec.json.Decoder[Any]


#: What a change is made of. Its statements print these tables' columns in the encoding's order.
_PRINTED: Final[Mapping[str, _Printed]] = {
    table: _Printed(
        f'{{"{COLUMNS[table][0]}":',
        msgspec.json.Decoder(
            msgspec.defstruct(
                f"hashed_of_{table}", [(each.column, Raw, Raw(_NULL)) for each in _HASHED[table]], gc=False
            )
        ),
    )
    for table in ("transition", "transfer", "outbox", *sorted(ATTACHED))
}

#: Table -> what stands before its row.
_OPENED: Final[Mapping[str, bytes]] = {table: b"[%s," % _TEXT.encode(table) for table in COLUMNS}

#: Kind -> what stands before the merchant of its leaf.
_BEGUN: Final[Mapping[str, bytes]] = {
    kind: b'{"encoding":%d,"kind":%s,"merchant_id":' % (ENCODING, _TEXT.encode(kind)) for kind in KINDS
}


def new_salt() -> bytes:
    """For one leaf."""
    return os.urandom(SALT_BYTES)


def leaf_bytes(thing: Thing, salt: bytes) -> bytes:
    """The canonical bytes of a leaf. Raises msgspec.DecodeError for a row that is not a JSON object."""
    return _leaf(thing, [_row(table, document, salt) for table, document in thing.rows])


def sealed_leaf(thing: Thing, salt: bytes) -> tuple[bytes, tuple[LeafPart, ...]]:
    """The hash of its leaf, and its parts where it has more than one. Raises msgspec.DecodeError."""
    rows = [_row(table, document, salt) for table, document in thing.rows]
    several = thing.kind == "change" and any(table in ATTACHED for table, _ in thing.rows)
    return leaf_hash(_leaf(thing, rows)), _parts(thing, rows, salt) if several else ()


def leaf_parts(thing: Thing, salt: bytes) -> tuple[LeafPart, ...]:
    """What is named on its own in the leaf of a change: the change itself, its instruction, and its answer. Of other
    things there are none. Raises msgspec.DecodeError."""
    if thing.kind != "change":
        return ()
    return _parts(thing, [_row(table, document, salt) for table, document in thing.rows], salt)


def _parts(thing: Thing, rows: Sequence[bytes], salt: bytes) -> tuple[LeafPart, ...]:
    own, attached = [], []
    for (table, document), row in zip(thing.rows, rows, strict=True):
        if table in ATTACHED:
            attached.append(LeafPart(table, _KEY.decode(document).idempotency_key, _tag(salt, row)))
        else:
            own.append(row)
    return (LeafPart(thing.kind, thing.leaf_key, _tag(salt, *sorted(own))), *sorted(attached))


def _tag(salt: bytes, *rows: bytes) -> str:
    return hashlib.sha256(b"\n".join((salt, *rows))).hexdigest()[:TAG_DIGITS]


def _leaf(thing: Thing, encoded: Sequence[bytes]) -> bytes:
    rows = [_OPENED[table] + row for (table, _), row in zip(thing.rows, encoded, strict=True)]
    rows.sort()
    return b'%s%s,"key":%s,"rows":[%s%s]}' % (
        _BEGUN[thing.kind],
        _TEXT.encode(thing.merchant_id),
        _TEXT.encode(thing.leaf_key),
        b"],".join(rows),
        b"]" if rows else b"",
    )


def hash_of(thing: Thing, salt: bytes) -> bytes:
    """The hash of its leaf."""
    return leaf_hash(leaf_bytes(thing, salt))


def salted(salt: bytes, name: str, value: bytes) -> str:
    """The hash of a personal value, in hexadecimal."""
    return hashlib.sha256(salt + _before(name) + value).hexdigest()


def salted_values(thing: Thing) -> Iterator[tuple[str, str]]:
    """(name, value as it stands in the row) of everything in the leaf that is a salted hash."""
    for table, document in thing.rows:
        given = _ROW.decode(document)
        for column in COLUMNS[table]:
            name, value = f"{table}.{column}", bytes(given.get(column, _NULL))
            if value != _NULL and name in _SALTED_COLUMNS:
                yield name, value.decode()
            elif value != _NULL and name in _SALTED_MEMBERS:
                members = _ROW.decode(value)
                for member in _SALTED_MEMBERS[name]:
                    if member in members:
                        yield f"{name}.{member}", bytes(members[member]).decode()


def _row(table: str, document: str, salt: bytes) -> bytes:
    printed = _PRINTED.get(table)
    if printed is not None and document.startswith(printed.begins):
        row = _as_printed(table, document, printed.reader, salt)
        if row is not None:
            return row
    columns = _READERS[table].decode(document)
    for column in ADDED.get(table, ()):
        if getattr(columns, column) in (UNSET, Raw(_NULL)):
            setattr(columns, column, UNSET)
    for each in _HASHED[table]:
        value = bytes(getattr(columns, each.column))
        if value != _NULL:
            setattr(columns, each.column, Raw(each.in_leaf(salt, value)))
    return _TEXT.encode(columns)


def _as_printed(table: str, document: str, reader: msgspec.json.Decoder[Any], salt: bytes) -> bytes | None:
    """A row that the database has printed in the encoding's order: its text, with hashes in place of what is hashed.
    None where the name of such a column stands in it more than once: then it has to be read."""
    columns, rest = reader.decode(document), document.encode()
    pieces: list[bytes] = []
    for each in _HASHED[table]:
        value = bytes(getattr(columns, each.column))
        if value == _NULL:
            continue
        hashed = each.in_leaf(salt, value)
        if hashed is not value:
            before, said, after = rest.partition(each.said)
            if each.said in after:
                return None
            pieces += before, said, hashed
            rest = after[len(value) :]
    return b"".join((*pieces, rest)) if pieces else rest


def _with_members_hashed(salt: bytes, column: _Hashed, value: bytes) -> bytes:
    """The object with some of its members as hashes; an object that has none of them stays as it is written. One
    that has a member twice is hashed whole: readers differ about what it says."""
    if b"\\" not in value and not any(member.said in value for member in column.members):
        return value
    given = _ROW.decode(value)
    contents = {name: bytes(content) for name, content in given.items()}
    found = [member for member in column.members if member.name in contents]
    if not found:
        return value
    # An object that is as long as its members need is written without blanks, and has none of them twice.
    plain = sum(map(len, contents)) + sum(map(len, contents.values())) + 4 * len(contents) + 1 == len(value)
    if not plain and len(json.loads(value, object_pairs_hook=list)) != len(contents):
        return _hashed(salt, column.salted, value)
    for member in found:
        contents[member.name] = _hashed(salt, member.salted, contents[member.name])
    return b"{%s}" % b",".join([_TEXT.encode(name) + b":" + content for name, content in contents.items()])


def _hashed(salt: bytes, before: bytes, value: bytes) -> bytes:
    return b'{"salted":"%s"}' % hashlib.sha256(salt + before + value).hexdigest().encode()
