"""What this process knows of its circuits, told to the record: each process has its own, and ``status`` shows all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final
from uuid import uuid4

import asyncpg

from tallystick.kit.clock import monotonic_ms
from tallystick.providers.port import CircuitState, Provider
from tallystick.record.postgres.failures import DATABASE_AWAY
from tallystick.record.postgres.provider_circuits import ToldCircuit, leave_circuits, tell_circuits

#: How often a process looks at its own circuits, in memory: a change is told so late at most.
LOOK_EVERY_MS: Final = 1_000

#: How often it tells of those that have not changed: a third of the time after which it counts as gone.
TELL_EVERY_MS: Final = 10_000

#: A database that takes longer is told with the next look.
_WRITE_TIMEOUT_S: Final = 2.0


class Circuits:
    """The circuits of one process's connectors. ``round`` looks at them, and ``leave`` says that the process ends."""

    def __init__(self, pool: asyncpg.Pool, providers: Mapping[str, Provider]) -> None:
        self._pool = pool
        self._providers = providers
        self._process_id = uuid4().hex
        self._seen: dict[str, tuple[bool, int]] = {}  # provider -> (is it closed, since when), on the monotonic clock
        self._told: dict[str, CircuitState] = {}
        self._tell_at_ms = 0

    async def round(self) -> None:
        """Tell what has changed at once, and all of it now and then. What the database does not take is told by the
        next round: nothing waits for this."""
        now_ms = monotonic_ms()
        told = list(self._look(now_ms))
        states = {each.provider: each.state for each in told}
        if not told or (states == self._told and now_ms < self._tell_at_ms):
            return
        try:
            await tell_circuits(self._pool, self._process_id, told, _WRITE_TIMEOUT_S)
        except (*DATABASE_AWAY, asyncpg.PostgresError):
            return
        self._told, self._tell_at_ms = states, now_ms + TELL_EVERY_MS

    async def leave(self) -> None:
        """This process has no circuits any more. Where the database does not take it, its rows age."""
        if self._told:
            try:
                await leave_circuits(self._pool, self._process_id, _WRITE_TIMEOUT_S)
            except (*DATABASE_AWAY, asyncpg.PostgresError):
                return

    def _look(self, now_ms: int) -> Iterator[ToldCircuit]:
        for name, connector in self._providers.items():
            state = connector.circuit
            is_closed = state == "closed"
            if name not in self._seen or self._seen[name][0] is not is_closed:
                self._seen[name] = (is_closed, now_ms)
            for_ms = now_ms - self._seen[name][1]
            yield ToldCircuit(provider=connector.name, account=connector.account, state=state, for_ms=for_ms)
