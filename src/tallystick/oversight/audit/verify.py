"""Compares the record with its trees, and the trees with heads that are kept elsewhere.

Without outside heads this says that the record is consistent in itself: who holds the database and the key can write
another record that is so too. With heads that left the machine, and the public key, it says that what they name was not
rewritten. Each difference is named by the thing that it is about. What is younger than the last outside head is not
promised.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime, timedelta
from heapq import nsmallest
from typing import Final

import asyncpg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from msgspec import DecodeError

from tallystick.kit.clock import Clock
from tallystick.oversight.audit.anchors import Anchor
from tallystick.oversight.audit.definitions import compare_definitions
from tallystick.oversight.audit.differences import differences_of
from tallystick.oversight.audit.folds import compare_folds
from tallystick.oversight.audit.heads import LeafName
from tallystick.oversight.audit.leaves import hash_of
from tallystick.oversight.audit.outside import Outside
from tallystick.oversight.audit.report import KEPT, AuditReport, thing_name
from tallystick.oversight.audit.sealed_tables import COLUMNS, NOT_SEALED
from tallystick.oversight.audit.trees import SEEN, SEEN_WHOLE, Trees, head_name, leaves_of
from tallystick.record.postgres.audit_rows import KINDS, AuditRows
from tallystick.record.postgres.audit_things import ATTACHED, PART_COLUMNS, Place, Thing

#: Things in one read.
PAGE: Final = 1_000

#: Things that are compared without a pause: a few milliseconds.
COMPARED_AT_ONCE: Final = 50

#: Tables whose names have to lead to what the migrations made.
TABLES_READ: Final = sorted({*COLUMNS, *NOT_SEALED})


class Verifier:
    """One comparison, over one connection in a transaction of one snapshot."""

    def __init__(
        self,
        connection: asyncpg.Connection,
        keys: Mapping[str, Ed25519PublicKey],
        clock: Clock,
        window: timedelta,
        progress: Callable[[int, int], None] = lambda *_: None,
        since: datetime | None = None,
        clock_margin: timedelta = timedelta(),
    ) -> None:
        self._connection = connection
        self._rows = AuditRows(connection)
        self._clock = clock
        self._window = window
        self._progress = progress
        self._since = since
        self._clock_margin = clock_margin
        self._begin: datetime | None = None  # what is older is looked at only where something is missing
        self._latest_before: datetime | None = None  # of what was sealed before what is looked at
        self._swept: datetime | None = None
        self._swept_last: datetime | None = None
        self._newest: datetime | None = None
        self._waiting: list[tuple[datetime, str]] = []
        self._changed: dict[int, dict[int, list[Thing]]] = {}
        self._reading: asyncio.Task[tuple[list[Thing], tuple[str, ...] | None]] | None = None
        self.report = AuditReport()
        self._trees = Trees(self._rows, keys, self.report)

    async def run(self, anchors: Sequence[Anchor] = ()) -> AuditReport:
        """Compare everything, or what was sealed since. Raises what the database raises."""
        await self._rows.in_utc()
        self._swept, self._swept_last = await self._rows.first_sweep(), await self._rows.last_sweep()
        self._trees.declare(await self._rows.record(), await self._rows.rotations(), await self._rows.restores())
        await self._trees.read(self._since)
        begun, began_when = self._trees.began_at, self._trees.began_when
        self.report.since = None if begun is None else f"checkpoint {begun.number}"
        if self._since is not None and began_when is not None:
            self._begin = self._since - self._window
            self._latest_before = began_when + self._clock_margin
        await self._compare_kind("change")
        # Where as many rows belong to changes as there are, none is a thing of its own, and none belongs to nothing.
        apart = dict.fromkeys(PART_COLUMNS, 0) if begun is not None else await self._rows.apart_from_changes()
        for kind in KINDS:
            if kind != "change" and (kind not in ATTACHED or kind in apart):
                await self._compare_kind(kind)
        if begun is not None:
            await self._look_for_older()
        await self._name_missing()
        if begun is None:
            await self._name_uncompared(apart)
        await compare_folds(self._connection, {each.act for each in self._trees.restores}, self.report)
        if anchors:
            Outside(self._trees, self.report).compare(anchors)
        self.report.leaves = self._trees.size
        return self.report

    async def _compare_kind(self, kind: str) -> None:
        self._newest, self._waiting = self._swept_last, []
        async with aclosing(self._read_ahead(kind)) as pages:
            async for things in pages:
                for number, thing in enumerate(things):
                    self._compare(thing)
                    if number % COMPARED_AT_ONCE == 0:
                        await asyncio.sleep(0)  # the next page comes in meanwhile
                self.report.examined += len(things)
                if self._changed:
                    await self._name_changed()
                self._waiting = nsmallest(KEPT, self._waiting)
                self._progress(self.report.examined, max(self.report.examined, self._trees.size))
        self._name_passed_by()

    async def _read_ahead(self, kind: str) -> AsyncGenerator[list[Thing], None]:
        """Pages of a kind; the next one is read while one is compared. The connection is the snapshot's only one: who
        else asks it something waits for ``_reading``."""

        def read(after: tuple[str, ...] | None) -> asyncio.Task[tuple[list[Thing], tuple[str, ...] | None]]:
            return asyncio.create_task(self._rows.page(kind, after, PAGE, self._begin))

        self._reading = read(None)
        try:
            while self._reading is not None:
                things, after = await self._reading
                self._reading = None if after is None else read(after)
                yield things
        finally:
            reading, self._reading = self._reading, None
            if reading is not None:
                reading.cancel()
                await asyncio.wait([reading])

    async def _name_uncompared(self, apart: Mapping[str, int]) -> None:
        """Name rows that were not compared: those that belong to no change (``apart``: how many, by table), and those
        that the order of keys passes over. Where nothing names one, their table is said, and how many they are."""
        belonging = {table: number for table, number in apart.items() if table not in ATTACHED}
        strays = await self._rows.strays(KEPT) if belonging else []
        for merchant_id, table, name, stream in strays:
            self.report.add("stray", f"{table} {merchant_id} {name}", f"it belongs to no change of {stream}")
        for table, number in belonging.items():
            if number and table not in {each[1] for each in strays}:
                self.report.add("stray", table, f"{number:,} of its rows belong to no change")
        for table, compared, there in await self._rows.passed_over():
            detail = f"it has {there:,} rows, and {compared:,} were found in the order of their keys"
            self.report.add("stray", table, detail)

    async def _look_for_older(self) -> None:
        """What was sealed since, and is older by more than the window: of the kinds that miss something, everything."""
        assert self._begin is not None, "what is older was not looked at"
        missing = {leaf.kind async for _, leaf in self._missing()}
        for kind in KINDS:
            if kind in missing:
                async for things in self._rows.every(kind, PAGE):
                    for thing in things:
                        if thing.place is not None and thing.at < self._begin and not self._was_seen(thing.place):
                            self._compare(thing)
                    await self._name_changed()

    def _was_seen(self, place: Place) -> bool:
        tree = self._trees.by_group.get(place.leaf_group)
        if tree is None or not tree.base <= place.position < tree.size:
            return False
        return tree.seen[place.position - tree.base] > 0

    def _compare(self, thing: Thing) -> None:
        place = thing.place
        if place is None:
            self._note_unsealed(thing, _about(thing))
            return
        tree = self._trees.by_group.get(place.leaf_group)
        if tree is None or not 0 <= place.position < tree.size:
            self.report.add("inserted", _about(thing), "the record says that it is sealed, and no head has it")
            return
        if place.position < tree.base:  # sealed before what is looked at
            if self._latest_before is not None and thing.at > self._latest_before:
                detail = f"the record says that it was sealed before {self.report.since}, which is older"
                self.report.add("inserted", _about(thing), detail)
            return
        try:
            same = hash_of(thing, place.salt) == tree.hash_at(place.position)
        except (DecodeError, KeyError):
            same = False
        at = place.position - tree.base
        if not same:
            tree.seen[at] = tree.seen[at] or SEEN
            self._changed.setdefault(place.leaf_group, {}).setdefault(place.position, []).append(thing)
            return
        if tree.seen[at] == SEEN_WHOLE:
            self.report.add("inserted", _about(thing), "it is there twice, and was sealed once")
        tree.seen[at] = SEEN_WHOLE
        if self._newest is None or thing.at > self._newest:
            self._newest = thing.at
        if self._swept is not None:
            sealed_at = tree.sealed_when(place.position)
            if sealed_at > self._swept and thing.at < sealed_at - self._window:
                self.report.late.append(_about(thing))

    async def _name_changed(self) -> None:
        """Name what differs in the leaves of a page that do: the lists of their heads have the parts."""
        if self._reading is not None:
            await asyncio.wait([self._reading])
        for group, changed in self._changed.items():
            tree = self._trees.by_group[group]
            for number, head_end in enumerate(tree.ends):
                begin = tree.ends[number - 1] if number else tree.base
                sequence = tree.first + number
                wanted = [position for position in changed if begin <= position < head_end]
                if not wanted:
                    continue
                leaves = [
                    leaf
                    for head in await self._rows.heads_between(group, sequence - 1, sequence)
                    for leaf in leaves_of(head)
                ]
                at = f"at {tree.sealed_at[number]:%Y-%m-%d %H:%M:%S} UTC"
                for position in wanted:
                    leaf = leaves[position - begin] if position - begin < len(leaves) else None
                    for thing in changed[position]:
                        self._name_one(leaf, thing, at)
        self._changed = {}

    def _name_one(self, leaf: LeafName | None, thing: Thing, at: str) -> None:
        assert thing.place is not None, "it was compared with its leaf"
        about = _about(thing)
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
            self.report.add(what, thing_name(kind, thing.merchant_id, key), details[what])

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

    async def _missing(self) -> AsyncIterator[tuple[str, LeafName]]:
        """(head, leaf) of everything that is sealed and was not found."""
        for group, tree in self._trees.by_group.items():
            if 0 not in tree.seen:
                continue
            position = 0
            async for head in self._rows.heads(group, tree.first - 1):
                for leaf in leaves_of(head):
                    if position < len(tree.seen) and not tree.seen[position]:
                        yield head_name(group, head.sequence), leaf
                    position += 1

    async def _name_missing(self) -> None:
        async for head, leaf in self._missing():
            for named in leaf.names():
                self.report.add("removed", thing_name(*named), f"it is sealed in {head}")


def _about(thing: Thing) -> str:
    return thing_name(thing.kind, thing.merchant_id, thing.leaf_key)


async def verify_audit(
    connection: asyncpg.Connection,
    keys: Mapping[str, Ed25519PublicKey],
    clock: Clock,
    window: timedelta,
    anchors: Sequence[Anchor] = (),
    progress: Callable[[int, int], None] = lambda *_: None,
    since: datetime | None = None,
    clock_margin: timedelta = timedelta(),
) -> AuditReport:
    """One comparison in one snapshot; what views and tables are is asked before it. ``since``: only what was sealed
    after the last checkpoint before then. ``clock_margin``: how far clocks may differ. Raises what the database
    raises."""
    definitions = AuditReport()
    await compare_definitions(connection, TABLES_READ, definitions)
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        verifier = Verifier(connection, keys, clock, window, progress, since, clock_margin)
        for each in definitions.findings:
            verifier.report.add(each.what, each.about, each.detail)
        return await verifier.run(anchors)
