"""A process that can be killed at any point: the runtime in an event loop of its own, severed first and then never
run again.

Death is in this order: every socket of the process is shut down (the database sees a client that is gone, as after
SIGKILL) and so is its way to the provider, and only then its tasks stop, wherever they are. No ``finally`` runs while
the survivors do their work; ``bury`` unwinds what is left long after that, when it reaches nothing any more.
"""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import warnings
from collections.abc import Callable, Coroutine, Generator
from contextlib import suppress
from typing import Any, Final, cast

import asyncpg
from msgspec.structs import replace

from tallystick.flows.assembly import open_runtime
from tallystick.flows.runtime import Runtime
from tallystick.flows.stores import stores_on
from tallystick.record.postgres.connections import connect_journal
from tallystick.record.postgres.pipeline import PipelineConnection
from tallystick.record.postgres.reads import Reads
from tallystick.settings.load import Settings
from tests.support.crash.killable import MortalJournalConnection, MortalPool
from tests.support.crash.provider import Bank
from tests.support.crash.provider_connection import BankConnection, traits_of
from tests.support.polling import one_turn

#: Rounds of cancellation until a dead process has unwound: a task may catch one and wait again.
UNWINDING_ROUNDS: Final = 100

Work = Callable[[Runtime], Coroutine[Any, Any, Any]]


class ProcessLoop(asyncio.SelectorEventLoop):
    """An event loop that knows every socket opened in it."""

    def __init__(self) -> None:
        super().__init__()
        self.transports: list[asyncio.BaseTransport] = []
        self.journals: list[PipelineConnection] = []

    async def create_connection(self, *args: Any, **kwargs: Any) -> Any:
        """As in asyncio."""
        return self._kept(await super().create_connection(*args, **kwargs))

    async def create_unix_connection(self, *args: Any, **kwargs: Any) -> Any:
        """As in asyncio."""
        return self._kept(await super().create_unix_connection(*args, **kwargs))

    async def connect_journal(self, url: str, settings: Settings) -> PipelineConnection:
        """A journal's connection. libpq opens its socket itself, so that the loop would not know of it."""
        connection = await connect_journal(url, command_timeout_ms=settings.journal_commit_timeout_ms)
        self.journals.append(connection)
        return connection

    def sever(self) -> None:
        """Shut every socket down, at once and without a goodbye."""
        for transport in self.transports:
            with suppress(OSError):  # closed already
                transport.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
        for journal in self.journals:
            if not journal.is_closed():
                with suppress(OSError), socket.socket(fileno=os.dup(journal.socket)) as other_name:
                    other_name.shutdown(socket.SHUT_RDWR)

    def bury(self) -> None:
        """Unwind what was running, long after it reaches nothing any more, and close."""
        self.sever()
        self.set_exception_handler(lambda _, __: None)  # it is dead: what it still has to say is of no interest
        self.run_until_complete(self._unwind())
        for journal in self.journals:
            journal.terminate()
        self.run_until_complete(self.shutdown_asyncgens())
        self.close()

    async def _unwind(self) -> None:
        for transport in self.transports:
            if isinstance(transport, asyncio.WriteTransport):
                transport.abort()
        await one_turn()  # asyncio closes sockets one turn later
        for _ in range(UNWINDING_ROUNDS):
            left = asyncio.all_tasks() - {asyncio.current_task()}
            if not left:
                return
            for task in left:
                task.cancel()
            await asyncio.wait(left, timeout=0.02)
        raise AssertionError(f"tasks that cannot be ended: {left}")

    def _kept(self, opened: Any) -> Any:
        self.transports.append(opened[0])
        return opened


