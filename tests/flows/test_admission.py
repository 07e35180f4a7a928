"""How many payments are in flight: one merchant's do not keep another's out."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from tallystick.domain.errors import Overloaded
from tallystick.flows.payments.instructions import NEW_PAYMENTS_SHARE
from tallystick.providers.port import ProviderCall
from tests.support.database import Database
from tests.support.polling import eventually_async
from tests.support.runtime import SETTINGS, BookedProvider, Client, is_final, runtime_of

LIMIT = 20


async def test_a_merchant_with_many_payments_in_flight_leaves_room(database: Database, fresh_merchant: str) -> None:
    provider, go_on = BookedProvider(), asyncio.Event()

    async def slow(call: ProviderCall) -> None:
        if call.merchant_id == fresh_merchant:
            await go_on.wait()

    provider.before = slow
    async with runtime_of(database.app_url, provider, settings=replace(SETTINGS, in_flight_limit=LIMIT)) as runtime:
        busy = Client(runtime, fresh_merchant)
        under_way = [asyncio.create_task(busy.create(f"k{number}")) for number in range(LIMIT)]
        await eventually_async(lambda: [each for each in under_way if each.done()], until=lambda done: len(done) >= 6)
        shed = [each for each in under_way if each.done()]
        assert len(shed) == LIMIT - 14, "seven eighths of what new payments may use"
        assert all(isinstance(each.exception(), Overloaded) for each in shed)
        other = f"{fresh_merchant}x"
        assert is_final(await Client(runtime, other).create("k"))
        go_on.set()
        assert all([is_final(await each) for each in under_way if each not in shed])
        assert runtime.flows.has_room_for(fresh_merchant, NEW_PAYMENTS_SHARE)
