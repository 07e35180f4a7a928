"""Dead letters take a request without an idempotency key, as 0.3.0 did: its key is derived."""

from __future__ import annotations

import asyncio

import psycopg

from tallystick.interfaces.api.acts import DERIVED
from tallystick.kit.ids import new_id
from tests.support.api import desk_of, inside
from tests.support.database import Database
from tests.support.inbox import accept, envelope
from tests.support.late_money import declining_provider


def dies(database: Database, event_id: str) -> None:
    with psycopg.connect(database.owner_url, autocommit=True) as owner:
        owner.execute(
            "UPDATE inbox SET state = 'dead', next_try_at = NULL, closed_at = now() WHERE event_id = %s", (event_id,)
        )


async def test_two_requests_at_one_moment_are_one_act_and_a_later_one_is_another(
    database: Database, fresh_merchant: str
) -> None:
    event = envelope(new_id("req"), merchant_id=fresh_merchant, payment_id=new_id("pay"))
    await accept(database, [event])
    dies(database, event.event_id)
    async with inside(database, fresh_merchant, declining_provider()) as app:
        desk = await desk_of(app, database)
        path, why = f"/v1/dead-letters/{event.event_id}/replay", {"reason": "mended"}

        async def acts() -> list[str]:
            listed = (await desk.get(f"/v1/acts?target={event.event_id}")).json()["data"]
            return [each["idempotency_key"] for each in listed]

        await asyncio.gather(*(desk.post(path, why, key=None) for _ in range(5)))
        [first] = await acts()
        assert first.startswith(DERIVED)
        dies(database, event.event_id)  # it was processed again in vain
        assert (await desk.post(path, why, key=None)).status_code == 200
        assert len(set(await acts())) == 2, "the event stands otherwise: it is another act"


async def test_many_without_a_key(database: Database, fresh_merchant: str) -> None:
    event = envelope(new_id("req"), merchant_id=fresh_merchant, payment_id=new_id("pay"))
    await accept(database, [event])
    async with inside(database, fresh_merchant, declining_provider()) as app:
        desk = await desk_of(app, database)
        all_of_them = {"reason": "mended", "merchant_id": fresh_merchant}
        for _ in range(2):
            dies(database, event.event_id)
            done = await desk.post("/v1/dead-letters/replay", all_of_them, key=None)
            assert done.json() == {"count": 1}, "it died again, and is replayed again"
        assert (await desk.post("/v1/dead-letters/replay", all_of_them, key=None)).json() == {"count": 0}
