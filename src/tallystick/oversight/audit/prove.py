"""Proofs as documents that anybody can check with a public key and SHA-256: that a change is sealed (inclusion), and
that a group's tree still begins with what it was (consistency)."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

from tallystick.domain.errors import TallystickError
from tallystick.oversight.audit.heads import unpack_leaves
from tallystick.oversight.audit.leaf_rows import salted_values
from tallystick.oversight.audit.leaves import leaf_bytes
from tallystick.oversight.audit.merkle import consistency_proof, inclusion_proof, leaf_hash
from tallystick.record.postgres.audit_heads import Head
from tallystick.record.postgres.audit_rows import AuditRows, Thing


class NotProved(TallystickError):
    """There is no proof of it, and the message says why."""


async def inclusion_proofs(rows: AuditRows, merchant_id: str, subject_id: str) -> list[dict[str, Any]]:
    """A proof for each change that this subject leads, oldest first. Raises NotProved and what the database raises."""
    things = await rows.changes_of(merchant_id, subject_id)
    if not things:
        raise NotProved(f"{merchant_id} has no changes of {subject_id}")
    unsealed = [thing.leaf_key for thing in things if thing.place is None]
    if unsealed:
        raise NotProved(f"not sealed yet: {', '.join(unsealed)}")
    places = [thing.place for thing in things if thing.place is not None]
    hashes, head = await _tree(rows, places[0].leaf_group)
    return [_proof(thing, hashes, head) for thing in things]


def _proof(thing: Thing, hashes: Sequence[bytes], head: Head) -> dict[str, Any]:
    assert thing.place is not None, "the caller looked"
    position, salt = thing.place.position, thing.place.salt
    leaf = leaf_bytes(thing, salt)
    if position >= len(hashes) or leaf_hash(leaf) != hashes[position]:
        raise NotProved(f"{thing.leaf_key} is not what was sealed; `tallystick audit verify` names what differs")
    return {
        "proof": "tallystick inclusion 1",
        "leaf": leaf.decode(),
        "position": position,
        "path": [each.hex() for each in inclusion_proof(hashes, position)],
        **_signed(head),
        "salt": salt.hex(),
        "values": [[name, value] for name, value in salted_values(thing)],
    }


async def consistency_of(rows: AuditRows, group: int, sequence: int) -> dict[str, Any]:
    """The proof that a group's newest tree begins with that of the head ``sequence``. Raises NotProved and what the
    database raises."""
    hashes, head = await _tree(rows, group)
    earlier = await rows.heads_between(group, sequence - 1, sequence)
    if not earlier:
        raise NotProved(f"the group has no head {sequence}")
    return {
        "proof": "tallystick consistency 1",
        "path": [each.hex() for each in consistency_proof(hashes, earlier[0].size)],
        "earlier": _signed(earlier[0]),
        **_signed(head),
    }


async def _tree(rows: AuditRows, group: int) -> tuple[list[bytes], Head]:
    """The hashes of a group's leaves, and its newest head."""
    hashes: list[bytes] = []
    last = None
    async for head in rows.heads(group):
        hashes += [bytes.fromhex(leaf.hash) for leaf in unpack_leaves(head.leaves)]
        last = head
    if last is None:
        raise NotProved("the group has no head")
    return hashes, last


def _signed(head: Head) -> dict[str, str]:
    return {"head": head.document, "signature": base64.b64encode(head.signature).decode()}
