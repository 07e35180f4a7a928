"""Personal fields: what a merchant writes about a person, and what stands in its place once it is erased. Pure.

They are a payment's ``description`` and ``metadata``. Both are set once, when the payment is made. So whatever else has
them, an answer or a message, need not keep them: it is stored with holes, and filled from the payment when it is read.
A hole has the text that is shown after an erasure. Of an erased payment the holes are filled with the same text again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from tallystick.domain.requests.fingerprint import canonical
from tallystick.domain.requests.json_body import parse_json_object

#: The names of the fields, in a payment, in its history and in every body.
FIELDS: Final = ("description", "metadata")

#: What stands in the place of an erased text.
ERASED: Final = "[erased]"

#: What stands in the place of erased metadata: its type stays. Its names are erased too, since a person chose them.
ERASED_METADATA: Final[Mapping[str, str]] = {ERASED: ERASED}

_ENCODER: Final = msgspec.json.Encoder()
_SORTED: Final = msgspec.json.Encoder(order="sorted")

#: Every hole has this.
HOLE: Final = b'"[erased]"'

_DESCRIPTION: Final = b'"description":'
_METADATA: Final = b'"metadata":'
_NO_DESCRIPTION: Final = _DESCRIPTION + HOLE
_NO_METADATA: Final = _METADATA + _ENCODER.encode(ERASED_METADATA)

#: A personal value that stands in a body. Quotes in a text are escaped, so that it cannot be part of one.
_STANDS: Final = re.compile(rb'"description":"(?!\[erased\]"|")|"metadata":\{(?!"\[erased\]":"\[erased\]"\}|\})')


class NotMasked(ValueError):
    """A body has a personal value that is not the payment's: it must not be stored."""


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
        # Metadata first: it may have a member that is named as the other field.
        if self.metadata:
            body = body.replace(_METADATA + encoder.encode(self.metadata), _NO_METADATA)
        if self.description:
            body = body.replace(_DESCRIPTION + encoder.encode(self.description), _NO_DESCRIPTION)
        if has_personal(body):
            raise NotMasked("a body has another description or other metadata than its payment")
        return body

    def _filled(self, body: bytes, encoder: msgspec.json.Encoder) -> bytes:
        if HOLE not in body:
            return body
        if self.description:
            body = body.replace(_NO_DESCRIPTION, _DESCRIPTION + encoder.encode(self.description))
        if self.metadata:
            body = body.replace(_NO_METADATA, _METADATA + encoder.encode(self.metadata))
        return body


def has_personal(body: bytes) -> bool:
    """Whether a personal value stands in a body."""
    return _STANDS.search(body) is not None


def has_holes(body: bytes | None) -> bool:
    """Whether a body may have holes."""
    return body is not None and HOLE in body


def erased_request(request: bytes) -> bytes:
    """A canonical body as it is stored: with holes. Raises BadJson for what is no canonical body."""
    return canonical(erased_fields(parse_json_object(request)))


def erased_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a payment with the personal ones replaced. What is empty says nothing of anybody, and stays."""
    replaced = dict(fields)
    if replaced.get("description"):
        replaced["description"] = ERASED
    if replaced.get("metadata"):
        replaced["metadata"] = dict(ERASED_METADATA)
    return replaced
