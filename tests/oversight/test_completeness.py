"""Audit completeness and the trace of a payment ask for the same checkpoints: what one misses, the other one names."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Final

import asyncpg

from tallystick.flows.runtime import Runtime
from tallystick.oversight.completeness import Completeness
from tallystick.oversight.trace.missing import named
from tallystick.oversight.trace.payment import traced_payment
from tallystick.record.postgres.number_reads import NumberReads
from tests.support.database import NewDatabase
from tests.support.runtime import BookedProvider, Client, read, runtime_of
from tests.support.sample import SETTINGS

_OF: Final = "WHERE merchant_id = $1 AND"

#: What is done by hand to a captured payment -> the checkpoint that is missing then.
BROKEN: Final = {
    f"DELETE FROM outbox {_OF} stream_id = $2 AND type = 'payment.captured'": "message",
    f"DELETE FROM transfer {_OF} stream_id = $2": "posting",
    f"UPDATE transition SET evidence = NULL {_OF} stream_id = $2 AND evidence IS NOT NULL": "provider's word",
    f"DELETE FROM response {_OF} idempotency_key = (SELECT idempotency_key FROM attempt {_OF} payment_id = $2)": (
        "recorded answer"
    ),
    f"DELETE FROM transition {_OF} subject_id = $2 AND version = 2": "history",
}

MERCHANT: Final = "audited"


async def test_a_whole_payment_is_complete_and_both_name_what_is_gone(new_database: NewDatabase) -> None:
    database = new_database()
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        client = Client(runtime, MERCHANT)
        whole, *broken = [read(await client.create(f"order-{number}"))["id"] for number in range(1 + len(BROKEN))]
        owner = await asyncpg.connect(database.owner_url)
        try:
            for payment_id, statement in zip(broken, BROKEN, strict=True):
                done = await owner.execute(statement, MERCHANT, payment_id)
                assert not done.endswith(" 0"), statement
        finally:
            await owner.close()
        # Payments of a moment ago are looked at too: no test waits for them to grow old.
        audit = Completeness(runtime.pool, runtime.clock, replace(SETTINGS, audit_delay_ms=-1_000))
        number, incomplete = await audit.round()
        assert number == 1 + len(BROKEN)
        missed = {each.payment_id: {one.partition(":")[0] for one in each.missing} for each in incomplete}
        assert whole not in missed
        for payment_id, (statement, checkpoint) in zip(broken, BROKEN.items(), strict=True):
            assert checkpoint in missed[payment_id], statement
            assert missed[payment_id] == await traced(runtime, payment_id), statement
        counted = await NumberReads(runtime.pool, runtime.clock).complete_since(
            runtime.clock.now() - timedelta(minutes=5)
        )
        assert (counted.final, counted.complete) == (1 + len(BROKEN), 1)
        assert await traced(runtime, whole) == set()


async def traced(runtime: Runtime, payment_id: str) -> set[str]:
    """The checkpoints that its trace names as missing."""
    found = await traced_payment(runtime.pool, MERCHANT, payment_id, runtime.settings)
    assert found is not None
    return named(found.missing)
