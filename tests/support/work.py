"""A worker's rounds, at work for as long as a test needs them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tallystick.flows.runtime import Runtime
from tallystick.kit.rounds import run_rounds
from tallystick.run.work import periodic_work


@asynccontextmanager
async def working(runtime: Runtime, *names: str) -> AsyncIterator[None]:
    """The rounds of these names, as a worker of this runtime does them."""
    stop = asyncio.Event()
    async with periodic_work(runtime) as rounds:
        chosen = [each for each in rounds if each.name in names]
        assert {each.name for each in chosen} == set(names), "a name that no round has"
        running = asyncio.create_task(run_rounds(chosen, stop))
        try:
            yield
        finally:
            stop.set()
            await running
