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
from tallystick.record.postgres.audit_rows import ATTACHED, Thing

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


#: The members that alone are hashed -> how they are written.
_QUOTED: Final[Mapping[tuple[str, ...], tuple[bytes, ...]]] = {
    members: tuple(b'"%s"' % member.encode() for member in members) for members in _SALTED_MEMBERS.values()
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

#: Table -> (column, its name in salted hashes, the members that alone are hashed).
_HASHED: Final[Mapping[str, tuple[tuple[str, str, tuple[str, ...]], ...]]] = {
    table: tuple(
        (column, f"{table}.{column}", _SALTED_MEMBERS.get(f"{table}.{column}", ()))
        for column in columns
        if f"{table}.{column}" in _SALTED_COLUMNS or f"{table}.{column}" in _SALTED_MEMBERS
    )
    for table, columns in COLUMNS.items()
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
    rows = sorted(b"[%s,%s]" % (_quoted(table), row) for (table, _), row in zip(thing.rows, encoded, strict=True))
    return b'{"encoding":%d,"kind":%s,"merchant_id":%s,"key":%s,"rows":[%s]}' % (
        ENCODING,
        _quoted(thing.kind),
        _quoted(thing.merchant_id),
        _quoted(thing.leaf_key),
        b",".join(rows),
    )


def hash_of(thing: Thing, salt: bytes) -> bytes:
    """The hash of its leaf."""
    return leaf_hash(leaf_bytes(thing, salt))


def salted(salt: bytes, name: str, value: bytes) -> str:
    """The hash of a personal value, in hexadecimal."""
    return hashlib.sha256(salt + name.encode() + b"\0" + value).hexdigest()


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
    row = _READERS[table].decode(document)
    for column in ADDED.get(table, ()):
        if getattr(row, column) in (UNSET, Raw(_NULL)):
            setattr(row, column, UNSET)
    for column, name, members in _HASHED[table]:
        value = bytes(getattr(row, column))
        if value == _NULL:
            continue
        hashed = _with_members_hashed(salt, name, value, members) if members else _hashed(salt, name, value)
        setattr(row, column, Raw(hashed))
    return _TEXT.encode(row)


def _is_plain(given: Mapping[str, Raw], value: bytes) -> bool:
    """Whether the object is written without blanks, and so has no member twice: that is quickly seen."""
    return b"{%s}" % b",".join(b"%s:%s" % (_quoted(name), bytes(content)) for name, content in given.items()) == value


def _with_members_hashed(salt: bytes, name: str, value: bytes, members: tuple[str, ...]) -> bytes:
    """The object with some of its members as hashes; an object that has none of them stays as it is written. One
    that has a member twice is hashed whole: readers differ about what it says."""
    if b"\\" not in value and not any(quoted in value for quoted in _QUOTED[members]):
        return value
    given = _ROW.decode(value)
    if not any(member in given for member in members):
        return value
    if not _is_plain(given, value) and len(json.loads(value, object_pairs_hook=list)) != len(given):
        return _hashed(salt, name, value)
    return b"{%s}" % b",".join(
        b"%s:%s"
        % (
            _quoted(member),
            _hashed(salt, f"{name}.{member}", bytes(content)) if member in members else bytes(content),
        )
        for member, content in given.items()
    )


def _hashed(salt: bytes, name: str, value: bytes) -> bytes:
    return b'{"salted":"%s"}' % salted(salt, name, value).encode()


def _quoted(text: str) -> bytes:
    return _TEXT.encode(text)
