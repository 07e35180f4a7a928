"""The trees of the record as its heads and checkpoints have them: read, checked against their signatures, and against
each other. Rows are compared with the leaves afterwards."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Final, Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tallystick.oversight.audit.declarations import (
    RestoreText,
    ended_keys,
    keys_after,
    next_number,
    read_rotation,
    restores_of,
)
from tallystick.oversight.audit.heads import (
    NO_HEAD,
    BadDocument,
    CheckpointText,
    GroupHead,
    HeadText,
    LeafName,
    digest,
    group_name,
    group_of,
    moment,
    moment_said,
    read_checkpoint,
    read_head,
    signed_by,
    unpack_leaves,
)
from tallystick.oversight.audit.merkle import HASH_BYTES, Peaks
from tallystick.oversight.audit.report import AuditReport, thing_name
from tallystick.record.postgres.audit_declarations import Restore, Rotation
from tallystick.record.postgres.audit_heads import Checkpoint, Head, Record
from tallystick.record.postgres.audit_rows import AuditRows

#: What ``Tree.seen`` has of a leaf.
SEEN: Final = 1
SEEN_WHOLE: Final = 2

_NOT_FOLLOWING: Final = "it does not follow the {} before it"
_NOT_ITS_COLUMNS: Final = "its columns are not what was signed"
_ENDED: Final = "it is signed by a key that had ended ({})"
_OTHER_RECORD: Final = "it is of another record than `audit_record` has"


class Tree:
    """The leaves of one group as its heads list them, from ``base`` on: those before are not looked at. ``seen``: a
    byte for each, ``SEEN`` where the record has something in its place, ``SEEN_WHOLE`` where it has the thing itself.
    ``ended``: the heads that a key signed which ended at some time, with the key."""

    def __init__(self) -> None:
        self.base = 0
        self.hashes = bytearray()
        self.seen = bytearray()
        self.ends: list[int] = []
        self.sealed_at: list[datetime] = []
        self.heads: dict[int, str] = {}
        self.ended: dict[int, str] = {}
        self.sequence = 0
        self.first = 1  # the sequence of the first head that is looked at
        self.previous = NO_HEAD
        self.peaks = Peaks()

    @property
    def size(self) -> int:
        """How many leaves there are, those before ``base`` too."""
        return self.base + len(self.seen)

    def hash_at(self, position: int) -> bytes:
        """Of one leaf."""
        begin = (position - self.base) * HASH_BYTES
        return bytes(self.hashes[begin : begin + HASH_BYTES])

    def sealed_when(self, position: int) -> datetime:
        """When the head with this leaf was made."""
        return self.sealed_at[bisect_right(self.ends, position)]

    def begin_after(self, head: Head, said: HeadText) -> None:
        """Look at what comes after this head only. Raises BadDocument where it is not what was signed."""
        self.peaks = Peaks.from_bytes(head.size, head.peaks)
        if self.peaks.root() != said.root:
            raise BadDocument("its root is not what was signed")
        self.base, self.sequence, self.first = head.size, head.sequence, head.sequence + 1
        self.previous = self.heads[head.sequence] = digest(head.document)


class Trees:
    """Reads all heads and checkpoints of a record, and tells the report what is wrong with them."""

    def __init__(self, rows: AuditRows, keys: Mapping[str, Ed25519PublicKey], report: AuditReport) -> None:
        self._rows = rows
        self._record: Record | None = None
        self.keys = dict(keys)
        self._ended: dict[str, int] = {}
        self._report = report
        self.restores: list[RestoreText] = []
        self.by_group: dict[int, Tree] = {}
        self.checkpoints: dict[int, str] = {}
        self.began_at: CheckpointText | None = None
        self.began_when: datetime | None = None

    @property
    def size(self) -> int:
        """How many leaves are looked at."""
        return sum(len(tree.seen) for tree in self.by_group.values())

    def declare(self, record: Record | None, rotations: Sequence[Rotation], restores: Sequence[Restore]) -> None:
        """Believe what was declared of this record, and signed."""
        self._record = record
        try:
            own = [each for each in rotations if self._is_own(read_rotation(each.document).record)]
            for rotation in rotations:
                if rotation not in own:
                    self._report.add("stray", f"key_rotation {rotation.number}", _OTHER_RECORD)
            self.keys = keys_after(self.keys, own)
            self._ended = ended_keys(own)
        except BadDocument as error:
            self._report.add("stray", "key_rotation", str(error))
        good, bad = restores_of(restores, self.keys)
        for number in bad:
            self._report.add("stray", f"restore {number}", "no key that is known here signed the declared restore")
        for each in good:
            if not self._is_own(each.record):
                self._report.add("stray", f"restore of the act {each.act}", _OTHER_RECORD)
            elif self._had_ended(each.key, each.last):  # it gives up nothing that came after it
                self._report.add("stray", f"restore of the act {each.act}", _ENDED.format(each.key))
            else:
                self.restores.append(each)

    def _is_own(self, record_id: str) -> bool:
        return self._record is None or self._record.record_id == record_id

    def _had_ended(self, key: str, number: int) -> bool:
        """Whether a key may not sign that checkpoint, and what it names first, any more."""
        return key in self._ended and self._ended[key] <= number

    async def read(self, since: datetime | None) -> None:
        """Read everything, or what was sealed after the last checkpoint before that time."""
        before = None if since is None else await self._rows.checkpoint_before(since)
        with suppress(BadDocument):  # then everything is compared, and the checkpoint is named
            if before is not None:
                said = read_checkpoint(before.document)
                self.began_when, self.began_at = moment_said(said.sealed_at), said
        begun = {} if self.began_at is None else {each.group: each for each in self.began_at.groups}
        groups = await self._rows.groups()
        if groups and self._record is None:
            self._report.add("removed", "audit_record", "there are heads, and they name it")
        if self._record is not None and self._record.merchant_groups < 1:
            self._report.add("changed", "audit_record", "it has no groups for merchants")
        for group in groups:
            await self._read_group(group, begun.get(group))
        await self._read_checkpoints()

    async def _read_group(self, group: int, begun: GroupHead | None) -> None:
        tree = self.by_group[group] = Tree()
        if begun is not None:
            await self._begin(tree, begun)
        async for head in self._rows.heads(group, tree.sequence):
            try:
                self._read_head(tree, head)
            except BadDocument as error:
                self._report.add("head", head_name(group, head.sequence), str(error))
            self._report.heads += 1

    async def _begin(self, tree: Tree, begun: GroupHead) -> None:
        about = head_name(begun.group, begun.sequence)
        found = await self._rows.heads_between(begun.group, begun.sequence - 1, begun.sequence)
        if not found or digest(found[0].document) != begun.head:
            self._report.add("head", about, "a checkpoint names it, and the record has another one or none")
            return
        try:
            tree.begin_after(found[0], read_head(found[0].document))
        except BadDocument as error:
            self._report.add("head", about, str(error))

    def _read_head(self, tree: Tree, head: Head) -> None:
        """Raises BadDocument."""
        about = head_name(head.leaf_group, head.sequence)
        said = read_head(head.document)
        sealed_at = moment_said(said.sealed_at)
        columns = head.leaf_group, head.sequence, head.size, moment(head.sealed_at)
        if (said.group, said.sequence, said.size, said.sealed_at) != columns:
            self._report.add("head", about, _NOT_ITS_COLUMNS)
        if not self._is_own(said.record):
            self._report.add("head", about, _OTHER_RECORD)
        self._require_signed("head", about, said.key, head.document, head.signature)
        if said.previous != tree.previous or said.sequence != tree.sequence + 1:
            self._report.add("head", about, _NOT_FOLLOWING.format("head"))
        if digest(head.leaves) != said.leaves:
            self._report.add("head", about, "its list of leaves is not the one that was signed")
        leaves = unpack_leaves(head.leaves)
        self._require_group(about, head.leaf_group, leaves)
        hashes = [bytes.fromhex(leaf.hash) for leaf in leaves]
        for hashed in hashes:
            tree.peaks.append(hashed)
        tree.hashes += b"".join(hashes)
        tree.seen += bytes(len(hashes))
        if tree.peaks.root() != said.root or tree.peaks.size != said.size:
            self._report.add("head", about, "its root is not that of its leaves")
        tree.ends.append(tree.peaks.size)
        tree.sealed_at.append(sealed_at)
        if said.key in self._ended:
            tree.ended[head.sequence] = said.key
        tree.previous = tree.heads[head.sequence] = digest(head.document)
        tree.sequence = head.sequence

    def _require_group(self, about: str, group: int, leaves: Sequence[LeafName]) -> None:
        groups = 0 if self._record is None else self._record.merchant_groups
        for kind, merchant_id in sorted({(leaf.kind, leaf.merchant_id) for leaf in leaves}) if groups > 0 else ():
            if group_of(kind, merchant_id, groups) != group:
                named = thing_name(kind, merchant_id, "")
                self._report.add("head", about, f"its tree is not that of {named}, which it lists")
                break

    def _require_signed(
        self, what: Literal["head", "checkpoint"], about: str, key: str, document: str, signature: bytes
    ) -> None:
        if not signed_by(self.keys, key, document, signature):
            detail = f"it is not signed by a key that is known here ({key})"
            self._report.add(what, about, detail)

    async def _read_checkpoints(self) -> None:
        previous, number, newest = NO_HEAD, 0, dict[int, GroupHead]()
        async for each in self._rows.checkpoints():
            about = f"checkpoint {each.number}"
            self._report.checkpoints += 1
            try:
                said = read_checkpoint(each.document)
                sealed_until = moment_said(said.sealed_at)
            except BadDocument as error:
                self._report.add("checkpoint", about, str(error))
                continue
            self._require_checkpoint(about, each, said)
            following = number + 1, next_number(number, self.restores)
            if said.previous != previous or said.number not in following or said.number != each.number:
                self._report.add("checkpoint", about, _NOT_FOLLOWING.format("checkpoint"))
            previous, number = digest(each.document), each.number
            self.checkpoints[number] = previous
            named = {each_group.group: each_group for each_group in said.groups}
            for lost in set(newest) - set(named):
                self._report.add("checkpoint", about, f"it lacks the group {group_name(lost)}, which had heads before")
            for each_group in set(named.values()) - set(newest.values()):
                self._compare_named(about, each_group)
                self._require_keys(said.number, newest.get(each_group.group), each_group)
            newest = named
            self._report.sealed_until = sealed_until
        for restore in self.restores:
            if self.checkpoints.get(restore.restored_from) != restore.kept:
                about = f"checkpoint {restore.restored_from}"
                self._report.add("checkpoint", about, "it is not the one that the declared restore went on from")
        for group, tree in self.by_group.items():
            if group not in newest or tree.sequence > newest[group].sequence:
                self._report.add("checkpoint", head_name(group, tree.sequence), "no checkpoint names it")

    def _require_checkpoint(self, about: str, each: Checkpoint, said: CheckpointText) -> None:
        self._require_signed("checkpoint", about, said.key, each.document, each.signature)
        if self._had_ended(said.key, said.number):
            self._report.add("checkpoint", about, _ENDED.format(said.key))
        if said.sealed_at != moment(each.sealed_at):
            self._report.add("checkpoint", about, _NOT_ITS_COLUMNS)
        if not self._is_own(said.record):
            self._report.add("checkpoint", about, _OTHER_RECORD)

    def _require_keys(self, number: int, before: GroupHead | None, named: GroupHead) -> None:
        """Of the heads that a checkpoint is the first to name no key may have ended with it."""
        tree = self.by_group.get(named.group)
        if tree is None or not tree.ended:
            return
        first = 1 if before is None else before.sequence + 1
        for sequence in range(first, min(named.sequence, tree.sequence) + 1):
            key = tree.ended.get(sequence)
            if key is not None and self._had_ended(key, number):
                self._report.add("head", head_name(named.group, sequence), _ENDED.format(key))

    def _compare_named(self, about: str, named: GroupHead) -> None:
        tree = self.by_group.get(named.group)
        if tree is not None and named.sequence < tree.first - 1:
            return  # before what is looked at
        if tree is None or tree.heads.get(named.sequence) != named.head:
            detail = f"{about} names it, and the record has another one or none"
            self._report.add("head", head_name(named.group, named.sequence), detail)


def leaves_of(head: Head) -> Sequence[LeafName]:
    """The list of a head; none where it cannot be read."""
    try:
        return unpack_leaves(head.leaves)
    except BadDocument:
        return ()


def head_name(group: int, sequence: int) -> str:
    """What findings call a head."""
    return f"head {sequence} of {group_name(group)}"
