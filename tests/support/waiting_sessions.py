"""Sessions of the database that wait for what another one holds."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from tallystick.flows.runtime import Runtime
from tests.support.polling import eventually_async

#: Sessions of the test's database that wait for another one's row.
WAITING: Final = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


async def until_beside(runtime: Runtime, second: asyncio.Task[Any]) -> None:
    """The second one waits for the first; or, without turns, is over."""

    async def is_beside() -> bool:
        return second.done() or await runtime.pool.fetchval(WAITING) > 0

    await eventually_async(is_beside)
