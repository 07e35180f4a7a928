"""A line to Stripe on which questions fail as well."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from tests.support.database import DEEP, Database
from tests.support.faulty_proxy import Fault, FaultyProxy, faulty_proxy
from tests.support.stripe.client import CONVERGENCE_S, SETTINGS, Shop, settled, stripe_runtime
from tests.support.stripe.localstripe import LocalStripe

PATIENCE_MS = 500

#: When a request that is late arrives: even a look-up of the impatient would have come and gone.
LATE_MS = 2 * PATIENCE_MS + 300

BAD_LINE = replace(
    SETTINGS,
    send_window_ms=PATIENCE_MS,
    provider_request_timeout_ms=PATIENCE_MS,
    max_delivery_delay_ms=2 * LATE_MS,
    resubmit_limit=10,
    recovery_checks_limit=10_000,
)


@pytest.fixture
async def proxy(bank: LocalStripe) -> AsyncIterator[FaultyProxy]:
    async with faulty_proxy(bank.port, late_s=LATE_MS / 1000) as running:
        yield running


async def test_a_sender_that_may_not_trust_its_lookups(
    database: Database, proxy: FaultyProxy, bank: LocalStripe, fresh_merchant: str
) -> None:
    """Look-ups that fail are no proof of anything: the charge is found when they work again."""
    proxy.script("POST /v1/payment_intents", Fault.TIMEOUT_CHARGED)
    proxy.script("GET .*", Fault.ERROR_NOT_CHARGED, Fault.RESET_NOT_CHARGED, Fault.TIMEOUT_NOT_CHARGED, times=2)
    async with stripe_runtime(database, proxy.url, BAD_LINE) as runtime:
        shop = Shop(runtime, fresh_merchant)
        payment = await shop.charge("key")
        assert payment["state"] == "captured"
        await settled(runtime, proxy, bank, shop, payment["id"])
    assert len([passage for passage in proxy.seen if passage.method == "POST"]) == 1


#: Payments at once, with two instructions more each. The bank answers one request at a time, and a look-up reads all of
#: its books, so that more would only wait longer. Four are one of each kind.
LIVES = 16 if DEEP else 4


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", range(3 if DEEP else 1))
async def test_many_instructions_at_once(
    database: Database, proxy: FaultyProxy, bank: LocalStripe, fresh_merchant: str, seed: int
) -> None:
    """A day on a bad line: every second request meets some fault, questions too."""
    chance = random.Random(seed)
    proxy.choose = lambda *_: chance.choice(list(Fault)) if chance.random() < 0.5 else Fault.NONE
    async with stripe_runtime(database, proxy.url, BAD_LINE) as runtime, asyncio.timeout(2 * CONVERGENCE_S):
        shop = Shop(runtime, fresh_merchant)

        async def pay_back(key: str, payment_id: str) -> None:
            await shop.until_final(lambda: shop.refund(key, payment_id, 300))

        async def life(number: int) -> str:
            manual = number % 2 == 0
            payment = await shop.charge(f"create-{number}", manual=manual)
            if payment["state"] == "authorized":
                send = shop.capture if number % 4 else shop.cancel
                payment = await shop.until_final(lambda: send(f"then-{number}", payment["id"]))
            if payment["state"] == "captured":
                await asyncio.gather(*(pay_back(f"{part}-{number}", payment["id"]) for part in ("a", "b")))
            return str(payment["id"])

        paid = await asyncio.gather(*(life(number) for number in range(LIVES)))
        proxy.choose = None
        for payment_id in paid:
            await settled(runtime, proxy, bank, shop, payment_id)
    delivered = [passage for passage in proxy.seen if passage.delivered and passage.fault is not Fault.NONE]
    assert delivered, "the line was bad"
