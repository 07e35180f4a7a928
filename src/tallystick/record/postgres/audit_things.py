"""Things that are sealed, or are to be: rows with their tables, and where each thing is sealed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from msgspec import Struct

#: A row as its columns: texts, numbers and bytes; JSON and times as the database prints them in JSON.
Columns = tuple[Any, ...]

#: What a change is made of: table -> the columns that are read, in the order of encoding 2.
PART_COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    table: tuple(columns.split())
    for table, columns in {
        "transition": (
            "actor at cause change change_id event evidence from_state key_kind lead_version merchant_id occurred_at"
            " payment_id provider_reference stream_id subject subject_id to_state version"
        ),
        "transfer": "amount at credit currency debit kind leg merchant_id payment_id stream_id subject_id version",
        "outbox": (
            "answer_key api_version at body key_kind merchant_id message_id payment_id stream_id subject_id traceparent"
            " type version"
        ),
        "instruction": (
            "at fingerprint fingerprint_version idempotency_key instruction_id merchant_id operation path payment_id"
            " request subject_id traceparent"
        ),
        "response": "api_version at body idempotency_key merchant_id status",
    }.items()
}

#: Columns of these tables that are read as they are printed in JSON.
PRINTED_COLUMNS: Final = frozenset({"at", "change", "evidence", "occurred_at"})

#: Columns of these tables that are bytes.
STORED_COLUMNS: Final = frozenset({"body", "fingerprint", "request"})

#: What may stand in the leaf of a change: only the rest of these are things of their own.
ATTACHED: Final = frozenset({"instruction", "response"})


class Place(Struct, frozen=True, gc=False):
    """Where a thing is sealed, as the record has it."""

    leaf_group: int
    position: int
    salt: bytes


class Thing(Struct, kw_only=True):
    """A thing that is sealed, or is to be: rows, each with its table. A row is a JSON document, or its columns in the
    order of ``PART_COLUMNS``."""

    kind: str
    merchant_id: str
    leaf_key: str
    at: datetime
    rows: list[tuple[str, str | Columns]]
    place: Place | None = None


def column_places(table: str, *columns: str) -> tuple[int, ...]:
    """Where these columns are in a row of this table."""
    return tuple(PART_COLUMNS[table].index(column) for column in columns)
