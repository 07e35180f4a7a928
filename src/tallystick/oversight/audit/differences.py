"""Says which part of a leaf is not what was sealed: of a change the change itself, its instruction or its answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from tallystick.oversight.audit.heads import LeafName, LeafPart
from tallystick.oversight.audit.leaves import leaf_parts
from tallystick.record.postgres.audit_rows import Thing

Difference = tuple[Literal["changed", "removed", "inserted"], str, str]


def differences_of(leaf: LeafName, thing: Thing, salt: bytes) -> Iterator[Difference]:
    """(what, kind, key) of each part that differs, of a thing whose leaf is not the one that was sealed. The whole
    thing where no part says it. Raises msgspec.DecodeError for a row that cannot be read."""
    whole: Difference = ("changed", thing.kind, thing.leaf_key)
    if (leaf.kind, leaf.merchant_id, leaf.key) != (thing.kind, thing.merchant_id, thing.leaf_key):
        yield whole
        return
    own = (thing.kind, thing.leaf_key)
    was = _by_name(leaf.parts) or {own: ""}
    now = _by_name(leaf_parts(thing, salt)) or {own: ""}
    found: list[Difference] = [("removed", *name) for name in was if name not in now]
    found += [("inserted", *name) for name in now if name not in was]
    found += [("changed", *name) for name, tag in now.items() if was.get(name, tag) != tag]
    yield from found or [whole]


def _by_name(parts: tuple[LeafPart, ...]) -> dict[tuple[str, str], str]:
    return {(part.kind, part.key): part.tag for part in parts}
