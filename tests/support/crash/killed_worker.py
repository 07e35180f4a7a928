"""A worker that is killed in earnest: a process of its own, and SIGKILL at one of its statements.

Starting Python takes longer than a worker's life here, so one process loads everything and forks for each life:

    python -m tests.support.crash.killed_worker    one life as JSON a line in, how it ended a line out
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any, Final, Self, cast

import asyncpg
import msgspec
from msgspec import Struct
from msgspec.structs import replace

from tallystick.flows.assembly import open_runtime
from tallystick.flows.recovery.worker import RecoveryWorker
from tallystick.flows.runtime import Runtime
from tallystick.flows.stores import stores_on
from tallystick.flows.webhooks.inbound.worker import InboxWorker
from tallystick.flows.webhooks.outbound.worker import OutboxWorker
from tallystick.kit.logs import configure_logging
from tallystick.providers.registry import CONNECTOR_SETTINGS
from tallystick.record.postgres.connections import connect_journal
from tallystick.record.postgres.reads import Reads
from tallystick.settings.load import load_settings
from tests.support.crash.killable import MortalJournalConnection, MortalPool
from tests.support.crash.scenario import STEP_MS

ROOT: Final = Path(__file__).parents[3]


class Life(Struct, frozen=True):
    """What a worker does (``inbox``, ``outbox`` or ``recovery``) until nothing is due, by the settings in
    ``environment``. ``kill_at``: the point at which it kills itself; None: it ends by itself."""

    work: str
    database_url: str
    environment: dict[str, str]
    kill_at: int | None


class End(Struct, frozen=True):
    """How a life ended, and the points that it came to, the last one included."""

    killed: bool
    points: list[str]


class Lives:
    """The process that has the lives. Each is over when ``live`` returns."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.support.crash.killed_worker"]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def live(self, life: Life) -> End:
        """Let one worker live and die. Raises AssertionError where it ended in a third way."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(msgspec.json.encode(life) + b"\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the process that has the lives is gone"
        return msgspec.json.decode(line, type=End)


class Doomed:
    """Counts points, and kills its process at one of them. Each point is told before it is survived."""

    dead = False  # there is no afterlife here
    at_statements = True

    def __init__(self, kill_at: int | None, told_fd: int) -> None:
        self._kill_at = kill_at
        self._told_fd = told_fd
        self._count = 0
        self.working = False

    async def reach(self, point: str) -> None:
        """A point where the process may die."""
        if not self.working:
            return
        os.write(self._told_fd, point.split("\n")[0].encode() + b"\n")
        if self._count == self._kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        self._count += 1


async def _live(life: Life, doomed: Doomed) -> None:
    settings = load_settings(life.environment, CONNECTOR_SETTINGS)

    async def mortal_connection() -> Any:
        timeout_ms = settings.journal_commit_timeout_ms
        return MortalJournalConnection(await connect_journal(life.database_url, command_timeout_ms=timeout_ms), doomed)

    async with open_runtime(settings, life.database_url, journal_connect=mortal_connection) as runtime:
        pool = cast(asyncpg.Pool, MortalPool(runtime.pool, doomed))
        reads = Reads(pool, runtime.clock)
        stores = stores_on(pool, runtime.clock, runtime.settings, runtime.sealer)
        doomed.working = True
        await _WORK[life.work](replace(runtime, pool=pool, reads=reads, stores=stores))
        doomed.working = False


async def _empty_inbox(runtime: Runtime) -> None:
    processing = InboxWorker(runtime, runtime.stores.inbox)
    while await processing.round():
        pass


async def _empty_outbox(runtime: Runtime) -> None:
    delivery = OutboxWorker(runtime)
    while await delivery.round():
        pass
    await delivery.close()


async def _recover(runtime: Runtime) -> None:
    """Rounds, and time between them."""
    recovery = RecoveryWorker(runtime, runtime.stores.schedule_book)
    due = 1
    while due:
        runtime.clock.shift_ms += STEP_MS
        due = await recovery.round()


_WORK: Final = {"inbox": _empty_inbox, "outbox": _empty_outbox, "recovery": _recover}


def _born(life: Life) -> End:
    """Fork, and wait for the end."""
    told_fd, telling_fd = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(told_fd)
            asyncio.run(_live(life, Doomed(life.kill_at, telling_fd)))
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    os.close(telling_fd)
    with os.fdopen(told_fd) as told:
        points = told.read().splitlines()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL), f"ended with {status} after {points}"
    return End(status != 0, points)


def main() -> None:
    """Live after life, until the input ends."""
    configure_logging("error", ())
    for line in sys.stdin.buffer:
        sys.stdout.buffer.write(msgspec.json.encode(_born(msgspec.json.decode(line, type=Life))) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
