"""What an auditor may ask over HTTP: how far the record is sealed, files of heads, proofs, and a bounded comparison.

Each is one snapshot over one connection of a pool.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, Final, cast

import asyncpg
from msgspec import Struct

from tallystick.kit.clock import Clock
from tallystick.oversight.audit.anchors import Behind, next_anchor
from tallystick.oversight.audit.declarations import own_keys, read_restore
from tallystick.oversight.audit.heads import GroupHead, SigningKey, public_keys, read_checkpoint
from tallystick.oversight.audit.prove import NotProved, consistency_of, inclusion_proofs
from tallystick.oversight.audit.report import AuditReport
from tallystick.oversight.audit.verify import verify_audit
from tallystick.record.postgres.audit_rows import AuditRows
from tallystick.settings.audit import sealing_window_ms
from tallystick.settings.fields import comma_list
from tallystick.settings.load import Settings

__all__ = [
    "Behind",
    "NoKey",
    "NotProved",
    "Sealed",
    "TooMuch",
    "consistency",
    "heads_after",
    "how_far",
    "proofs",
    "recent",
]

#: Leaves that one comparison over HTTP looks at: some seconds. More is for the command line.
MOST_LEAVES: Final = 10_000


class Sealed(Struct, frozen=True, kw_only=True):
    """How far the record is sealed. ``restores`` and ``rotations``: what was declared, as signed."""

    record: str | None
    checkpoint: int
    sealed_at: str | None
    groups: tuple[GroupHead, ...]
    swept_at: datetime | None
    restores: tuple[str, ...]
    rotations: tuple[str, ...]


class NoKey(Exception):
    """The settings have no key to check signatures by."""


class TooMuch(Exception):
    """More was sealed since then than is compared at once. ``leaves``: how much."""

    def __init__(self, leaves: int) -> None:
        super().__init__(leaves)
        self.leaves = leaves


@asynccontextmanager
async def _snapshot(pool: asyncpg.Pool) -> AsyncIterator[AuditRows]:
    async with pool.acquire() as proxy, proxy.transaction(isolation="repeatable_read", readonly=True):
        rows = AuditRows(cast(asyncpg.Connection, proxy))
        await rows.in_utc()
        yield rows


async def how_far(pool: asyncpg.Pool) -> Sealed:
    """Raises what the database raises, as all of these do."""
    async with _snapshot(pool) as rows:
        record, newest, swept = await rows.record(), await rows.last_checkpoint(), await rows.last_sweep()
        said = None if newest is None else read_checkpoint(newest.document)
        return Sealed(
            record=None if record is None else record.record_id,
            checkpoint=0 if said is None else said.number,
            sealed_at=None if said is None else said.sealed_at,
            groups=() if said is None else said.groups,
            swept_at=swept,
            restores=tuple(each.document for each in await rows.restores()),
            rotations=tuple(each.document for each in await rows.rotations()),
        )


async def heads_after(pool: asyncpg.Pool, number: int) -> tuple[int, str] | None:
    """The file that follows a checkpoint, as it is copied: its checkpoint's number, and its text. Raises Behind where
    the record has not that checkpoint."""
    async with _snapshot(pool) as rows:
        restores = [read_restore(each.document) for each in await rows.restores()]
        found = await next_anchor(rows, number, restores)
    return None if found is None else (found[0].number, found[1])


async def proofs(pool: asyncpg.Pool, merchant_id: str, subject_id: str) -> list[dict[str, Any]]:
    """A proof for each change of a subject. Raises NotProved."""
    async with _snapshot(pool) as rows:
        return await inclusion_proofs(rows, merchant_id, subject_id)


async def consistency(pool: asyncpg.Pool, group: int, sequence: int) -> dict[str, Any]:
    """The proof that a group's tree begins with that of an earlier head. Raises NotProved."""
    async with _snapshot(pool) as rows:
        return await consistency_of(rows, group, sequence)


async def recent(pool: asyncpg.Pool, settings: Settings, since: datetime) -> AuditReport:
    """Compare what was sealed since then. Raises NoKey, and TooMuch."""
    clock, window = Clock(settings.clock_shift_ms), timedelta(milliseconds=sealing_window_ms(settings))
    believed = dict(public_keys(comma_list(settings.audit_trust or "")))
    if settings.audit_signing_key is not None:
        own = SigningKey.from_text(settings.audit_signing_key)
        async with _snapshot(pool) as rows:
            believed.update(own_keys(own.public, await rows.rotations()))
    if not believed:
        raise NoKey
    async with _snapshot(pool) as rows:
        leaves = await _leaves_since(rows, since)
    if leaves > MOST_LEAVES:
        raise TooMuch(leaves)
    async with pool.acquire() as proxy:
        connection = cast(asyncpg.Connection, proxy)
        margin = timedelta(milliseconds=settings.clock_margin_ms)
        return await verify_audit(connection, believed, clock, window, since=since, clock_margin=margin)


async def _leaves_since(rows: AuditRows, since: datetime) -> int:
    """How many leaves were sealed after the last checkpoint before then."""
    newest, before = await rows.last_checkpoint(), await rows.checkpoint_before(since)
    sizes = [
        0 if each is None else sum(group.size for group in read_checkpoint(each.document).groups)
        for each in (before, newest)
    ]
    return sizes[1] - sizes[0]
