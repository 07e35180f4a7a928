"""One life of the runtime: it serves until it is closed, or dies with everything that it was doing."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any, Final, TypeVar

from tallystick.flows.assembly import open_runtime
from tallystick.flows.recovery.worker import RecoveryWorker
from tallystick.settings.load import Settings
from tests.support.crash.process import ProcessLoop
from tests.support.crash.provider import Bank
from tests.support.crash.provider_connection import BankConnection, traits_of
from tests.support.crash.scenario import Time
from tests.support.polling import eventually_async

Result = TypeVar("Result")

#: A request reaches the bank within milliseconds, unless the machine is very busy.
PATIENCE_S: Final = 30


class Life:
    """A running runtime, and the bank's answers that are still on their way to it."""

    def __init__(self, url: str, settings: Settings, bank: Bank) -> None:
        self._loop = ProcessLoop()
        self._exits = AsyncExitStack()
        self._stopped: set[asyncio.Task[Any]] = set()
        self._delivered = asyncio.Event()
        self._on_their_way = 0
        connection = BankConnection(bank, traits_of(bank), late=self._until_delivered)
        opened = open_runtime(
            settings,
            url,
            providers={"simulator": connection},
            journal_connect=lambda: self._loop.connect_journal(url, settings),
        )
        self.runtime = self.run(self._exits.enter_async_context(opened))

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Do something to its end."""
        return self._loop.run_until_complete(work)

    def start(self, work: Coroutine[Any, Any, Result]) -> asyncio.Task[Result]:
        """Begin something that will wait for the bank's answer; return once it does."""
        task = self._loop.create_task(work)
        self.run(self._until_on_their_way(self._on_their_way + 1))
        return task

    def hang_up(self, task: asyncio.Task[Any]) -> None:
        """The client goes away."""
        task.cancel()
        self.run(asyncio.wait([task]))

    def wait_for(self, task: asyncio.Task[Result]) -> Result:
        """What came of something that was begun."""
        return self._loop.run_until_complete(task)

    def deliver(self) -> None:
        """The answers that were on their way arrive."""
        self._delivered.set()
        self._delivered = asyncio.Event()

    def recover(self, time: Time, rounds: int) -> None:
        """Time passes, and recovery looks at what is due, this many times."""
        recovery = RecoveryWorker(self.runtime, self.runtime.stores.schedule_book)

        async def some_rounds() -> None:
            for _ in range(rounds):
                time.pass_on(self.runtime)
                await recovery.round()

        self.run(some_rounds())

    async def _until_delivered(self) -> None:
        self._on_their_way += 1
        await self._delivered.wait()

    async def _until_on_their_way(self, answers: int) -> None:
        await eventually_async(lambda: self._on_their_way >= answers, within_s=PATIENCE_S, interval_s=0.001)

    def die(self) -> None:
        """Gone, without a goodbye to anybody."""
        self._loop.sever()
        self._stopped = asyncio.all_tasks(self._loop)

    def bury(self) -> None:
        """Unwind the dead."""
        self._loop.bury()
