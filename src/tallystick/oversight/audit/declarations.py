"""What people declare about the trees, signed as heads are: a restore of the record, and another signing key.

A declaration is signed when it is made, by whoever has the key. A row about it that no key signed declares nothing.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from msgspec import Struct

from tallystick.oversight.audit.heads import KEY_BYTES, BadDocument, key_id, signed_by
from tallystick.record.postgres.audit_declarations import Restore, Rotation

RESTORE_TITLE: Final = "tallystick restore 1"
ROTATION_TITLE: Final = "tallystick key rotation 1"


class RestoreText(Struct, frozen=True, kw_only=True):
    """What a declared restore says: the record goes on from the checkpoint ``restored_from``, whose SHA-256 is
    ``kept``. Those after it, up to ``last``, whose SHA-256 is ``lost``, are outside and no longer in the record."""

    record: str
    restored_from: int
    kept: str
    last: int
    lost: str
    act: str
    declared_at: str
    key: str

    def text(self) -> str:
        """As it is signed."""
        return _lines(
            RESTORE_TITLE,
            record=self.record,
            restored_from=self.restored_from,
            kept=self.kept,
            last=self.last,
            lost=self.lost,
            act=self.act,
            declared_at=self.declared_at,
            key=self.key,
        )


class RotationText(Struct, frozen=True, kw_only=True):
    """What a change of the signing key says: ``new``, a public key in base64, signs in place of ``old`` from the
    checkpoint ``begins`` on."""

    record: str
    begins: int
    old: str
    new: str
    rotated_at: str

    def text(self) -> str:
        """As both keys sign it."""
        return _lines(
            ROTATION_TITLE,
            record=self.record,
            begins=self.begins,
            old=self.old,
            new=self.new,
            rotated_at=self.rotated_at,
        )


def _lines(title: str, **values: object) -> str:
    return "\n".join([title, *(f"{name} {value}" for name, value in values.items()), ""])


def _read(text: str, title: str) -> dict[str, str]:
    """Raises BadDocument."""
    first, *lines = text.split("\n")
    if first != title or not lines or lines.pop():
        raise BadDocument("a declaration cannot be read")
    return {name: value for name, _, value in (line.partition(" ") for line in lines)}


def read_restore(text: str) -> RestoreText:
    """Raises BadDocument."""
    found = _read(text, RESTORE_TITLE)
    try:
        restore = RestoreText(
            record=found["record"],
            restored_from=int(found["restored_from"]),
            kept=found["kept"],
            last=int(found["last"]),
            lost=found["lost"],
            act=found["act"],
            declared_at=found["declared_at"],
            key=found["key"],
        )
    except (KeyError, ValueError):
        raise BadDocument("a declared restore cannot be read") from None
    if restore.text() != text or restore.last < restore.restored_from:
        raise BadDocument("a declared restore is not as it is written")
    return restore


def read_rotation(text: str) -> RotationText:
    """Raises BadDocument."""
    found = _read(text, ROTATION_TITLE)
    try:
        rotation = RotationText(
            record=found["record"],
            begins=int(found["begins"]),
            old=found["old"],
            new=found["new"],
            rotated_at=found["rotated_at"],
        )
    except (KeyError, ValueError):
        raise BadDocument("a change of the signing key cannot be read") from None
    if rotation.text() != text:
        raise BadDocument("a change of the signing key is not as it is written")
    return rotation


def public_key(text: str) -> Ed25519PublicKey:
    """From base64, as a rotation has it. Raises BadDocument."""
    try:
        found = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        found = b""
    if len(found) != KEY_BYTES:
        raise BadDocument("a public key cannot be read")
    return Ed25519PublicKey.from_public_bytes(found)


def keys_after(keys: Mapping[str, Ed25519PublicKey], rotations: Iterable[Rotation]) -> dict[str, Ed25519PublicKey]:
    """The keys that are believed: those given, and those that a believed key handed on to. Raises BadDocument for a
    rotation that cannot be read, that one of its two keys did not sign, or whose old key had handed on before."""
    believed = dict(keys)
    for _, old, new in _rotations(rotations):
        if key_id(old) in believed:
            believed[key_id(new)] = new
    return believed


def keys_before(own: Ed25519PublicKey, rotations: Iterable[Rotation]) -> dict[str, Ed25519PublicKey]:
    """This key, and those that handed on to it. Raises BadDocument, as ``keys_after`` does."""
    believed = {key_id(own): own}
    for _, old, new in reversed(list(_rotations(rotations))):
        if key_id(new) in believed:
            believed[key_id(old)] = old
    return believed


def own_keys(own: Ed25519PublicKey, rotations: Iterable[Rotation]) -> dict[str, Ed25519PublicKey]:
    """What somebody believes who has this key from its own settings: also the keys that handed on to it. Where a
    rotation is not what was signed, this key alone: a comparison tells."""
    try:
        return keys_before(own, rotations)
    except BadDocument:
        return {key_id(own): own}


def ended_keys(rotations: Iterable[Rotation]) -> dict[str, int]:
    """Key id -> the first checkpoint that it may not sign. Raises BadDocument, as ``keys_after`` does."""
    return {key_id(old): said.begins for said, old, _ in _rotations(rotations)}


def _rotations(rotations: Iterable[Rotation]) -> Iterator[tuple[RotationText, Ed25519PublicKey, Ed25519PublicKey]]:
    """(what it says, the old key, the new key). Raises BadDocument."""
    ended: set[str] = set()
    for each in rotations:
        said = read_rotation(each.document)
        old, new = public_key(said.old), public_key(said.new)
        both = {key_id(old): old, key_id(new): new}
        signed = signed_by(both, key_id(old), each.document, each.old_signature)
        if not (signed and signed_by(both, key_id(new), each.document, each.new_signature)):
            raise BadDocument(f"the change of the signing key {each.number} is not signed by both keys")
        if key_id(old) in ended or key_id(new) in ended | {key_id(old)}:
            raise BadDocument(f"the change of the signing key {each.number} is of a key that had ended")
        ended.add(key_id(old))
        yield said, old, new


def restores_of(
    restores: Iterable[Restore], keys: Mapping[str, Ed25519PublicKey]
) -> tuple[list[RestoreText], list[int]]:
    """Declared restores that a believed key signed, in their order; and the numbers of those that none did."""
    good, bad = [], []
    for each in restores:
        try:
            said = read_restore(each.document)
        except BadDocument:
            bad.append(each.number)
            continue
        if signed_by(keys, said.key, each.document, each.signature):
            good.append(said)
        else:
            bad.append(each.number)
    return good, bad


def next_number(number: int, restores: Iterable[RestoreText]) -> int:
    """The number of the checkpoint that follows this one: above those that a declared restore gave up."""
    following = number + 1
    for each in restores:
        if each.restored_from <= number <= each.last:
            following = max(following, each.last + 1)
    return following
