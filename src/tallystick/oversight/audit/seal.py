"""The sealer: in rounds it takes what is visible and not sealed, makes each tree longer, and signs the new heads.

The order of a tree is the order of sealing, never a clock's. A round is one transaction: leaves, heads and the
checkpoint over them are there together or not at all. Several may run. The primary key of heads decides which of two
rounds makes the next one; the other starts again.

The quick look goes back a few seconds, and now and then the whole window. What commits later than that is found by the
sweep over everything, which also seals what was there before sealing began.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, cast

import asyncpg
from msgspec import Struct

from tallystick.kit.clock import Clock, monotonic_ms
from tallystick.kit.ids import new_id
from tallystick.kit.logs import get_logger
from tallystick.oversight.audit.heads import SigningKey, moment
from tallystick.oversight.audit.pages import PagesAhead
from tallystick.oversight.audit.tree_writer import BrokenHead, LostSeal, TreeWriter
from tallystick.record.postgres.audit_rows import ATTACHED, END, KINDS, AuditRows, Thing
from tallystick.record.postgres.number_reads import Watch
from tallystick.settings.audit import sealing_window_ms
from tallystick.settings.load import Settings

__all__ = ["BrokenHead", "LostSeal", "Sealer"]

log = get_logger("tallystick.oversight.audit.seal")

#: The name of the lease, and how long it lasts: a worker that died is followed by another one after this.
NAME: Final = "sealing"
LEASE_MS: Final = 15_000

#: Things of one kind in one round.
AT_ONCE: Final = 2_000

#: Things of one kind in one step of a sweep.
SWEPT_AT_ONCE: Final = 2_000

#: Beside the time since the last round, a quick look goes back this far: most transactions are shorter.
NEAR_MS: Final = 3_000

#: How often a quick look is also for what may stand in the leaves of changes: it takes a look at each one's change, and
#: hardly any has a leaf of its own.
ATTACHED_EVERY_MS: Final = 5_000

#: How often a quick look goes back the whole window.
WINDOW_EVERY_MS: Final = 30_000

#: How long a round goes on with a sweep.
SWEEP_STEP_MS: Final = 1_000

#: How often a sweep says how far it is.
PROGRESS_EVERY_MS: Final = 10_000


class Sweep(Struct, kw_only=True):
    """A look at everything that is under way. ``first``: it seals what was there before sealing began."""

    sweep_id: str
    first: bool
    pages: PagesAhead
    examined: int = 0
    sealed: int = 0
    late: int = 0
    told_ms: int = 0


class Sealer:
    """Seals one record, as one of any number of processes."""

    def __init__(self, pool: asyncpg.Pool, clock: Clock, settings: Settings, key: SigningKey) -> None:
        self._pool = pool
        self._clock = clock
        self._settings = settings
        self._writer = TreeWriter(clock, settings.audit_merchant_groups, key)
        self._watch = Watch(pool, clock, NAME, new_id("lse"))
        self._window = timedelta(milliseconds=sealing_window_ms(settings))
        self._last_round: datetime | None = None
        self._behind_since: datetime | None = None
        self._whole_window_ms = 0
        self._sweep: Sweep | None = None
        self._attached_ms = 0
        self._attached_since: datetime | None = None

    async def round(self) -> int:
        """Seal what is new: how much was found. Raises what the database raises, and BrokenHead."""
        if not await self._watch.hold(LEASE_MS):
            self._last_round = self._behind_since = None
            await self._give_up_sweep()
            return 0
        now = self._clock.now()
        since = await self._since(now)
        try:
            found, until = await self._look(since)
        except (LostSeal, asyncpg.UniqueViolationError):
            return 1
        if until is not None:
            # The oldest came first: the next round goes on from there, or from where a quick look begins, since what is
            # newer may still commit. What takes longer is found by the looks at the whole window. One after each such
            # round would take so long where payments are many that the next round had too much again.
            self._behind_since = min(until, now - timedelta(milliseconds=NEAR_MS))
            return found
        self._behind_since, self._last_round = None, now
        return await self._go_on_sweeping()

    async def leave(self) -> None:
        """Let another process seal. Raises what the database raises."""
        await self._give_up_sweep()
        await self._watch.leave()

    async def _since(self, now: datetime) -> datetime:
        """How far back this round looks. The first one, and one every half minute, goes back a window before the newest
        checkpoint: what was made while nobody sealed is found too."""
        now_ms = monotonic_ms()
        due = now_ms - self._whole_window_ms >= WINDOW_EVERY_MS
        if self._behind_since is not None and not (due and self._keeps_up(now)):
            return self._behind_since
        if self._last_round is not None and not due:
            return self._last_round - timedelta(milliseconds=NEAR_MS)
        self._whole_window_ms = now_ms
        async with self._pool.acquire() as proxy:
            newest = await AuditRows(cast(asyncpg.Connection, proxy)).last_checkpoint()
        sealed_at = now if newest is None else min(now, newest.sealed_at)
        return min(sealed_at, self._last_round or now) - self._window

    def _keeps_up(self, now: datetime) -> bool:
        """Whether what is not sealed was made just now: of many payments a round may find more than it takes."""
        if self._last_round is None:
            return False
        return self._behind_since is None or self._behind_since >= now - timedelta(milliseconds=2 * NEAR_MS)

    async def _look(self, since: datetime) -> tuple[int, datetime | None]:
        """Seal what is visible since then: how much that was, and up to when where that was not all."""
        kinds, attached_since = self._other_kinds(since)
        async with self._pool.acquire() as proxy, proxy.transaction():
            rows = AuditRows(cast(asyncpg.Connection, proxy))
            await rows.in_utc()
            changes = await rows.unsealed("change", since, AT_ONCE)
            # Whether an answer stands in the leaf of a change is asked of each: of no more than these changes may have.
            until = END if len(changes) < AT_ONCE else changes[-1].at
            rest = [
                await rows.unsealed(kind, attached_since if kind in ATTACHED else since, AT_ONCE, until)
                for kind in kinds
            ]
            found = [thing for things in (changes, *rest) for thing in things]
            await self._writer.seal(rows, found)
        if self._sweep is not None:
            self._sweep.pages.sealed(found)
        full = [things[-1].at for things in (changes, *rest) if len(things) >= AT_ONCE]
        return len(found), min(full, default=None)

    def _other_kinds(self, since: datetime) -> tuple[list[str], datetime]:
        """What is looked for beside changes, and since when what may stand in their leaves is: that is looked for now
        and then only, back to where the looks without it began."""
        begin = since if self._attached_since is None else min(since, self._attached_since)
        if self._keeps_up(self._clock.now()) and monotonic_ms() - self._attached_ms < ATTACHED_EVERY_MS:
            self._attached_since = begin
            return [kind for kind in KINDS if kind != "change" and kind not in ATTACHED], begin
        self._attached_ms, self._attached_since = monotonic_ms(), None
        return [kind for kind in KINDS if kind != "change"], begin

    async def _go_on_sweeping(self) -> int:
        """Take a sweep further, or begin one that is due. 1 while it is not at its end."""
        if self._sweep is None:
            async with self._pool.acquire() as proxy:
                last = await AuditRows(cast(asyncpg.Connection, proxy)).last_sweep()
            due = timedelta(milliseconds=self._settings.audit_sweep_interval_ms)
            if last is not None and self._clock.now() - last < due:
                return 0
            pages = PagesAhead(self._pool, lambda connection: AuditRows(connection), SWEPT_AT_ONCE)
            self._sweep = Sweep(sweep_id=new_id("swp"), first=last is None, pages=pages, told_ms=monotonic_ms())
        started_ms = monotonic_ms()
        sweep = self._sweep
        try:
            while monotonic_ms() - started_ms < SWEEP_STEP_MS:
                page = await sweep.pages.next()
                if page is None:
                    await self._end(sweep)
                    self._sweep = None
                    return 0
                await self._seal_swept(sweep, *page)
        except (LostSeal, asyncpg.UniqueViolationError):
            await self._give_up_sweep()  # another process is at it
            return 0
        except BaseException:
            await self._give_up_sweep()
            raise
        if monotonic_ms() - sweep.told_ms >= PROGRESS_EVERY_MS:
            sweep.told_ms = monotonic_ms()
            log.info("looking at everything that is sealed", examined=sweep.examined, sealed=sweep.sealed)
        return 1

    async def _give_up_sweep(self) -> None:
        sweep, self._sweep = self._sweep, None
        if sweep is not None:
            await sweep.pages.stop()

    async def _seal_swept(self, sweep: Sweep, examined: int, unsealed: Sequence[Thing]) -> None:
        if unsealed:
            async with self._pool.acquire() as proxy, proxy.transaction():
                await self._writer.seal(AuditRows(cast(asyncpg.Connection, proxy)), unsealed)
        oldest = self._clock.now() - self._window
        sweep.examined += examined
        sweep.sealed += len(unsealed)
        late = [thing for thing in unsealed if thing.at < oldest] if not sweep.first else []
        sweep.late += len(late)
        for thing in late:
            log.error(
                "sealed late",
                alert=True,
                kind=thing.kind,
                merchant_id=thing.merchant_id,
                key=thing.leaf_key,
                at=moment(thing.at),
                next="tallystick audit verify; find out whether a transaction was held back, or somebody inserted it",
            )

    async def _end(self, sweep: Sweep) -> None:
        async with self._pool.acquire() as proxy:
            rows = AuditRows(cast(asyncpg.Connection, proxy))
            await rows.add_sweep(sweep.sweep_id, self._clock.now(), sweep.examined, sweep.late)
        log.info("looked at everything that is sealed", examined=sweep.examined, sealed=sweep.sealed, late=sweep.late)
