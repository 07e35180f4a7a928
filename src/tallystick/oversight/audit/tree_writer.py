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
from tallystick.oversight.audit.declarations import RestoreText, keys_before, next_number, restores_of
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
        self._restores: list[RestoreText] = []

    async def believe(self, rows: AuditRows) -> None:
        """Take up the keys before this one, and what was declared of restores. Raises what the database raises, and
        BadDocument for a change of the key that is not signed by both."""
        self.keys = keys_before(self._key.public, await rows.rotations())
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
        now = self._clock.now()
        heads = [await self._add(rows, record, group, by_group[group], now) for group in sorted(by_group)]
        await self.add_checkpoint(rows, record, heads, now)

    async def _add(
        self, rows: AuditRows, record: Record, group: int, things: Sequence[Thing], now: datetime
    ) -> GroupHead:
        last = await rows.tree_end(group)
        peaks, previous, sequence = self._after(last)
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

    def _after(self, last: TreeEnd | None) -> tuple[Peaks, str, int]:
        """The tree that ends in this head, what the next head calls it, and its sequence. Raises BrokenHead."""
        if last is None:
            return Peaks(), NO_HEAD, 0
        said = read_head(last.document)
        peaks = Peaks.from_bytes(last.size, last.peaks)
        whole = (said.size, said.sequence, said.group) == (last.size, last.sequence, last.leaf_group)
        if not (whole and said.root == peaks.root() and self._signed(said.key, last.document, last.signature)):
            raise BrokenHead(f"head {last.sequence} of group {last.leaf_group} is not what was signed")
        return peaks, digest(last.document), last.sequence

    def require_known(self, last: Checkpoint) -> CheckpointText:
        """What the newest checkpoint says. Raises BrokenHead where no key signed it that is known here."""
        said = read_checkpoint(last.document)
        if not self._signed(said.key, last.document, last.signature):
            raise BrokenHead(
                f"checkpoint {last.number} is not what was signed, or another key signs now ({said.key}):"
                " `tallystick audit verify` tells"
            )
        return said

    def _signed(self, key: str, text: str, signature: bytes) -> bool:
        return signed_by(self.keys, key, text, signature)

    async def add_checkpoint(
        self, rows: AuditRows, record: Record, heads: Sequence[GroupHead], now: datetime
    ) -> CheckpointText:
        """The next checkpoint, with these heads in it. Raises LostSeal, BrokenHead."""
        last = await rows.last_checkpoint()
        groups: dict[int, GroupHead] = {}
        if last is not None:
            groups = {each.group: each for each in self.require_known(last).groups}
        groups |= {each.group: each for each in heads}
        text = CheckpointText(
            record=record.record_id,
            number=1 if last is None else next_number(last.number, self._restores),
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
