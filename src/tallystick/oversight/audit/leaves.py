"""Leaves: the canonical bytes of what is sealed. One leaf is one change, with the instruction and the answer that were
written with it, or one row of a table outside changes.

Encoding 2. A leaf is JSON without spaces: ``{"encoding":2,"kind":…,"merchant_id":…,"key":…,"rows":[[table,{…}],…]}``.
Rows stand in the order of their bytes. A row has the columns that the encoding names for its table, in alphabetical
order, by name and as the database prints them in JSON, null where it has none. A migration that adds a column changes
no leaf: the next encoding names it.

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
from msgspec import Raw, Struct

from tallystick.oversight.audit.heads import LeafPart
from tallystick.oversight.audit.merkle import leaf_hash
from tallystick.record.postgres.audit_rows import ATTACHED, Thing

#: Of new leaves.
ENCODING: Final = 2

SALT_BYTES: Final = 16

#: Hexadecimal digits of a part's hash in the list of leaves: it only says which part differs. That one does is said by
#: the leaf's own hash.
TAG_DIGITS: Final = 16

#: Encoding 2: table -> the columns that enter a leaf. They are never changed: a change is the next encoding.
COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    table: tuple(sorted(columns.split()))
    for table, columns in {
        "transition": (
            "merchant_id subject_id version change_id subject payment_id from_state to_state event cause actor"
            " provider_reference at occurred_at change evidence stream_id lead_version key_kind"
        ),
        "transfer": "merchant_id payment_id subject_id version leg kind debit credit amount currency at stream_id",
        "outbox": (
            "merchant_id payment_id version subject_id message_id type body at stream_id answer_key api_version"
            " key_kind traceparent"
        ),
        "instruction": (
            "merchant_id idempotency_key instruction_id operation path fingerprint fingerprint_version request"
            " payment_id subject_id at traceparent"
        ),
        "response": "merchant_id idempotency_key status body at api_version",
        "rejection": (
            "merchant_id payment_id rejection_id subject_id subject state version event cause actor origin reason alert"
            " idempotency_key at evidence stream_id key_kind category"
        ),
        "message_try": (
            "merchant_id endpoint_id message_id try_id number resends started_at duration_ms result status detail actor"
        ),
        "webhook_endpoint_act": "merchant_id endpoint_id act_id act detail actor at",
        "delivery": (
            "provider account provider_event_id delivery_id received_at validated_at recorded_at result digest"
        ),
        "processing": (
            "provider account provider_event_id try_id number started_at ended_at result detail change_id actor"
        ),
        "operator_act": (
            "operator idempotency_key act_id act target merchant_id payment_id arguments fingerprint reason key_kind"
            " change_id result at"
        ),
        "deployment": (
            "deployment_id kind at process_version version role host fingerprint changed digests actor act_id"
        ),
        "sealing_key_act": "number act key_id fingerprint actor reason at",
        "operator_version": "operator_id version state roles merchants raw_evidence actor request_id at",
        "operator_bootstrap": "place operator_id actor at",
        "approval_request": (
            "request_id act target merchant_id arguments shown shown_hash authors needed reason requested_by"
            " requested_at expires_at"
        ),
        "approval_decision": "request_id decided_by approves shown_hash reason at",
        "approval_outcome": "request_id outcome detail at",
        "fee_schedule": "provider account version valid_from rounding rates actor created_at",
        "settlement_evidence_set": "file_id batch currency provider account rows net root created_at",
        "audit_sweep": "sweep_id at examined late",
    }.items()
}

#: Columns of these tables that are in no leaf, with the reason.
LEFT_OUT: Final[Mapping[str, str]] = {
    "outbox.dispatched_at": "the dispatcher changes it",
    "outbox.lease_until": "the dispatcher changes it",
    "delivery.sealed": "its digest is in the leaf; the bytes are bound to their row by their own encryption",
}

#: What enters as a salted hash: a column, or a member of a column that is a JSON object. Of instructions the
#: fingerprint is one too: it is a hash over the request, without a salt; so are hashes of what an approver was shown.
SALTED: Final = frozenset(
    {
        "transition.change.description",
        "transition.change.metadata",
        "transition.evidence",
        "rejection.evidence",
        "instruction.request",
        "instruction.fingerprint",
        "response.body",
        "outbox.body",
        "delivery.digest",
        "operator_act.arguments",
        "operator_act.fingerprint",
        "approval_request.arguments",
        "approval_request.shown",
        "approval_request.shown_hash",
        "approval_decision.shown_hash",
    }
)

#: Tables that are not sealed, with the reason. Every other table of the schema has a leaf.
NOT_SEALED: Final[Mapping[str, str]] = {
    "payment": "folded from history",
    "refund": "folded from history",
    "attempt": "folded from history, and recovery's schedule",
    "dispute": "folded from history",
    "settled_batch": "folded from history",
    "settlement": "folded from history",
    "bank_statement": "folded from history",
    "bank_statement_name": "made from files: which statement of a name came first",
    "bank_comparison": "its digest is in the history of its statement",
    "bank_arrival": "made from evidence: which payout an entry is",
    "rejected_case": "folded from history",
    "alert": "folded from history",
    "balance": "the sum of the postings",
    "provider_reference": "made from history: which charge a reference names",
    "deadline": "a schedule",
    "inbox": "made from arrivals, tries and history; its schedule changes",
    "message_delivery": "a schedule, made from messages and tries",
    "message_lane": "a schedule",
    "alert_sending": "a schedule",
    "watch": "a lease",
    "merchant": "changes in place",
    "api_key": "changes in place",
    "webhook_endpoint": "changes in place; the acts about it are sealed",
    "webhook_secret": "secrets, deleted when they end",
    "provider_pause": "changes in place",
    "operator_pause": "changes in place; the acts about it are sealed",
    "provider_circuit": "what processes say of themselves",
    "process_clock": "what processes say of themselves",
    "provider_comparison": "whose turn it is",
    "settlement_report": "a schedule; its state changes in place",
    "webhook_refusal": "counts",
    "webhook_refusal_closing": "changes in place; the acts about it are sealed",
    "contract_drift": "counts",
    "version_use": "counts",
    "event_result": "counts",
    "instruction_replay": "counts",
    "rate_count": "counts",
    "completeness_count": "counts",
    "operator_credential": "secrets of people",
    "operator_session": "sessions",
    "sign_in_try": "tries to sign in, deleted later",
    "latency_count": "counts",
    "number_sample": "counts",
    "saved_filter": "filters that people keep",
    "work_owner": "changes in place; the acts about it are sealed",
    "settlement_file": "its state changes in place; the acts about it are sealed",
    "settlement_digest": "made from files: which of them has these bytes",
    "settlement_batch": "made from rows, and changes in place",
    "settlement_row": "may be withdrawn; what was posted of it is in its evidence",
    "settlement_bad_row": "may be withdrawn",
    "settlement_evidence": "the digest of all of a batch is in its set, which is sealed",
    "settlement_evidence_sum": "the sums of the evidence",
    "audit_record": "named in every head",
    "audit_head": "signed itself",
    "audit_checkpoint": "signed itself",
    "audit_leaf": "made from the lists of leaves, and compared with them",
}

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
        msgspec.defstruct(f"row_of_{table}", [(column, Raw, Raw(_NULL)) for column in columns], gc=False)
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
    for column, name, members in _HASHED[table]:
        value = bytes(getattr(row, column))
        if value == _NULL:
            continue
        hashed = _with_members_hashed(salt, name, value, members) if members else _hashed(salt, name, value)
        setattr(row, column, Raw(hashed))
    return _TEXT.encode(row)


def _with_members_hashed(salt: bytes, name: str, value: bytes, members: Sequence[str]) -> bytes:
    """The object with some of its members as hashes; an object that has none of them stays as it is written. One
    that has a member twice is hashed whole: readers differ about what it says."""
    if b"\\" not in value and not any(b'"%s"' % member.encode() in value for member in members):
        return value
    given = _ROW.decode(value)
    if not any(member in given for member in members):
        return value
    if len(json.loads(value, object_pairs_hook=list)) != len(given):
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
