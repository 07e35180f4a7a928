"""Personal fields at the record's edge: append-only rows have them under a key that can be destroyed, or have holes.

The first step of a payment's history has them as ciphertext, under a key that is the payment's alone and stands in its
row. Everything else that has them has holes, and is filled from the payment's row when it is read
(``domain/personal.py``). So one place is erased, the payment's row. Without its key the ciphertext says nothing.

A step with one of the fields has its hole beside the ciphertext, which is an object. With both it has neither hole, and
the ciphertext is the two values in their order: that there are both follows from the holes that are not there.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import Struct

from tallystick.domain.change import Change, KeyClaim, Transition
from tallystick.domain.instruction import StoredInstruction
from tallystick.domain.kinds import PAYMENT_KIND
from tallystick.domain.personal import FIELDS, HOLE, HOLES, PersonalValues, erased_fields, has_holes
from tallystick.domain.requests.fingerprint import fingerprint
from tallystick.domain.subjects import Payment
from tallystick.record.postgres import sql

STATEMENTS: Final = sql.load("personal.sql")

#: The member of a step's change that has the ciphertext.
SEALED: Final = "personal"

#: A text that has the member has this.
_HAS_SEALED: Final = '"personal":"'

#: AES-128: the key has to be unknown, and nothing else.
KEY_BYTES: Final = 16

#: A key encrypts one text, once: the nonce need not differ from that of another.
_NONCE: Final = bytes(12)

_CHANGE: Final = msgspec.json.Decoder(dict[str, Any])
_OPENED: Final = msgspec.json.Decoder(dict[str, Any] | list[Any])
_ENCODER: Final = msgspec.json.Encoder()

#: Merchant and payment.
Name = tuple[str, str]


class Fetches(Protocol):
    """A connection or a pool that answers one statement."""

    async def fetch(self, query: str, *args: Any) -> Sequence[Any]:
        """Its rows."""


class Personal(Struct, frozen=True, kw_only=True):
    """The personal fields of a payment as its row has them. ``key`` is None where they are erased, and in a row of
    before. ``erased_by``: the request by which they were erased."""

    values: PersonalValues
    key: bytes | None = None
    erased_by: str | None = None

    def opened(self, change: str, merchant_id: str, stream_id: str) -> str:
        """A step's change with its personal fields, or with what stands in their place. One that the key does not open
        stays as it is, with a member that no replay knows."""
        if _HAS_SEALED not in change:
            return change
        fields = _CHANGE.decode(change)
        sealed = fields.pop(SEALED, None)
        if sealed is None:
            return change
        if self.key is not None:
            opened = _open(self.key, sealed, merchant_id, stream_id)
            if opened is None:
                return change
            fields |= opened
        elif fields.keys().isdisjoint(FIELDS):
            fields |= HOLES
        return _ENCODER.encode(fields).decode()


#: Of a payment whose row is not there.
MISSING: Final = Personal(values=PersonalValues())


class NewRows:
    """How the rows of one change hide what is personal. ``key``: the new one of a payment that the change opens."""

    __slots__ = ("key", "values")

    def __init__(self, payment: Payment, *, opens: bool) -> None:
        self.values = PersonalValues(description=payment.description, metadata=payment.metadata)
        self.key = os.urandom(KEY_BYTES) if opens and self.values else None

    def change_of(self, step: Transition) -> dict[str, Any]:
        """What is stored of a step's change."""
        if self.key is None or step.subject != PAYMENT_KIND.name or step.version != 1:
            return step.change
        return sealed_change(self.key, step.change, step.merchant_id, step.stream_id)

    def claim_of(self, claim: KeyClaim) -> KeyClaim:
        """An instruction whose request has holes, with the fingerprint of that. Raises NotMasked."""
        request = self.values.masked_request(claim.request)
        if request == claim.request:
            return claim
        return msgspec.structs.replace(
            claim, request=request, fingerprint=fingerprint(_method(claim.operation), claim.path, request)
        )


def new_rows_of(change: Change) -> NewRows | None:
    """None for a change that has nothing personal, as most have not."""
    payment = change.one(Payment)
    if payment is None or not (payment.description or payment.metadata):
        return None
    opens = any(step.subject_id == payment.payment_id and step.version == 1 for step in change.transitions)
    return NewRows(payment, opens=opens)


