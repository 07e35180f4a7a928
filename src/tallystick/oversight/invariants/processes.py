"""``verify`` in several processes: each examines parts of the record, all in one snapshot.

This process takes parts too. A helper that cannot take the snapshot, or ends, leaves its part to this process, so the
report never depends on a helper.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import signal
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from multiprocessing.connection import Connection
from typing import Final, NamedTuple

import asyncpg

from tallystick.kit.cycles import cycles_sought_when_called
from tallystick.oversight.invariants.parts import Part, in_order_of_time, planned
from tallystick.oversight.invariants.report import Findings, InvariantReport, Progress
from tallystick.oversight.invariants.verify import examined, no_findings, payment_count
from tallystick.record.postgres.connections import connect
from tallystick.settings.load import Settings

#: For fewer parts a helper takes longer to start than it saves: it imports for about a second.
PARTS_FOR_A_HELPER: Final = 40

#: Parts that a helper has: it begins the next one while this process, busy with its own, gets to what it found.
PARTS_AHEAD: Final = 2


class Source(NamedTuple):
    """Where a helper reads: the database, and the longest time for a command."""

    url: str
    command_timeout_ms: int


async def verify_in_processes(
    connection: asyncpg.Connection,
    source: Source,
    *,
    settings: Settings,
    processes: int,
    merchant_id: str | None = None,
    progress: Progress | None = None,
) -> InvariantReport:
    """As ``verify``, by up to ``processes`` processes, this one included. ``source`` is where ``connection`` goes to.
    Raises what the database raises."""
    started_ns = time.monotonic_ns()
    async with _transaction(connection, exported=processes > 1) as snapshot:
        parts = await planned(connection, merchant_id)
        work = _Work(parts, await payment_count(connection, merchant_id), progress)
        count = 0 if snapshot is None else min(processes - 1, len(parts) // PARTS_FOR_A_HELPER)
        helpers = [_Helper(work, source, settings, snapshot or "") for _ in range(count)]
        try:
            await _examine_all(connection, settings, work)
            await asyncio.gather(*(helper.ended for helper in helpers))
            await _examine_all(connection, settings, work)  # what a helper left
        finally:
            work.to_do.clear()
            for helper in helpers:
                helper.stop()
    return work.whole().report(elapsed_ms=(time.monotonic_ns() - started_ns) // 1_000_000)


@asynccontextmanager
async def _transaction(connection: asyncpg.Connection, *, exported: bool) -> AsyncIterator[str | None]:
    """A read-only transaction, and the name of its snapshot for other connections: None where none is asked for, or
    the database refuses it (CockroachDB has no such thing)."""
    transaction = connection.transaction(isolation="repeatable_read", readonly=True)
    await transaction.start()
    snapshot = None
    try:
        if exported:
            try:
                snapshot = str(await connection.fetchval("SELECT pg_export_snapshot()"))
            except asyncpg.PostgresError:
                await transaction.rollback()
                transaction = connection.transaction(isolation="repeatable_read", readonly=True)
                await transaction.start()
        yield snapshot
    finally:
        if not connection.is_closed():
            await transaction.rollback()


class _Work:
    """The parts to do, and what they came to."""

    def __init__(self, parts: list[Part], total: int, progress: Progress | None) -> None:
        self.to_do = deque(in_order_of_time(parts))
        self._found: list[Findings | None] = [None] * len(parts)
        self._total, self._progress, self._done = total, progress, 0

    def keep(self, number: int, found: Findings) -> None:
        """What a part came to."""
        self._found[number] = found

    def count(self, payments: int) -> None:
        """Show that so many more payments are examined."""
        self._done += payments
        if self._progress is not None and payments:
            self._progress(self._done, self._total)

    def whole(self) -> Findings:
        """All findings, in the order of the parts."""
        whole = no_findings()
        for found in self._found:
            assert found is not None, "every part was examined"
            whole.extend(found)
        return whole


async def _examine_all(connection: asyncpg.Connection, settings: Settings, work: _Work) -> None:
    with cycles_sought_when_called() as seek_cycles:
        while work.to_do:
            number, part = work.to_do.popleft()
            work.keep(number, await examined(connection, settings, part, work.count))
            seek_cycles()


class _Helper:
    """Another process that examines parts. ``ended``: no part is left, or the helper cannot go on."""

    def __init__(self, work: _Work, source: Source, settings: Settings, snapshot: str) -> None:
        context = multiprocessing.get_context("spawn")  # a forked child would share this process's connection
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_help, args=(theirs, source, settings, snapshot), daemon=True)
        self._process.start()
        theirs.close()
        # A thread: this process is busy with parts of its own, and the helper must not wait for it.
        self.ended = asyncio.ensure_future(asyncio.to_thread(self._feed, work, asyncio.get_running_loop()))

    def _feed(self, work: _Work, loop: asyncio.AbstractEventLoop) -> None:
        sent: deque[tuple[int, Part]] = deque()
        try:
            while True:
                with suppress(IndexError):  # no part is left
                    while len(sent) < PARTS_AHEAD:
                        sent.append(work.to_do.popleft())
                        self._pipe.send(sent[-1][1])
                if not sent:
                    return
                found = no_findings()
                found.extend(self._pipe.recv())  # so that thousands of parts have their names once
                work.keep(sent.popleft()[0], found)
                loop.call_soon_threadsafe(work.count, found.checked["payments"])
        except (EOFError, OSError):  # the helper has ended
            work.to_do.extend(sent)

    def stop(self) -> None:
        """End the process, whatever it does."""
        self._process.terminate()
        self._process.join()
        self._pipe.close()


def _help(pipe: Connection, source: Source, settings: Settings, snapshot: str) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process decides when this one ends
    # What the database refuses here, the first process meets too, or does without.
    with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, EOFError, OSError):
        asyncio.run(_examine_sent(pipe, source, settings, snapshot))


async def _examine_sent(pipe: Connection, source: Source, settings: Settings, snapshot: str) -> None:
    connection = await connect(source.url, command_timeout_ms=source.command_timeout_ms)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            await connection.execute(f"SET TRANSACTION SNAPSHOT '{snapshot}'")
            with cycles_sought_when_called() as seek_cycles:
                while True:
                    part: Part = pipe.recv()
                    pipe.send(await examined(connection, settings, part, lambda _: None))
                    seek_cycles()
    finally:
        await connection.close()
