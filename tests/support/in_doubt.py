"""Attempts in the in-doubt list."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from tallystick.decisions.change_builder import Cause
from tallystick.decisions.resubmission import park
from tallystick.flows.runtime import Runtime
from tallystick.kit.clock import utc_now
from tallystick.kit.ids import new_id
from tallystick.record.journal import Fresh
from tests.support.database import Database
from tests.support.runtime import SETTINGS, BookedProvider, Client, read, runtime_of, timed_out

#: Nothing recovers here but the operator, and no deadline makes a test wait.
PATIENT = replace(SETTINGS, recovery_backoff_base_ms=60_000, recovery_backoff_cap_ms=60_000)


def silent_provider() -> BookedProvider:
    """A provider that does what it is asked, and never answers."""
    provider = BookedProvider()
    provider.after = timed_out
    return provider


async def doubtful(runtime: Runtime, merchant: str, key: str = "doubtful") -> tuple[str, str]:
    """A payment whose provider never answered, parked for a person; the ids of its payment and attempt."""
    payment_id = str(read(await Client(runtime, merchant).create(key))["id"])
    loaded = await runtime.reads.load(merchant, payment_id)
    assert loaded is not None
    (attempt,) = loaded.stored.attempts
    step = Cause(change_id=new_id("chg"), at=utc_now(), trigger="test", actor="test")
    assert isinstance(await runtime.journal.commit(park(loaded.stored, attempt.attempt_id, step)), Fresh)
    return payment_id, attempt.attempt_id


def in_lane(database: Database, merchant: str) -> tuple[str, str]:
    """Such a payment, by a runtime that has ended; the ids of its payment and attempt."""

    async def doubt() -> tuple[str, str]:
        async with runtime_of(database.app_url, silent_provider(), settings=PATIENT) as runtime:
            return await doubtful(runtime, merchant)

    return asyncio.run(doubt())
