"""Personal fields: what a merchant writes about a person, and what stands in its place once it is erased. Pure.

They are a payment's ``description`` and ``metadata``. Both are set once, when the payment is made. So whatever else has
them, an answer or a message, need not keep them: it is stored with holes, and filled from the payment when it is read.
A hole has the text that is shown after an erasure. Of an erased payment the holes are filled with the same text again.

A version of the API may have another name for a field. The names are found by showing a payment in every version.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Struct

from tallystick.domain.api_versions import VERSIONS
from tallystick.domain.requests.fingerprint import canonical
from tallystick.domain.requests.json_body import parse_json_object
from tallystick.domain.subjects import Payment
from tallystick.domain.views import PaymentView, payment_view

#: The names of the fields in a payment and in its history.
FIELDS: Final = ("description", "metadata")

#: What stands in the place of an erased text.
ERASED: Final = "[erased]"

#: What stands in the place of erased metadata: its type stays. Its names are erased too, since a person chose them.
ERASED_METADATA: Final[Mapping[str, str]] = {ERASED: ERASED}

#: An erased payment's fields, where it had both.
HOLES: Final[Mapping[str, Any]] = {"description": ERASED, "metadata": dict(ERASED_METADATA)}

_ENCODER: Final = msgspec.json.Encoder()
_SORTED: Final = msgspec.json.Encoder(order="sorted")

#: Every hole has this.
HOLE: Final = b'"[erased]"'

#: Metadata after an erasure.
_EMPTIED: Final = _ENCODER.encode(ERASED_METADATA)


class NotMasked(ValueError):
    """A body has a personal value that is not the payment's: it must not be stored."""


class Places(NamedTuple):
    """Where personal fields stand in bodies: members, each with its hole. ``stands``: an expression for a value that is
    no hole, for PostgreSQL. ``openings``: how a member with a value begins, and how it does where that is a hole or
    empty. Quotes in a text are escaped, so that it cannot be part of one."""

    descriptions: Mapping[bytes, bytes]
    metadata: Mapping[bytes, bytes]
    names: Mapping[str, str]
    stands: str
    openings: Sequence[tuple[bytes, tuple[bytes, bytes]]]

    def is_clean(self, body: bytes) -> bool:
        """Whether every value in a body is a hole or empty: what ``stands`` says where it finds nothing, in half of its
        time."""
        for opening, nothing in self.openings:
            at = body.find(opening)
            while at >= 0:
                if not body.startswith(nothing, at):
                    return False
                at = body.find(opening, at + 1)
        return True


def places() -> Places:
    """Those of every version of the API that this release knows."""
    return _places(VERSIONS.generation)


@lru_cache(maxsize=1)
def _places(_: object) -> Places:
    at = datetime.fromtimestamp(0, UTC)
    said, held = "what a person is told by", {"what a person": "is found by"}
    payment = Payment(
        merchant_id="m",
        payment_id="p",
        version=1,
        state="captured",
        amount=1,
        currency="EUR",
        payment_method="m",
        provider="p",
        description=said,
        metadata=held,
        created_at=at,
        updated_at=at,
    )
    shown = msgspec.to_builtins(payment_view(payment, in_doubt=False))
    names: dict[str, str] = {}
    for version in VERSIONS.every():
        for name, value in VERSIONS.body(PaymentView, shown, version).items():
            if value in (said, held):
                names[name] = "description" if value == said else "metadata"
    members = {field: [name for name, of in sorted(names.items()) if of == field] for field in FIELDS}
    stands = (
        rf'"({"|".join(map(re.escape, members["description"]))})":"(?!\[erased\]"|")'
        rf'|"({"|".join(map(re.escape, members["metadata"]))})":\{{(?!"\[erased\]":"\[erased\]"\}}|\}})'
    )
    descriptions = {_member(name): _member(name) + HOLE for name in members["description"]}
    metadata = {_member(name): _member(name) + _EMPTIED for name in members["metadata"]}
    return Places(
        descriptions=descriptions,
        metadata=metadata,
        names=names,
        stands=stands,
        openings=[
            *((member + b'"', (hole, member + b'""')) for member, hole in descriptions.items()),
            *((member + b"{", (hole, member + b"{}")) for member, hole in metadata.items()),
        ],
    )


def _member(name: str) -> bytes:
    return b"%s:" % _ENCODER.encode(name)


class PersonalValues(Struct, frozen=True, kw_only=True):
    """The personal fields of one payment. After an erasure they are the texts that stand in their place."""

    description: str | None = None
    metadata: Mapping[str, str] = {}

    def __bool__(self) -> bool:
        return bool(self.description or self.metadata)

    def masked(self, body: bytes) -> bytes:
        """A body with holes in their place. Raises NotMasked."""
        return self._masked(body, _ENCODER)

    def masked_request(self, request: bytes) -> bytes:
        """A canonical body with holes in their place. Raises NotMasked."""
        return self._masked(request, _SORTED)

    def filled(self, body: bytes) -> bytes:
        """What ``masked`` made the holes in."""
        return self._filled(body, _ENCODER)

    def filled_request(self, request: bytes) -> bytes:
        """What ``masked_request`` made the holes in."""
        return self._filled(request, _SORTED)

    def _masked(self, body: bytes, encoder: msgspec.json.Encoder) -> bytes:
        where = places()
        if self.metadata:  # first: it may have a member that is named as the other field
            value = encoder.encode(self.metadata)
            for member, hole in where.metadata.items():
                body = body.replace(member + value, hole)
        if self.description:
            value = encoder.encode(self.description)
            for member, hole in where.descriptions.items():
                body = body.replace(member + value, hole)
        if not where.is_clean(body):
            raise NotMasked("a body has another description or other metadata than its payment")
        return body

    def _filled(self, body: bytes, encoder: msgspec.json.Encoder) -> bytes:
        if HOLE not in body:
            return body
        where = places()
        if self.description:
            value = encoder.encode(self.description)
            for member, hole in where.descriptions.items():
                body = body.replace(hole, member + value)
        if self.metadata:
            value = encoder.encode(self.metadata)
            for member, hole in where.metadata.items():
                body = body.replace(hole, member + value)
        return body


def has_personal(body: bytes) -> bool:
    """Whether a personal value stands in a body."""
    return not places().is_clean(body)


def has_holes(body: bytes | None) -> bool:
    """Whether a body may have holes."""
    return body is not None and HOLE in body


def erased_request(request: bytes) -> bytes:
    """A canonical body as it is stored: with holes. Raises BadJson for what is no canonical body."""
    return canonical(erased_fields(parse_json_object(request), places().names))


def erased_fields(fields: Mapping[str, Any], names: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Fields of a payment with the personal ones replaced. What is empty says nothing of anybody, and stays. ``names``:
    what they are called here, if not as in a payment."""
    replaced = dict(fields)
    for name, field in (names or _OWN_NAMES).items():
        if replaced.get(name):
            replaced[name] = ERASED if field == "description" else dict(ERASED_METADATA)
    return replaced


_OWN_NAMES: Final[Mapping[str, str]] = {name: name for name in FIELDS}
