"""Rows about the trees themselves: heads, checkpoints, looks at everything, what was declared, and how far places
outside are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Final

import asyncpg
from msgspec import Struct

from tallystick.record.postgres import sql
from tallystick.record.postgres.audit_declarations import Restore, Rotation, read_restores, read_rotations
from tallystick.record.postgres.structs import structs_of

STATEMENTS: Final = sql.load("audit.sql")

#: Names in statements are these until the transaction ends, whatever is set for the database or a role.
OWN_NAMES: Final = "SET LOCAL search_path = pg_catalog, public"

#: Heads in one read: each has the list of its leaves.
_HEADS_AT_ONCE: Final = 20


class Head(Struct, frozen=True, kw_only=True):
    """A signed head of a group's tree, as stored. ``leaves``: the compressed list of what it adds."""

    leaf_group: int
    sequence: int
    size: int
    peaks: bytes
    leaves: bytes
    document: str
    signature: bytes
    sealed_at: datetime


class TreeEnd(Struct, frozen=True, kw_only=True):
    """The newest head of a group's tree, as stored, without the list of its leaves."""

    leaf_group: int
    sequence: int
    size: int
    peaks: bytes
    document: str
    signature: bytes


class Checkpoint(Struct, frozen=True, kw_only=True):
    """A signed head of heads, as stored."""

    number: int
    document: str
    signature: bytes
    sealed_at: datetime


class Record(Struct, frozen=True, kw_only=True):
    """The trees of this record."""

    record_id: str
    merchant_groups: int


class HeadRows:
    """Reads and writes over one connection. They raise what asyncpg raises."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def in_utc(self) -> None:
        """Until the transaction ends times in documents are UTC, and names are the system's, and then this schema's. A
        document is the same in every session, whatever somebody set for the database or a role."""
        await self._connection.execute(f"SET LOCAL TimeZone = 'UTC'; {OWN_NAMES}")

    async def record(self) -> Record | None:
        """None until sealing begins."""
        found = structs_of(await self._connection.fetch(STATEMENTS["head_record"]), Record)
        return found[0] if found else None

    async def begin_record(self, record_id: str, merchant_groups: int, at: datetime) -> Record:
        """What was fixed, now or before."""
        await self._connection.execute(STATEMENTS["begin_record"], record_id, merchant_groups, at)
        found = await self.record()
        assert found is not None, "it was written, or was there"
        return found

    async def tree_end(self, group: int) -> TreeEnd | None:
        """The newest head of a group."""
        found = structs_of(await self._connection.fetch(STATEMENTS["tree_end"], group), TreeEnd)
        return found[0] if found else None

    async def heads(self, group: int, after: int = 0) -> AsyncIterator[Head]:
        """A group's heads in their order, those above that sequence."""
        while found := structs_of(
            await self._connection.fetch(STATEMENTS["heads"], group, after, _HEADS_AT_ONCE), Head
        ):
            for head in found:
                yield head
            after = found[-1].sequence

    async def heads_between(self, group: int, after: int, last: int) -> list[Head]:
        """A group's heads above one sequence, up to another."""
        return structs_of(await self._connection.fetch(STATEMENTS["heads"], group, after, last - after), Head)

    async def groups(self) -> list[int]:
        """The groups that have heads."""
        return [row["leaf_group"] for row in await self._connection.fetch(STATEMENTS["head_groups"])]

    async def add_head(self, head: Head) -> bool:
        """False where another process added it."""
        added = await self._connection.fetchval(
            STATEMENTS["add_head"],
            head.leaf_group,
            head.sequence,
            head.size,
            head.peaks,
            head.leaves,
            head.document,
            head.signature,
            head.sealed_at,
        )
        return added is not None

    async def last_checkpoint(self) -> Checkpoint | None:
        """The newest head of heads."""
        found = structs_of(await self._connection.fetch(STATEMENTS["last_checkpoint"]), Checkpoint)
        return found[0] if found else None

    async def checkpoint_after(self, number: int) -> datetime | None:
        """When the first checkpoint above that number was made."""
        found: datetime | None = await self._connection.fetchval(STATEMENTS["checkpoint_after"], number)
        return found

    async def checkpoints(self, after: int = 0) -> AsyncIterator[Checkpoint]:
        """Heads of heads in their order, those above that number."""
        while found := structs_of(await self._connection.fetch(STATEMENTS["checkpoints"], after, 1_000), Checkpoint):
            for each in found:
                yield each
            after = found[-1].number

    async def checkpoint(self, number: int) -> Checkpoint | None:
        """The head of heads of that number."""
        found = structs_of(await self._connection.fetch(STATEMENTS["checkpoints"], number - 1, 1), Checkpoint)
        return found[0] if found and found[0].number == number else None

    async def checkpoint_before(self, at: datetime) -> Checkpoint | None:
        """The newest head of heads that was made before then."""
        found = structs_of(await self._connection.fetch(STATEMENTS["checkpoint_before"], at), Checkpoint)
        return found[0] if found else None

    async def position(self, name: str) -> datetime | None:
        """Up to when a sealer has looked at everything that these kinds had then; None where none noted it."""
        found: datetime | None = await self._connection.fetchval(STATEMENTS["sealing_position"], name)
        return found

    async def note_position(self, name: str, at: datetime) -> None:
        """Everything of these kinds was looked at up to then."""
        await self._connection.execute(STATEMENTS["note_position"], name, at)

    async def anchored(self, target: str) -> tuple[int, str | None]:
        """Up to which checkpoint heads were sent there, and the digest of its document where a release noted it;
        (0, None) where none were."""
        row = await self._connection.fetchrow(STATEMENTS["anchored"], target)
        return (0, None) if row is None else (row["checkpoint"], row["digest"])

    async def note_anchored(self, target: str, number: int, at: datetime, digest: str) -> None:
        """Heads were sent there up to this checkpoint."""
        await self._connection.execute(STATEMENTS["note_anchored"], target, number, at, digest)

    async def add_checkpoint(self, each: Checkpoint) -> bool:
        """False where another process added it."""
        added = await self._connection.fetchval(
            STATEMENTS["add_checkpoint"], each.number, each.document, each.signature, each.sealed_at
        )
        return added is not None

    async def add_sweep(self, sweep_id: str, at: datetime, examined: int, late: int) -> None:
        """What a look at everything found."""
        await self._connection.execute(STATEMENTS["add_sweep"], sweep_id, at, examined, late)

    async def last_sweep(self) -> datetime | None:
        """When everything was looked at last."""
        found: datetime | None = await self._connection.fetchval(STATEMENTS["last_sweep"])
        return found

    async def first_sweep(self) -> datetime | None:
        """When everything was looked at for the first time."""
        found: datetime | None = await self._connection.fetchval(STATEMENTS["first_sweep"])
        return found

    async def restores(self) -> list[Restore]:
        """Declared restores in their order."""
        return await read_restores(self._connection)

    async def rotations(self) -> list[Rotation]:
        """Changes of the signing key in their order."""
        return await read_rotations(self._connection)
