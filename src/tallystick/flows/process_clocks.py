"""What this process finds of the clocks beside its host's, told to the record: an alert is about the clocks of all."""

from __future__ import annotations

import socket
from typing import Final
from uuid import uuid4

import asyncpg

from tallystick.flows.clocks import Clocks
from tallystick.kit.clock import monotonic_ms
from tallystick.record.postgres.failures import DATABASE_AWAY
from tallystick.record.postgres.process_clocks import ToldClock, leave_clocks, tell_clocks

#: How often a process looks at what it measured, in memory: a clock that is set is told so late at most.
LOOK_EVERY_MS: Final = 1_000

#: How often it tells where nothing has crossed the margin: a third of the time after which it counts as gone.
TELL_EVERY_MS: Final = 10_000

#: A database that takes longer is told with the next look.
_WRITE_TIMEOUT_S: Final = 2.0


class ProcessClocks:
    """The clocks of one process. ``round`` looks at them, and ``leave`` says that the process ends."""

    def __init__(self, pool: asyncpg.Pool, clocks: Clocks) -> None:
        self._pool = pool
        self._clocks = clocks
        self._process_id = uuid4().hex
        self._host = socket.gethostname()
        self._told: dict[str, bool] = {}
        self._tell_at_ms = 0

    async def round(self) -> None:
        """Tell what has crossed the margin at once, and all of it now and then. What the database does not take is told
        by the next round: nothing waits for this."""
        now_ms = monotonic_ms()
        told = [
            ToldClock(
                clock=each.clock,
                skew_ms=each.skew_ms,
                uncertainty_ms=each.uncertainty_ms,
                beyond_margin=each.beyond_margin,
            )
            for each in self._clocks.readings()
        ]
        beyond = {each.clock: each.beyond_margin for each in told}
        if not told or (beyond == self._told and now_ms < self._tell_at_ms):
            return
        try:
            await tell_clocks(self._pool, self._process_id, self._host, told, _WRITE_TIMEOUT_S)
        except (*DATABASE_AWAY, asyncpg.PostgresError):
            return
        self._told, self._tell_at_ms = beyond, now_ms + TELL_EVERY_MS

    async def leave(self) -> None:
        """This process compares no clocks any more. Where the database does not take it, its rows age."""
        if self._told:
            try:
                await leave_clocks(self._pool, self._process_id, _WRITE_TIMEOUT_S)
            except (*DATABASE_AWAY, asyncpg.PostgresError):
                return
