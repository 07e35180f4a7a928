"""What the flows stand on: the door, the reads, the providers, and the times that bound an attempt."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

import asyncpg
from msgspec import Struct

from tallystick.decisions.resubmission import backoff_ms
from tallystick.decisions.terms import Checks, Terms
from tallystick.domain.errors import Overloaded
from tallystick.domain.traits import Traits
from tallystick.kit.clock import Clock
from tallystick.providers.port import Provider
from tallystick.record.journal import Journal
from tallystick.record.next_action_seal import ActionSeal
from tallystick.record.postgres.reads import Reads
from tallystick.settings.load import Settings

Result = TypeVar("Result")


class Flows:
    """Flows between intent and outcome. Each runs in a task of its own: a client that hangs up cancels nothing."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._tasks: set[asyncio.Task[Any]] = set()

    def has_room(self, share: float = 1.0) -> bool:
        """Whether a new flow may start; ``share`` of the bound is for what is shed first."""
        return len(self._tasks) < self._limit * share

    async def run(self, flow: Coroutine[Any, Any, Result]) -> Result:
        """Run ``flow`` to its end even when the caller goes away."""
        task = asyncio.create_task(flow)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return await asyncio.shield(task)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # retrieved: the caller may have gone, and recovery has the attempt

    async def drain(self, timeout_ms: int) -> int:
        """Wait for all flows; the number that did not end in time (recovery will find them)."""
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=timeout_ms / 1000)
        return len(self._tasks)


class Core(Struct, frozen=True, kw_only=True):
    """One process's hold on the platform."""

    settings: Settings
    journal: Journal
    reads: Reads
    providers: Mapping[str, Provider]
    clock: Clock
    flows: Flows
    chance: random.Random
    actions: ActionSeal
    pool: asyncpg.Pool

    def provider(self, name: str) -> Provider:
        """A configured provider; KeyError otherwise."""
        return self.providers[name]

    def terms(self, provider: str) -> Terms:
        """The terms of one submission to this provider."""
        connector = self.providers[provider]
        traits = connector.traits
        return Terms(
            account=connector.account,
            send_window_ms=self.settings.send_window_ms,
            request_timeout_ms=traits.request_timeout_ms,
            settling_ms=settling_ms(traits),
        )

    def checks(self, provider: str) -> Checks:
        """What is kept for later of what an attempt became."""
        settings = self.settings
        first_ms = backoff_ms(0, settings.recovery_backoff_base_ms, settings.recovery_backoff_cap_ms, self.chance)
        return Checks(
            unknown_in_ms=first_ms,
            pending_in_ms=settings.pending_poll_ms,
            not_sent_in_ms=first_ms,
            authorization_deadline_ms=settings.authorization_deadline_ms,
            keeps_references=self.providers[provider].traits.keeps_references,
        )

    def admit(self, share: float) -> None:
        """Bounded queues: raises Overloaded where a new instruction of this kind finds no room."""
        if not self.flows.has_room(share):
            raise Overloaded("too many payments are between intent and outcome")
        if not self.journal.room(share):
            raise Overloaded("the journal's queue is full")


def settling_ms(traits: Traits) -> int:
    """After a sender's deadline, how long until "no such charge" is evidence: where the provider does not deduplicate,
    a request that is still under way could otherwise arrive after we sent another."""
    if traits.deduplicates:
        return traits.settling_time_ms
    return max(traits.settling_time_ms, traits.max_delivery_delay_ms)
