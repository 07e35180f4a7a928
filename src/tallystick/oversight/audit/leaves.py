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
import os
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from tallystick.oversight.audit.heads import LeafPart
from tallystick.oversight.audit.leaf_rows import row_in_leaf
from tallystick.oversight.audit.merkle import leaf_hash
from tallystick.oversight.audit.sealed_tables import COLUMNS
from tallystick.record.postgres.audit_rows import KINDS
from tallystick.record.postgres.audit_things import ATTACHED, Thing, column_places

#: Of new leaves.
ENCODING: Final = 2

SALT_BYTES: Final = 16

#: Hexadecimal digits of a part's hash in the list of leaves: it only says which part differs. That one does is said by
#: the leaf's own hash.
TAG_DIGITS: Final = 16

_TEXT: Final = msgspec.json.Encoder()

#: Table -> where the key is in its row.
_ATTACHED_KEYS: Final = {table: column_places(table, "idempotency_key")[0] for table in ATTACHED}

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
    return _leaf(thing, [row_in_leaf(table, row, salt) for table, row in thing.rows])


def sealed_leaf(thing: Thing, salt: bytes) -> tuple[bytes, tuple[LeafPart, ...]]:
    """The hash of its leaf, and its parts where it has more than one. Raises msgspec.DecodeError."""
    rows = [row_in_leaf(table, row, salt) for table, row in thing.rows]
    several = thing.kind == "change" and any(table in ATTACHED for table, _ in thing.rows)
    return leaf_hash(_leaf(thing, rows)), _parts(thing, rows, salt) if several else ()


def leaf_parts(thing: Thing, salt: bytes) -> tuple[LeafPart, ...]:
    """What is named on its own in the leaf of a change: the change itself, its instruction, and its answer. Of other
    things there are none. Raises msgspec.DecodeError."""
    if thing.kind != "change":
        return ()
    return _parts(thing, [row_in_leaf(table, row, salt) for table, row in thing.rows], salt)


def _parts(thing: Thing, rows: Sequence[bytes], salt: bytes) -> tuple[LeafPart, ...]:
    own, attached = [], []
    for (table, columns), row in zip(thing.rows, rows, strict=True):
        if table in ATTACHED:
            attached.append(LeafPart(table, str(columns[_ATTACHED_KEYS[table]]), _tag(salt, row)))
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
