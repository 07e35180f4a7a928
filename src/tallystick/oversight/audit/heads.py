"""Heads and checkpoints: short texts that are signed, and the lists of leaves that belong to heads.

A head says how long a group's tree is and what its root is, and names the head before it. A checkpoint says this of all
groups at once. Both are lines of ``name value`` in a fixed order, so that any language reads them.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from msgspec import Struct

from tallystick.domain.errors import TallystickError
from tallystick.oversight.audit.merkle import HASH_BYTES

HEAD_TITLE: Final = "tallystick head 2"
CHECKPOINT_TITLE: Final = "tallystick checkpoint 2"

#: Of the first head, which follows none.
NO_HEAD: Final = "-"

#: Of an Ed25519 key, private or public.
KEY_BYTES: Final = 32

_KEY_ID_DIGITS: Final = 16

#: The first group for merchants; those below are the platform's own.
MERCHANTS: Final = 2
PLATFORM: Final = 0
INBOX: Final = 1

_INBOX_KINDS: Final = frozenset({"delivery", "processing"})


class BadSigningKey(TallystickError):
    """A key that signs heads, or the public one, is malformed."""


class BadDocument(TallystickError):
    """A head, a checkpoint or a list of leaves is not what its writer writes."""


class HeadText(Struct, frozen=True, kw_only=True):
    """What a head says. ``previous``: the SHA-256 of the head before it. ``leaves``: that of its list of leaves."""

    record: str
    group: int
    sequence: int
    size: int
    root: bytes
    previous: str
    leaves: str
    sealed_at: str
    key: str

    def text(self) -> str:
        """As it is signed."""
        return "\n".join(
            [
                HEAD_TITLE,
                f"record {self.record}",
                f"group {self.group}",
                f"sequence {self.sequence}",
                f"size {self.size}",
                f"root {self.root.hex()}",
                f"previous {self.previous}",
                f"leaves {self.leaves}",
                f"sealed_at {self.sealed_at}",
                f"key {self.key}",
                "",
            ]
        )


class GroupHead(Struct, frozen=True, kw_only=True):
    """A group's newest head, in a checkpoint. ``head``: the SHA-256 of the head's text."""

    group: int
    sequence: int
    size: int
    head: str


class CheckpointText(Struct, frozen=True, kw_only=True):
    """What a checkpoint says: where every group stands."""

    record: str
    number: int
    previous: str
    groups: tuple[GroupHead, ...]
    sealed_at: str
    key: str

    def text(self) -> str:
        """As it is signed."""
        return "\n".join(
            [
                CHECKPOINT_TITLE,
                f"record {self.record}",
                f"number {self.number}",
                f"previous {self.previous}",
                *(f"group {each.group} {each.sequence} {each.size} {each.head}" for each in self.groups),
                f"sealed_at {self.sealed_at}",
                f"key {self.key}",
                "",
            ]
        )


def read_head(text: str) -> HeadText:
    """Raises BadDocument."""
    try:
        title, *lines, end = text.split("\n")
        found = dict(line.split(" ", 1) for line in lines)
        head = HeadText(
            record=found["record"],
            group=int(found["group"]),
            sequence=int(found["sequence"]),
            size=int(found["size"]),
            root=bytes.fromhex(found["root"]),
            previous=found["previous"],
            leaves=found["leaves"],
            sealed_at=found["sealed_at"],
            key=found["key"],
        )
    except (ValueError, KeyError):
        raise BadDocument("a head cannot be read") from None
    if title != HEAD_TITLE or end or head.text() != text:
        raise BadDocument("a head is not as it is written")
    return head


def read_checkpoint(text: str) -> CheckpointText:
    """Raises BadDocument."""
    try:
        title, record, number, previous, *groups, sealed_at, key, end = text.split("\n")
        found = CheckpointText(
            record=record.removeprefix("record "),
            number=int(number.removeprefix("number ")),
            previous=previous.removeprefix("previous "),
            groups=tuple(_group(line) for line in groups),
            sealed_at=sealed_at.removeprefix("sealed_at "),
            key=key.removeprefix("key "),
        )
    except ValueError:
        raise BadDocument("a checkpoint cannot be read") from None
    if title != CHECKPOINT_TITLE or end or found.text() != text:
        raise BadDocument("a checkpoint is not as it is written")
    return found


def _group(line: str) -> GroupHead:
    _, group, sequence, size, head = line.split(" ")
    return GroupHead(group=int(group), sequence=int(sequence), size=int(size), head=head)


def digest(text: str | bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest()


class LeafPart(Struct, frozen=True, array_like=True, order=True, gc=False):
    """A part of a leaf that is named on its own: a change, an instruction or an answer, by its key, with the first
    digits of its hash."""

    kind: str
    key: str
    tag: str


class LeafName(Struct, frozen=True, array_like=True, gc=False):
    """A leaf in a head's list: what it is of, and its hash in hexadecimal. ``parts``: none where it has one alone."""

    kind: str
    merchant_id: str
    key: str
    hash: str
    parts: tuple[LeafPart, ...] = ()

    def names(self) -> Iterator[tuple[str, str, str]]:
        """(kind, merchant, key) of everything in it."""
        if not self.parts:
            yield self.kind, self.merchant_id, self.key
        for part in self.parts:
            yield part.kind, self.merchant_id, part.key


