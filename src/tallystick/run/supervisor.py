"""Child processes: started together, restarted when they die, drained in order, and never left behind.

The parent supervises its children (``Supervisor``), and each child watches its parent (``end_with_parent``), because a
parent that is killed cannot stop them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from tallystick.kit.backoff import RestartBackoff
from tallystick.settings.fields import PREFIX
from tallystick.settings.load import Settings, environment_of

#: Exit code of a command that cannot run as configured; a restart would not help.
EXIT_MISCONFIGURED = 2

#: Exit code of a role whose database or provider was away when it started: a later start may succeed (EX_TEMPFAIL of
#: sysexits.h).
EXIT_AWAY = 75

#: Time beyond the drain time-out, to close connections and stop the interpreter.
END_MARGIN_MS = 5_000

#: How often a child checks its parent: an orphan lives no longer than this plus its drain.
PARENT_WATCH_MS = 300


class Role(Struct, frozen=True, kw_only=True):
    """One child process. Its output goes to ``log``, by default to the parent's."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path | None = None


class _Child:
    def __init__(self, role: Role, process: asyncio.subprocess.Process) -> None:
        self.role = role
        self.process = process
        self.stop = asyncio.Event()


class Supervisor:
    """Keeps child processes running until they are drained. Every child leads its own session, so that a terminal's
    Ctrl-C reaches only the parent, which decides the order of the drain."""

    def __init__(self, announce: Callable[[str], None], *, drain_limit_ms: int) -> None:
        self._announce = announce
        self._drain_limit_ms = drain_limit_ms
        self._kept: list[tuple[_Child, asyncio.Task[None]]] = []
        self._refused = asyncio.Event()
        self._hurry = asyncio.Event()

    async def start(self, role: Role) -> None:
        """Start a child and keep it running. Raises OSError if it cannot be started."""
        child = _Child(role, await _spawn(role))
        self._kept.append((child, asyncio.create_task(self._keep(child))))

    async def refused(self) -> None:
        """Return when a child has exited at its first start because it cannot run as configured."""
        await self._refused.wait()

    async def drain(self) -> None:
        """Stop the children one after another, last started first. A child that exceeds the limit is killed; recovery
        finishes its work."""
        while self._kept:
            child, keeper = self._kept[-1]
            child.stop.set()
            await keeper
            self._kept.pop()

    def hurry(self) -> None:
        """Make the drain kill the remaining children at once."""
        self._hurry.set()

    async def _keep(self, child: _Child) -> None:
        backoff, first_run = RestartBackoff(), True
        while True:
            started = time.monotonic()
            if await _first(child.stop.wait(), child.process.wait()):
                await self._end(child)
                return
            code = child.process.returncode
            _kill_group(child.process.pid)  # the child's own children
            if code == EXIT_MISCONFIGURED and first_run:
                self._refused.set()
                return
            # A later start has the same settings: what keeps it from running now, such as a full disk, passes.
            first_run = False
            wait_ms = backoff.next_ms((time.monotonic() - started) * 1000)
            self._announce(f"{child.role.name} exited with {code}; restarting in {wait_ms} ms")
            if await _first(child.stop.wait(), asyncio.sleep(wait_ms / 1000)):
                return
            with contextlib.suppress(OSError):  # no room for a process now: the next round tries again
                child.process = await _spawn(child.role)

    async def _end(self, child: _Child) -> None:
        process = child.process
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        limit = asyncio.sleep(self._drain_limit_ms / 1000)
        if not await _first(process.wait(), limit, self._hurry.wait()):
            self._announce(f"{child.role.name} did not stop in time and is killed")
        _kill_group(process.pid)
        await process.wait()


def child_environment(settings: Settings) -> dict[str, str]:
    """The environment that gives a child exactly these settings."""
    others = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    return others | environment_of(settings)


async def _first(wanted: Awaitable[object], *others: Awaitable[object]) -> bool:
    """Wait for any of them. Returns whether the first is done."""
    tasks = [asyncio.ensure_future(each) for each in (wanted, *others)]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return tasks[0].done()
    finally:
        for task in tasks:
            task.cancel()


async def _spawn(role: Role) -> asyncio.subprocess.Process:
    with contextlib.ExitStack() as files:
        output = files.enter_context(role.log.open("ab")) if role.log is not None else None
        return await asyncio.create_subprocess_exec(
            *role.command,
            env=dict(role.environment),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def _kill_group(leader_pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader_pid, signal.SIGKILL)


def end_with_parent(parent_pid: int, drain_ms: int) -> None:
    """Watch ``parent_pid`` from a thread: when it ends, drain as on SIGTERM, and exit after ``drain_ms`` at the latest.
    If the parent is gone already, drain at once."""

    def watch() -> None:
        while os.getppid() == parent_pid:
            time.sleep(PARENT_WATCH_MS / 1000)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(drain_ms / 1000)
        os._exit(1)

    threading.Thread(target=watch, name="parent watch", daemon=True).start()
