"""Rivals that have decided on the same version before either commits: a race in the order that a test chooses."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from tallystick.domain.change import Change
from tallystick.flows.runtime import Runtime
from tallystick.record.journal import Committed

#: Whether a change is the one that races.
Races = Callable[[Change], bool]

#: What one rival does with a runtime of its own.
Rival = Callable[[Runtime], Awaitable[Any]]


def moves(*events: str) -> Races:
    """A change with a step of one of these names."""
    return lambda change: any(step.event in events for step in change.transitions)


class _Gate:
    """Holds the first change of one runtime that races, until everybody is there and it is its turn."""

    def __init__(self, races: Races) -> None:
        self.races = races
        self.there = asyncio.Event()
        self.turn = asyncio.Event()
        self.passed = asyncio.Event()

    def close_on(self, runtime: Runtime) -> None:
        commit = runtime.journal.commit

        async def held(change: Change) -> Committed:
            if self.there.is_set() or not self.races(change):
                return await commit(change)
            self.there.set()
            await self.turn.wait()
            try:
                return await commit(change)
            finally:
                self.passed.set()

        runtime.journal.commit = held  # type: ignore[method-assign]  # this runtime belongs to the race alone


async def race(*rivals: tuple[Runtime, Rival, Races]) -> list[Any]:
    """Let each rival decide, and then commit in the order given. Returns what came of each, an exception too.

    Raises AssertionError where one of them ends without a change that races: then there was no race.
    """
    gates = []
    for runtime, _, races in rivals:
        gate = _Gate(races)
        gate.close_on(runtime)
        gates.append(gate)
    tasks = [asyncio.ensure_future(rival(runtime)) for runtime, rival, _ in rivals]
    for gate, task in zip(gates, tasks, strict=True):
        there = asyncio.ensure_future(gate.there.wait())
        await asyncio.wait([there, task], return_when=asyncio.FIRST_COMPLETED)
        if not there.done():
            there.cancel()
            raise AssertionError(f"a rival decided nothing: {task}")
    for gate in gates:
        gate.turn.set()
        await gate.passed.wait()
    return await asyncio.gather(*tasks, return_exceptions=True)