def sealed_change(key: bytes, change: Mapping[str, Any], merchant_id: str, stream_id: str) -> dict[str, Any]:
    """The change of a first step with its personal fields under the key."""
    sealed = sealed_text(key, plain_text(change), merchant_id, stream_id)
    if not has_both(change):
        return erased_fields(change) | {SEALED: sealed}
    kept = {name: value for name, value in change.items() if name not in FIELDS}
    kept[SEALED] = sealed
    return kept


def has_both(change: Mapping[str, Any]) -> bool:
    """Whether a step's change has both personal fields, and not an empty one."""
    return all(map(change.get, FIELDS))


def plain_text(change: Mapping[str, Any]) -> bytes:
    """The personal fields of a step's change as they are encrypted."""
    if has_both(change):
        return _ENCODER.encode([change[name] for name in FIELDS])
    return _ENCODER.encode({name: change[name] for name in FIELDS if change.get(name)})


def sealed_text(key: bytes, plain: bytes, merchant_id: str, stream_id: str) -> str:
    """Personal fields, as JSON, under the key of their payment. A key is used for one text."""
    encrypted = AESGCM(key).encrypt(_NONCE, plain, _about(merchant_id, stream_id))
    return binascii.b2a_base64(encrypted, newline=False).decode()


async def personal_of(connection: Fetches, names: Iterable[Name]) -> dict[Name, Personal]:
    """The personal fields of these payments. Asked only where a row has a hole or a ciphertext."""
    wanted = sorted(set(names))
    if not wanted:
        return {}
    rows = await connection.fetch(STATEMENTS["personal_of"], *map(list, zip(*wanted, strict=True)))
    return {
        (merchant_id, payment_id): Personal(values=_values(description, metadata), key=key, erased_by=erased_by)
        for merchant_id, payment_id, description, metadata, key, erased_by in rows
    }


def in_document(row: Mapping[str, Any]) -> Personal:
    """The personal fields of a payment whose row is a JSON document, where bytes are hexadecimal digits."""
    key = row.get("personal_key")
    return Personal(
        values=PersonalValues(description=row.get("description"), metadata=row.get("metadata") or {}),
        key=None if key is None else bytes.fromhex(key.removeprefix("\\x")),
        erased_by=row.get("erased_by"),
    )


def is_sealed(change: str) -> bool:
    """Whether a step's change may have a ciphertext."""
    return _HAS_SEALED in change


def instruction_of(columns: Mapping[str, Any]) -> StoredInstruction:
    """An instruction out of its row with ``description``, ``metadata`` and ``erased_by`` of its payment. Its holes are
    filled, and its fingerprint is that of the whole request, unless the payment is erased."""
    given = dict(columns)
    description, metadata, erased_by = (given.pop(name) for name in ("description", "metadata", "erased_by"))
    if not (has_holes(given["request"]) or has_holes(given["body"])):
        return StoredInstruction(**given)
    values = _values(description, metadata)
    if HOLE in given["request"]:
        if erased_by is not None:
            return StoredInstruction(**given, erased=True)
        given["request"] = values.filled_request(given["request"])
        given["fingerprint"] = fingerprint(_method(given["operation"]), given["path"], given["request"])
    if given["body"] is not None:
        given["body"] = values.filled(given["body"])
    return StoredInstruction(**given)


def _values(description: str | None, metadata: str | None) -> PersonalValues:
    return PersonalValues(description=description, metadata=msgspec.json.decode(metadata) if metadata else {})


def _open(key: bytes, sealed: Any, merchant_id: str, stream_id: str) -> dict[str, Any] | None:
    try:
        plain = AESGCM(key).decrypt(_NONCE, base64.b64decode(sealed), _about(merchant_id, stream_id))
        fields = _OPENED.decode(plain)
        return fields if isinstance(fields, dict) else dict(zip(FIELDS, fields, strict=True))
    except (InvalidTag, ValueError, TypeError, binascii.Error):
        return None


def _about(merchant_id: str, stream_id: str) -> bytes:
    return f"personal/{merchant_id}/{stream_id}".encode()


def _method(operation: str) -> str:
    return operation.partition(" ")[0]
