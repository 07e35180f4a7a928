"""Compares the record with its trees, and the trees with heads that are kept elsewhere.

Without outside heads this says that the record is consistent in itself: who holds the database and the key can write
another record that is so too. With heads that left the machine, and the public key, it says that what they name was not
rewritten. Each difference is named by the thing that it is about. What is younger than the last outside head is not
promised.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from heapq import nsmallest
from typing import Final, Literal

import asyncpg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from msgspec import DecodeError, Struct

from tallystick.kit.clock import Clock
from tallystick.oversight.audit.anchors import Anchor
from tallystick.oversight.audit.differences import differences_of
from tallystick.oversight.audit.heads import (
    NO_HEAD,
    BadDocument,
    GroupHead,
    LeafName,
    digest,
    group_name,
    read_checkpoint,
    read_head,
    signed_by,
    unpack_leaves,
)
from tallystick.oversight.audit.leaves import hash_of
from tallystick.oversight.audit.merkle import HASH_BYTES, Peaks
from tallystick.record.postgres.audit_rows import KINDS, AuditRows, Head, Thing

#: Things in one read.
PAGE: Final = 1_000

#: Findings that are kept; more are counted.
KEPT: Final = 1_000

What = Literal[
    "changed", "removed", "inserted", "not_sealed", "stray", "head", "checkpoint", "outside_head", "rolled_back"
]


class Finding(Struct, frozen=True, kw_only=True):
    """One difference. ``about``: kind, merchant and key of a thing, or the head or checkpoint."""

    what: What
    about: str
    detail: str


class AuditReport(Struct, kw_only=True):
    """What was compared, and what differs. ``outside``: the last outside head, where there was one that holds.
    ``late``: things that were sealed later than the window after their time; a transaction that was held back leaves
    one, and so does a row that was inserted with an older time."""

    leaves: int = 0
    heads: int = 0
    checkpoints: int = 0
    examined: int = 0
    unsealed: int = 0
    unsealed_since: datetime | None = None
    sealed_until: datetime | None = None
    outside: str | None = None
    promised_until: str | None = None
    findings: list[Finding] = []
    found: int = 0
    late: list[str] = []

    @property
    def holds(self) -> bool:
        """Whether nothing differs."""
        return self.found == 0

    def add(self, what: What, about: str, detail: str) -> None:
        """One difference more."""
        self.found += 1
        if len(self.findings) < KEPT:
            self.findings.append(Finding(what=what, about=about, detail=detail))


class Tree:
    """The leaves of one group as its heads list them. ``seen``: a byte for each, 1 where the record has the thing."""

    def __init__(self) -> None:
        self.hashes = bytearray()
        self.seen = bytearray()
        self.ends: list[int] = []
        self.sealed_at: list[datetime] = []
        self.heads: dict[int, str] = {}
        self.sequence = 0
        self.previous = NO_HEAD

    @property
    def size(self) -> int:
        """How many leaves there are."""
        return len(self.seen)

    def hash_at(self, position: int) -> bytes:
        """Of one leaf."""
        return bytes(self.hashes[position * HASH_BYTES : (position + 1) * HASH_BYTES])

    def sealed_when(self, position: int) -> datetime:
        """When the head with this leaf was made."""
        return self.sealed_at[bisect_right(self.ends, position)]


class Verifier:
    """One comparison, over one connection in a transaction of one snapshot."""

    def __init__(
        self,
        rows: AuditRows,
        keys: Mapping[str, Ed25519PublicKey],
        clock: Clock,
        window: timedelta,
        progress: Callable[[int, int], None] = lambda *_: None,
    ) -> None:
        self._rows = rows
        self._keys = keys
        self._clock = clock
        self._window = window
        self._progress = progress
        self._trees: dict[int, Tree] = {}
        self._checkpoints: dict[int, str] = {}
        self._swept: datetime | None = None
        self._swept_last: datetime | None = None
        self._newest: datetime | None = None
        self._waiting: list[tuple[datetime, str]] = []
        self._changed: dict[int, dict[int, list[Thing]]] = {}
        self.report = AuditReport()

    async def run(self, anchors: Sequence[Anchor] = ()) -> AuditReport:
        """Compare everything. Raises what the database raises."""
        self._swept, self._swept_last = await self._rows.first_sweep(), await self._rows.last_sweep()
        for group in await self._rows.groups():
            await self._read_group(group)
        await self._read_checkpoints()
        for kind in KINDS:
            self._newest, self._waiting = self._swept_last, []
            async for things in self._rows.every(kind, PAGE):
                for thing in things:
                    self._compare(thing)
                self.report.examined += len(things)
                if self._changed:
                    await self._name_changed()
                self._waiting = nsmallest(KEPT, self._waiting)
                self._progress(self.report.examined, max(self.report.examined, self._size()))
            self._name_passed_by()
        await self._name_missing()
        for merchant_id, table, name, stream in await self._rows.strays(KEPT):
            self.report.add("stray", f"{table} {merchant_id} {name}", f"it belongs to no change of {stream}")
        if anchors:
            await self._compare_outside(anchors)
        self.report.leaves = self._size()
        return self.report

    def _size(self) -> int:
        return sum(tree.size for tree in self._trees.values())

    async def _read_group(self, group: int) -> None:
        tree = self._trees[group] = Tree()
        peaks = Peaks()
        async for head in self._rows.heads(group):
            try:
                self._read_head(tree, peaks, head)
            except BadDocument as error:
                self.report.add("head", _head_name(group, head.sequence), str(error))
            self.report.heads += 1

    def _read_head(self, tree: Tree, peaks: Peaks, head: Head) -> None:
        """Raises BadDocument."""
        about = _head_name(head.leaf_group, head.sequence)
        said = read_head(head.document)
        if (said.group, said.sequence, said.size) != (head.leaf_group, head.sequence, head.size):
            self.report.add("head", about, "its columns are not what was signed")
        if not signed_by(self._keys, said.key, head.document, head.signature):
            self.report.add("head", about, f"it is not signed by a key that is known here ({said.key})")
        if said.previous != tree.previous or said.sequence != tree.sequence + 1:
            self.report.add("head", about, "it does not follow the head before it")
        if digest(head.leaves) != said.leaves:
            self.report.add("head", about, "its list of leaves is not the one that was signed")
        for leaf in unpack_leaves(head.leaves):
            hashed = bytes.fromhex(leaf.hash)
            peaks.append(hashed)
            tree.hashes += hashed
            tree.seen.append(0)
        if peaks.root() != said.root or peaks.size != said.size:
            self.report.add("head", about, "its root is not that of its leaves")
        tree.ends.append(peaks.size)
        tree.sealed_at.append(head.sealed_at)
        tree.previous = tree.heads[head.sequence] = digest(head.document)
        tree.sequence = head.sequence

    async def _read_checkpoints(self) -> None:
        previous, number, newest = NO_HEAD, 0, dict[int, GroupHead]()
        async for each in self._rows.checkpoints():
            about = f"checkpoint {each.number}"
            self.report.checkpoints += 1
            try:
                said = read_checkpoint(each.document)
            except BadDocument as error:
                self.report.add("checkpoint", about, str(error))
                continue
            if not signed_by(self._keys, said.key, each.document, each.signature):
                self.report.add("checkpoint", about, f"it is not signed by a key that is known here ({said.key})")
            if said.previous != previous or said.number != number + 1 or said.number != each.number:
                self.report.add("checkpoint", about, "it does not follow the checkpoint before it")
            previous, number = digest(each.document), each.number
            self._checkpoints[number] = previous
            named = {each_group.group: each_group for each_group in said.groups}
            for lost in set(newest) - set(named):
                self.report.add("checkpoint", about, f"it lacks the group {group_name(lost)}, which had heads before")
            for each_group in set(named.values()) - set(newest.values()):
                self._compare_named(about, each_group)
            newest = named
            self.report.sealed_until = each.sealed_at
        for group, tree in self._trees.items():
            if group not in newest or tree.sequence > newest[group].sequence:
                self.report.add("checkpoint", _head_name(group, tree.sequence), "no checkpoint names it")

    def _compare_named(self, about: str, named: GroupHead) -> None:
        tree = self._trees.get(named.group)
        if tree is None or tree.heads.get(named.sequence) != named.head:
            detail = f"{about} names it, and the record has another one or none"
            self.report.add("head", _head_name(named.group, named.sequence), detail)

    def _compare(self, thing: Thing) -> None:
        place, about = thing.place, _name(thing.kind, thing.merchant_id, thing.leaf_key)
        if place is None:
            self._note_unsealed(thing, about)
            return
        tree = self._trees.get(place.leaf_group)
        if tree is None or not 0 <= place.position < tree.size:
            self.report.add("inserted", about, "the record says that it is sealed, and no head has it")
            return
        try:
            same = hash_of(thing, place.salt) == tree.hash_at(place.position)
        except (DecodeError, KeyError):
            same = False
        tree.seen[place.position] = 1
        sealed_at = tree.sealed_when(place.position)
        if not same:
            self._changed.setdefault(place.leaf_group, {}).setdefault(place.position, []).append(thing)
            return
        if self._newest is None or thing.at > self._newest:
            self._newest = thing.at
        if self._swept is not None and sealed_at > self._swept and thing.at < sealed_at - self._window:
            self.report.late.append(about)

    async def _name_changed(self) -> None:
        """Name what differs in the leaves of a page that do: the lists of their heads have the parts."""
        for group, changed in self._changed.items():
            tree = self._trees[group]
            for number, head_end in enumerate(tree.ends):
                begin = tree.ends[number - 1] if number else 0
                wanted = [position for position in changed if begin <= position < head_end]
                if not wanted:
                    continue
                leaves = [
                    leaf
                    for head in await self._rows.heads_between(group, number, number + 1)
                    for leaf in _leaves_of(head)
                ]
                at = f"at {tree.sealed_at[number]:%Y-%m-%d %H:%M:%S} UTC"
                for position in wanted:
                    leaf = leaves[position - begin] if position - begin < len(leaves) else None
                    for thing in changed[position]:
                        self._name_one(leaf, thing, at)
        self._changed = {}

    def _name_one(self, leaf: LeafName | None, thing: Thing, at: str) -> None:
        assert thing.place is not None, "it was compared with its leaf"
        about = _name(thing.kind, thing.merchant_id, thing.leaf_key)
        try:
            found = list(differences_of(leaf, thing, thing.place.salt)) if leaf is not None else []
        except (DecodeError, KeyError):
            found = []
        details = {
            "changed": f"it is not what was sealed {at}",
            "removed": f"it was sealed with {about} {at}, and is no part of it now",
            "inserted": f"it was not there when {about} was sealed {at}",
        }
        for what, kind, key in found or [("changed", thing.kind, thing.leaf_key)]:
            self.report.add(what, _name(kind, thing.merchant_id, key), details[what])

    def _note_unsealed(self, thing: Thing, about: str) -> None:
        self.report.unsealed += 1
        self._waiting.append((thing.at, about))
        if self.report.unsealed_since is None or thing.at < self.report.unsealed_since:
            self.report.unsealed_since = thing.at

    def _name_passed_by(self) -> None:
        """Name what is older than the last look at everything, or than the newest thing of its kind that is sealed: a
        sealer that catches up takes the oldest first, so what waits for it is younger."""
        until = self.report.sealed_until
        if self._swept is None or until is None or self._newest is None:
            return
        passed = min(until, self._newest) - self._window
        for at, about in self._waiting:
            if at < passed:
                self.report.unsealed -= 1
                self.report.add("not_sealed", about, "it is older than what is sealed, and is in no tree")

    async def _name_missing(self) -> None:
        for group, tree in self._trees.items():
            if 0 not in tree.seen:
                continue
            position = 0
            async for head in self._rows.heads(group):
                for leaf in _leaves_of(head):
                    if position < tree.size and not tree.seen[position]:
                        for named in leaf.names():
                            detail = f"it is sealed in {_head_name(group, head.sequence)}"
                            self.report.add("removed", _name(*named), detail)
                    position += 1

    async def _compare_outside(self, anchors: Sequence[Anchor]) -> None:
        """Outside heads are believed where the public key signed them: the record has to have each of them."""
        last = None
        outside: dict[int, int] = {}
        for anchor in anchors:
            said = anchor.checkpoint
            if not anchor.signed_by(self._keys):
                self.report.add("outside_head", anchor.name, "it is not signed by the public key")
                continue
            if last is not None and said.record != last.checkpoint.record:
                self.report.add("outside_head", anchor.name, "it is of another record")
            for outer in anchor.heads:
                if outer.text.sequence != outside.get(outer.text.group, 0) + 1:
                    about = _head_name(outer.text.group, outer.text.sequence)
                    self.report.add("outside_head", about, f"{anchor.name}: heads before it are missing outside")
                outside[outer.text.group] = outer.text.sequence
                await self._compare_head(anchor, outer.text.group, outer.text.sequence, outer.document, outer.leaves)
            if self._checkpoints.get(said.number) != digest(anchor.document):
                self.report.add(
                    "rolled_back",
                    f"checkpoint {said.number}",
                    f"{anchor.name} has it, and the record another one or none",
                )
            last = anchor
        if last is not None:
            self.report.outside = f"checkpoint {last.checkpoint.number}"
            self.report.promised_until = last.checkpoint.sealed_at

    async def _compare_head(self, anchor: Anchor, group: int, sequence: int, document: str, leaves: bytes) -> None:
        tree = self._trees.get(group)
        if tree is not None and tree.heads.get(sequence) == digest(document):
            return
        detail = f"{anchor.name} has it, and the record another one or none"
        self.report.add("rolled_back", _head_name(group, sequence), detail)
        here = set()
        if tree is not None:
            here = {tree.hash_at(position) for position in range(tree.size)}
        for leaf in unpack_leaves(leaves):
            if bytes.fromhex(leaf.hash) not in here:
                for named in leaf.names():
                    self.report.add("removed", _name(*named), f"{anchor.name} has it as sealed, and no tree here does")


def _leaves_of(head: Head) -> Sequence[LeafName]:
    try:
        return unpack_leaves(head.leaves)
    except BadDocument:
        return ()


def _name(kind: str, merchant_id: str, key: str) -> str:
    return " ".join(filter(None, (kind, merchant_id, key)))


def _head_name(group: int, sequence: int) -> str:
    return f"head {sequence} of {group_name(group)}"


async def verify_audit(
    connection: asyncpg.Connection,
    keys: Mapping[str, Ed25519PublicKey],
    clock: Clock,
    window: timedelta,
    anchors: Sequence[Anchor] = (),
    progress: Callable[[int, int], None] = lambda *_: None,
) -> AuditReport:
    """One comparison in one snapshot. Raises what the database raises."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        rows = AuditRows(connection)
        await rows.in_utc()
        return await Verifier(rows, keys, clock, window, progress).run(anchors)