#: Of zlib. A list is hashes for the most part: the level above 1 costs 7 µs a leaf, and saves a twentieth.
_LEVEL: Final = 1

_LIST: Final = msgspec.json.Decoder(list[LeafName])


def pack_leaves(leaves: Sequence[LeafName]) -> bytes:
    """The list as it is stored and leaves the machine: JSON, compressed."""
    return zlib.compress(msgspec.json.encode(leaves), _LEVEL)


def unpack_leaves(packed: bytes) -> list[LeafName]:
    """Raises BadDocument."""
    try:
        found = _LIST.decode(zlib.decompress(packed))
        if any(len(bytes.fromhex(leaf.hash)) != HASH_BYTES for leaf in found):
            raise ValueError
        return found
    except (zlib.error, msgspec.DecodeError, ValueError):
        raise BadDocument("a list of leaves cannot be read") from None


def group_of(kind: str, merchant_id: str, merchant_groups: int) -> int:
    """The group whose tree has it: by a hash of the merchant's id, which is never assigned anew."""
    if merchant_id:
        number = int.from_bytes(hashlib.sha256(b"tallystick audit group" + merchant_id.encode()).digest()[:8], "big")
        return MERCHANTS + number % merchant_groups
    return INBOX if kind in _INBOX_KINDS else PLATFORM


def group_name(group: int) -> str:
    """For people."""
    return {PLATFORM: "platform", INBOX: "inbox"}.get(group, f"merchants {group - MERCHANTS}")


def key_id(public: Ed25519PublicKey) -> str:
    """What a key is known by in the heads that it signs."""
    return digest(b"tallystick audit key" + public.public_bytes_raw())[:_KEY_ID_DIGITS]


class SigningKey:
    """The key that signs heads."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.public = private.public_key()
        self.key_id = key_id(self.public)

    @classmethod
    def from_text(cls, text: str) -> SigningKey:
        """From base64 of its 32 bytes. Raises BadSigningKey."""
        return cls(Ed25519PrivateKey.from_private_bytes(_key_bytes(text, "TALLYSTICK_AUDIT_SIGNING_KEY")))

    def sign(self, text: str) -> bytes:
        """The signature of a document."""
        return self._private.sign(text.encode())


def public_keys(texts: Iterable[str]) -> Mapping[str, Ed25519PublicKey]:
    """By key id, from lines of base64; empty lines and comments (#) are passed over. Raises BadSigningKey."""
    lines = [line.strip() for line in texts]
    keys = [
        Ed25519PublicKey.from_public_bytes(_key_bytes(line, "a public key"))
        for line in lines
        if line and not line.startswith("#")
    ]
    return {key_id(key): key for key in keys}


def public_text(public: Ed25519PublicKey) -> str:
    """A public key as its file has it."""
    return base64.b64encode(public.public_bytes_raw()).decode()


def signed_by(keys: Mapping[str, Ed25519PublicKey], name: str, text: str, signature: bytes) -> bool:
    """Whether the key of that id signed the text."""
    try:
        keys[name].verify(signature, text.encode())
    except (KeyError, InvalidSignature):
        return False
    return True


def moment(at: datetime) -> str:
    """A time as documents have it: UTC, to the microsecond."""
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def moment_said(text: str) -> datetime:
    """The time that a document has. Raises BadDocument."""
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    except ValueError:
        raise BadDocument("it has no time that can be read") from None


def _key_bytes(text: str, what: str) -> bytes:
    try:
        found = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        found = b""
    if len(found) != KEY_BYTES:
        raise BadSigningKey(f"{what}: expected {KEY_BYTES} bytes in base64")
    return found
