"""Makes trees longer: the leaves of what is to be sealed, the signed heads, and the checkpoint over them, in the
transaction of whoever asks."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tallystick.kit.clock import Clock
from tallystick.kit.ids import new_id
from tallystick.oversight.audit.declarations import RestoreText, ended_keys, keys_before, next_number, restores_of
from tallystick.oversight.audit.heads import (
    NO_HEAD,
    CheckpointText,
    GroupHead,
    HeadText,
    LeafName,
    SigningKey,
    digest,
    group_of,
    moment,
    pack_leaves,
    read_checkpoint,
    read_head,
    signed_by,
)
from tallystick.oversight.audit.leaves import new_salt, sealed_leaf
from tallystick.oversight.audit.merkle import Peaks
from tallystick.record.postgres.audit_heads import Checkpoint, Head, Record, TreeEnd
from tallystick.record.postgres.audit_rows import AuditRows, Thing

#: Leaves that are hashed without a pause: a few milliseconds.
HASHED_AT_ONCE: Final = 50


class LostSeal(Exception):
    """Another process sealed meanwhile; nothing was written."""


class BrokenHead(Exception):
    """The newest head is not what a key signed that this one follows: nothing is added to such a tree."""


class TreeWriter:
    """Signs with one key."""

    def __init__(self, clock: Clock, merchant_groups: int, key: SigningKey) -> None:
        self._clock = clock
        self._merchant_groups = merchant_groups
        self._key = key
        self.keys: Mapping[str, Ed25519PublicKey] = {key.key_id: key.public}
        self._ended: Mapping[str, int] = {}
        self._restores: list[RestoreText] = []

    async def believe(self, rows: AuditRows) -> None:
        """Take up the keys before this one, and what was declared of restores. Raises what the database raises, and
        BadDocument for a change of the key that is not signed by both."""
        rotations = await rows.rotations()
        self.keys, self._ended = keys_before(self._key.public, rotations), ended_keys(rotations)
        self._restores, _ = restores_of(await rows.restores(), self.keys)

    async def _record(self, rows: AuditRows) -> Record:
        record = await rows.record()
        if record is None:
            record = await rows.begin_record(new_id("rec"), self._merchant_groups, self._clock.now())
        return record

    async def seal(self, rows: AuditRows, things: Sequence[Thing]) -> None:
        """Make the trees longer by these things, in this order. Raises LostSeal, BrokenHead and what the database
        raises; in all of these cases the transaction has to be rolled back."""
        if not things:
            return
        await self.believe(rows)
        record = await self._record(rows)
        by_group: dict[int, list[Thing]] = {}
        for thing in things:
            group = group_of(thing.kind, thing.merchant_id, record.merchant_groups)
            by_group.setdefault(group, []).append(thing)
        now, last = self._clock.now(), await rows.last_checkpoint()
        said = None if last is None else self.require_known(last)
        named = {} if said is None else {each.group: each for each in said.groups}
        try:
            heads = [
                await self._add(rows, record, group, by_group[group], now, named.get(group))
                for group in sorted(by_group)
            ]
        except BrokenHead:
            if await rows.last_checkpoint() != last:
                raise LostSeal from None  # another process sealed after the newest checkpoint was read
            raise
        await self._follow(rows, record, last, heads, now)

    async def _add(
        self,
        rows: AuditRows,
        record: Record,
        group: int,
        things: Sequence[Thing],
        now: datetime,
        named: GroupHead | None,
    ) -> GroupHead:
        """The next head of a group, after the one that the newest checkpoint names. Raises LostSeal, BrokenHead."""
        peaks, previous, sequence = self._after(group, await rows.tree_end(group), named)
        first = peaks.size
        salts = [new_salt() for _ in things]
        names = []
        for number, (thing, salt) in enumerate(zip(things, salts, strict=True)):
            if number % HASHED_AT_ONCE == HASHED_AT_ONCE - 1:
                await asyncio.sleep(0)  # the next page comes in meanwhile, and other work of this process goes on
            hashed, parts = sealed_leaf(thing, salt)
            peaks.append(hashed)
            names.append(LeafName(thing.kind, thing.merchant_id, thing.leaf_key, hashed.hex(), parts))
        packed = pack_leaves(names)
        text = HeadText(
            record=record.record_id,
            group=group,
            sequence=sequence + 1,
            size=peaks.size,
            root=peaks.root(),
            previous=previous,
            leaves=digest(packed),
            sealed_at=moment(now),
            key=self._key.key_id,
        ).text()
        head = Head(
            leaf_group=group,
            sequence=sequence + 1,
            size=peaks.size,
            peaks=peaks.to_bytes(),
            leaves=packed,
            document=text,
            signature=self._key.sign(text),
            sealed_at=now,
        )
        if not await rows.add_head(head):
            raise LostSeal
        await rows.add_leaves(group, things, range(first, peaks.size), salts)
        return GroupHead(group=group, sequence=head.sequence, size=head.size, head=digest(text))

    def _after(self, group: int, last: TreeEnd | None, named: GroupHead | None) -> tuple[Peaks, str, int]:
        """The tree that ends in this head, what the next head calls it, and its sequence. The newest checkpoint has to
        name it: one after it was removed otherwise, and another one in its place would be a fork. Raises BrokenHead."""
        if last is None and named is None:
            return Peaks(), NO_HEAD, 0
        if last is None or named is None or (last.sequence, digest(last.document)) != (named.sequence, named.head):
            raise BrokenHead(f"the newest head of group {group} is not the one that the newest checkpoint names")
        said = read_head(last.document)
        peaks = Peaks.from_bytes(last.size, last.peaks)
        whole = (said.size, said.sequence, said.group) == (last.size, last.sequence, last.leaf_group)
        if not (whole and said.root == peaks.root() and self._signed(said.key, last.document, last.signature)):
            raise BrokenHead(f"head {last.sequence} of group {last.leaf_group} is not what was signed")
        return peaks, digest(last.document), last.sequence

    def require_known(self, last: Checkpoint) -> CheckpointText:
        """What the newest checkpoint says. Raises BrokenHead where no key signed it that is known here, or one that had
        ended."""
        said = read_checkpoint(last.document)
        if not self._signed(said.key, last.document, last.signature):
            raise BrokenHead(
                f"checkpoint {last.number} is not what was signed, or another key signs now ({said.key}):"
                " `tallystick audit verify` tells"
            )
        if said.number != last.number or self._ended.get(said.key, said.number + 1) <= said.number:
            raise BrokenHead(f"checkpoint {last.number} is not what was signed, or its key had ended ({said.key})")
        return said

    def _signed(self, key: str, text: str, signature: bytes) -> bool:
        return signed_by(self.keys, key, text, signature)

    async def add_checkpoint(
        self, rows: AuditRows, record: Record, heads: Sequence[GroupHead], now: datetime
    ) -> CheckpointText:
        """The next checkpoint, with these heads in it. Raises LostSeal, BrokenHead."""
        return await self._follow(rows, record, await rows.last_checkpoint(), heads, now)

    async def _follow(
        self, rows: AuditRows, record: Record, last: Checkpoint | None, heads: Sequence[GroupHead], now: datetime
    ) -> CheckpointText:
        groups: dict[int, GroupHead] = {}
        if last is not None:
            said = self.require_known(last)
            if said.record != record.record_id:
                raise BrokenHead(f"checkpoint {last.number} is of another record than `audit_record` has")
            groups = {each.group: each for each in said.groups}
        restores = [each for each in self._restores if each.record == record.record_id]
        groups |= {each.group: each for each in heads}
        text = CheckpointText(
            record=record.record_id,
            number=1 if last is None else next_number(last.number, restores),
            previous=NO_HEAD if last is None else digest(last.document),
            groups=tuple(groups[group] for group in sorted(groups)),
            sealed_at=moment(now),
            key=self._key.key_id,
        )
        signed = Checkpoint(
            number=text.number, document=text.text(), signature=self._key.sign(text.text()), sealed_at=now
        )
        if not await rows.add_checkpoint(signed):
            raise LostSeal
        return text
