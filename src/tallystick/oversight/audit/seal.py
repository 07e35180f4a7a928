"""The sealer: in rounds it takes what is visible and not sealed, makes each tree longer, and signs the new heads.

The order of a tree is the order of sealing, never a clock's. A round is one transaction: leaves, heads and the
checkpoint over them are there together or not at all. Several may run. The primary key of heads decides which of two
rounds makes the next one; the other starts again.

A round looks at the newest, and at a part of the window, so that each moment in the window is come to again and again.
What commits later than that is found by the sweep over everything, which also seals what was there before sealing
began.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, cast

import asyncpg
from msgspec import Struct

from tallystick.kit.clock import Clock, monotonic_ms
from tallystick.kit.ids import new_id
from tallystick.kit.logs import get_logger
from tallystick.oversight.audit.heads import SigningKey, moment
from tallystick.oversight.audit.looks import Look, Page, WindowLook
from tallystick.oversight.audit.pages import PagesAhead
from tallystick.oversight.audit.tree_writer import BrokenHead, LostSeal, TreeWriter
from tallystick.record.postgres.audit_rows import KINDS, AuditRows, Thing
from tallystick.record.postgres.number_reads import Watch
from tallystick.settings.audit import longest_write_ms, sealing_window_ms
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

#: Where changes are many, the next look at them begins so long after this one: each look reads those of a few seconds
#: before it again, and what is sealed by then is younger than ten seconds still.
MANY_EVERY_MS: Final = 3_000

#: How often a look is for everything but changes: it asks for the change of each instruction and answer, and hardly
#: any of them has a leaf of its own; the other kinds are a score of statements that find little.
OTHERS_EVERY_MS: Final = 5_000

#: Each moment in the window is come to once in this time at least.
WINDOW_EVERY_MS: Final = 30_000

#: How often a part of the window is looked at: a score of statements, too.
WINDOW_STEP_MS: Final = 1_000

#: Where nothing is found, how often how far the sealer is is noted.
NOTED_EVERY_MS: Final = 30_000

#: How long a round goes on with a sweep.
SWEEP_STEP_MS: Final = 1_000

#: How often a sweep says how far it is.
PROGRESS_EVERY_MS: Final = 10_000


#: Of each kind of a page.
_Found = Sequence[Sequence[Thing]]


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
        self._sweep: Sweep | None = None
        self._begin_anew()

    def _begin_anew(self) -> None:
        """What was looked at before is not known any more: another process has sealed meanwhile, or none."""
        self._changes = Look("changes", ("change",))
        self._others = Look("others", tuple(kind for kind in KINDS if kind != "change"))
        self._in_window = WindowLook(KINDS, self._window, _cycle(self._settings))
        self._in_window_ms = monotonic_ms()
        self._noted_ms = 0

    async def round(self) -> int:
        """Seal what is new. 1 where there is more to do at once, otherwise 0. Raises what the database raises, and
        BrokenHead."""
        if not await self._watch.hold(LEASE_MS):
            self._begin_anew()
            await self._give_up_sweep()
            return 0
        await self._begin_looks()
        try:
            await self._look()
        except (LostSeal, asyncpg.UniqueViolationError):
            return 1
        now_ms = monotonic_ms()
        for look in (self._changes, self._others):
            if look.begun is not None or (look.full and look.due_ms <= now_ms):
                return 1
        return await self._go_on_sweeping()

    async def leave(self) -> None:
        """Let another process seal. Raises what the database raises."""
        await self._give_up_sweep()
        await self._watch.leave()

    async def _begin_looks(self) -> None:
        """Begin the looks that are due. The first ones go back a window before where a sealer was: what was made while
        nobody sealed is found too, and what another one was behind with."""
        now, now_ms = self._clock.now(), monotonic_ms()
        for look in (self._changes, self._others):
            if look.begun is None and look.due_ms <= now_ms:
                look.begin(now, now if look.ended is not None else await self._first(look, now))
                look.due_ms = now_ms + (OTHERS_EVERY_MS if look is self._others else 0)

    async def _first(self, look: Look, now: datetime) -> datetime:
        async with self._pool.acquire() as proxy:
            rows = AuditRows(cast(asyncpg.Connection, proxy))
            position = await rows.position(look.name)
            newest = await rows.last_checkpoint() if position is None else None
        if newest is not None:
            position = newest.sealed_at  # by a release that noted no positions
        return min(now, position or now) - self._window

    async def _look(self) -> None:
        """Seal what is visible on the next page of each look that is under way, and on the part of the window that is
        due: in one transaction. What was looked at counts when that is committed."""
        now_ms = monotonic_ms()
        part = self._part_of_window(now_ms)
        pages = {look: look.page() for look in (self._changes, self._others) if look.begun is not None}
        if part is None and not pages:
            return
        try:
            in_part, found = await self._seal(part, pages, now_ms)
        except (TimeoutError, asyncpg.QueryCanceledError):
            for look in pages:
                look.shorten()
            raise
        if part is not None:
            self._in_window.looked(part, in_part, AT_ONCE)
            self._in_window_ms = now_ms
        took_ms = monotonic_ms() - now_ms
        for look, page in pages.items():
            at_end = look.looked(page, found[look], AT_ONCE, took_ms)
            if at_end and look is self._changes and look.found >= AT_ONCE:
                look.due_ms += MANY_EVERY_MS

    async def _seal(
        self, part: Page | None, pages: Mapping[Look, Page], now_ms: int
    ) -> tuple[_Found, dict[Look, _Found]]:
        """Seal what is on these pages: what was found in the part of the window, and on each page."""
        async with self._pool.acquire() as proxy, proxy.transaction():
            rows = AuditRows(cast(asyncpg.Connection, proxy))
            await rows.in_utc()
            in_part: _Found = [] if part is None else await _unsealed(rows, part)
            found: dict[Look, _Found] = {look: await _unsealed(rows, page) for look, page in pages.items()}
            sealed = [thing for on_page in (in_part, *found.values()) for things in on_page for thing in things]
            await self._writer.seal(rows, sealed)
            noted = bool(sealed) or now_ms - self._noted_ms >= NOTED_EVERY_MS
            for look, page in pages.items() if noted else ():
                await rows.note_position(look.name, look.position(page, found[look], AT_ONCE))
        self._noted_ms = now_ms if noted else self._noted_ms
        if self._sweep is not None:
            self._sweep.pages.sealed(sealed)
        return in_part, found

    def _part_of_window(self, now_ms: int) -> Page | None:
        """The part of the window that is due: of what both looks have gone over."""
        elapsed_ms = now_ms - self._in_window_ms
        if elapsed_ms < WINDOW_STEP_MS or self._changes.reached is None or self._others.reached is None:
            return None
        reached = min(self._changes.reached, self._others.reached)
        return self._in_window.page(reached, timedelta(milliseconds=elapsed_ms))

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
                began_ms = monotonic_ms()
                page = await sweep.pages.next()
                if page is None:
                    await self._end(sweep)
                    self._sweep, self._others.due_ms = None, 0  # its row is to be sealed too
                    return 0
                await self._seal_swept(sweep, *page)
                if not sweep.first:  # as long a pause: nobody waits for it, and payments are to have the machine
                    await asyncio.sleep((monotonic_ms() - began_ms) / 1_000)
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
                rows = AuditRows(cast(asyncpg.Connection, proxy))
                await rows.in_utc()
                await self._writer.seal(rows, unsealed)
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


def _cycle(settings: Settings) -> timedelta:
    """In what time each moment in the window is come to again. What is visible as late as may be, is found before it is
    older than the window; and nothing more often than that needs, since each time reads everything in it."""
    window_ms = sealing_window_ms(settings)
    spare_ms = min(window_ms // 2, window_ms - longest_write_ms(settings))
    return timedelta(milliseconds=max(WINDOW_EVERY_MS, spare_ms))


async def _unsealed(rows: AuditRows, page: Page) -> list[list[Thing]]:
    """What is visible on the page and not sealed, of each of its kinds."""
    return [await rows.unsealed(kind, page.since, AT_ONCE, page.until) for kind in page.kinds]
