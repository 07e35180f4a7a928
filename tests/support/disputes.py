"""Disputes of which the provider has not said everything."""

from __future__ import annotations

from typing import Final

from tallystick.domain.dispute_movement import Movement
from tallystick.domain.notices import DisputeNotice
from tests.support.database import Database
from tests.support.inbox import WEBHOOK_SETTINGS, accept, drain, envelope
from tests.support.runtime import BookedProvider, Client, read, runtime_of

#: All of it was taken back, and 12 GBP came back later: what that is in EUR is not said.
MOVED: Final = (
    Movement(reference="txn_0", funds="withdrawn", amount=1_000, before_verdict=True),
    Movement(
        reference="txn_1", funds="returned", amount=None, before_verdict=False, moved_amount=12, moved_currency="GBP"
    ),
)


async def lost_with_unknown_amount(database: Database, merchant_id: str) -> str:
    """A dispute that was lost, and of which something came back in pounds; its id."""
    async with runtime_of(database.app_url, BookedProvider(), settings=WEBHOOK_SETTINGS) as runtime:
        payment_id = read(await Client(runtime, merchant_id).create("create"))["id"]
        found = await runtime.reads.payment(merchant_id, payment_id)
        assert found is not None
        notice = DisputeNotice(
            reference=f"du_{merchant_id}", state="lost", amount=1_000, currency="EUR", movements=MOVED
        )
        await accept(database, [envelope(f"evt_{merchant_id}", notice, payment=found[0])])
        await drain(runtime, merchant_id)
        [dispute] = await runtime.reads.disputes(merchant_id, payment_id)
        return dispute.dispute_id