class Process:
    """One life of the runtime. ``kill_at``: the point at which it dies; None: after its work.

    Points are statements and provider calls, before and after each; or, with ``every_await``, each time that any
    task of the process goes on after waiting.
    """

    def __init__(
        self, url: str, settings: Settings, bank: Bank, *, kill_at: int | None = None, every_await: bool = False
    ) -> None:
        self.points: list[str] = []
        self.dead = False
        self.at_statements = not every_await
        self.server_pids: list[int] = []
        self._url = url
        self._settings = settings
        self._bank = bank
        self._kill_at = kill_at
        self._every_await = every_await
        self._working = False
        self._result: Any = None
        self._loop = ProcessLoop()
        self._stopped: set[asyncio.Task[Any]] = set()

    def live(self, work: Work) -> Any:
        """Do ``work`` and die after it or on the way. Returns what came of it, or None. Raises what ``work`` raises."""
        if self._every_await:
            self._loop.set_task_factory(self._stepping_task)
        life = self._loop.create_task(self._life(work))
        life.add_done_callback(self._ended)
        self._loop.run_forever()
        # Whatever is not referred to would be collected, and collecting a coroutine runs its ``finally``.
        self._stopped = asyncio.all_tasks(self._loop)
        if life.done():
            life.result()
        return self._result

    def bury(self) -> None:
        """Unwind the corpse and close its loop."""
        self.dead = True
        self._every_await = False
        self._loop.bury()
        self._stopped.clear()

    async def reach(self, point: str) -> None:
        """A point where the process may die; one that is dead stays there."""
        if self._working and not self._every_await:
            self._pass(point)
        if self.dead:
            await self._loop.create_future()

    async def _life(self, work: Work) -> None:
        bank = BankConnection(self._bank, traits_of(self._bank), self.reach)
        opened = open_runtime(
            self._settings, self._url, providers={"simulator": bank}, journal_connect=self._connect_journal
        )
        async with opened as runtime:
            pool = cast(asyncpg.Pool, MortalPool(runtime.pool, self))
            reads = Reads(pool, runtime.clock)
            stores = stores_on(pool, runtime.clock, runtime.settings, runtime.sealer)
            self._working = True
            self._result = await work(replace(runtime, pool=pool, reads=reads, stores=stores))
            if not self.dead:  # work that ends while a dead process is unwound stops nothing
                self._die()
            await self._loop.create_future()

    async def _connect_journal(self) -> Any:
        connection = await self._loop.connect_journal(self._url, self._settings)
        self.server_pids.append(connection.server_pid)
        return MortalJournalConnection(connection, self)

    def _pass(self, point: str) -> None:
        if self.dead:
            return
        self.points.append(point)
        if len(self.points) - 1 == self._kill_at:
            self._die()

    def _die(self) -> None:
        self.dead = True
        self._loop.sever()
        self._loop.stop()

    def _ended(self, _: asyncio.Task[None]) -> None:
        if not self.dead:
            self._loop.stop()

    def _stepping_task(self, loop: asyncio.AbstractEventLoop, coroutine: Any, **kwargs: Any) -> asyncio.Task[Any]:
        return asyncio.Task(Steps(coroutine, self), loop=loop, **kwargs)

    def step(self, name: str) -> asyncio.Future[Any] | None:
        """A task is about to go on: None, or what it waits for instead, because the process is dead."""
        if not self._every_await:
            return None
        if self._working:
            self._pass(name)
        return self._loop.create_future() if self.dead else None


class Graveyard:
    """Keeps the dead as they fell, until the survivors are done."""

    def __init__(self) -> None:
        self._dead: list[Process] = []

    def __enter__(self) -> Graveyard:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._dead:
            process.bury()
        self._dead.clear()
        with warnings.catch_warnings():
            # A process may die between making a coroutine and awaiting it: that is no fault of the code that it ran.
            warnings.simplefilter("ignore", RuntimeWarning)
            gc.collect()

    def server_pids(self) -> list[int]:
        """The database's own processes that wrote for them: a COMMIT on its way may land after its sender died."""
        return [pid for process in self._dead for pid in process.server_pids]

    def run(self, process: Process, work: Work) -> Any:
        """Let a process live and die."""
        self._dead.append(process)
        return process.live(work)


class Steps(Coroutine[Any, Any, Any]):
    """A coroutine of a task, each of whose steps is a point where the process may die."""

    def __init__(self, inner: Coroutine[Any, Any, Any], process: Process) -> None:
        self._inner = inner
        self._process = process

    def send(self, value: Any) -> Any:
        """Go on, or wait for ever."""
        instead = self._process.step(getattr(self._inner, "__qualname__", "a task"))
        if instead is None:
            return self._inner.send(value)
        return next(cast("Generator[Any, None, None]", instead.__await__()))

    def throw(self, *error: Any) -> Any:
        """Unwind."""
        return self._inner.throw(*error)

    def close(self) -> None:
        """Unwind."""
        self._inner.close()

    def __await__(self) -> Generator[Any, None, Any]:
        return self._inner.__await__()
