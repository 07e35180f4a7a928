"""Attempts in the in-doubt list."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from tallystick.decisions.change_builder import Cause
from tallystick.decisions.resubmission import park
from tallystick.kit.clock import utc_now
from tallystick.kit.ids import new_id
from tallystick.record.journal import Fresh
from tests.support.database import Database
from tests.support.runtime import SETTINGS, BookedProvider, Client, read, runtime_of, timed_out

#: Nothing recovers here but the operator, and no deadline makes a test wait.
PATIENT = replace(SETTINGS, recovery_backoff_base_ms=60_000, recovery_backoff_cap_ms=60_000)


def in_lane(database: Database, merchant: str) -> tuple[str, str]:
    """A payment whose provider never answered, parked for a person; the ids of its payment and attempt."""

    async def doubt() -> tuple[str, str]:
        provider = BookedProvider()
        provider.after = timed_out
        async with runtime_of(database.app_url, provider, settings=PATIENT) as runtime:
            payment_id = str(read(await Client(runtime, merchant).create("doubtful"))["id"])
            loaded = await runtime.reads.load(merchant, payment_id)
            assert loaded is not None
            (attempt,) = loaded.stored.attempts
            step = Cause(change_id=new_id("chg"), at=utc_now(), trigger="test", actor="test")
            assert isinstance(await runtime.journal.commit(park(loaded.stored, attempt.attempt_id, step)), Fresh)
            return payment_id, attempt.attempt_id

    return asyncio.run(doubt())
