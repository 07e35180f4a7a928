"""Everything that can go wrong between us and a Stripe that forgets idempotency keys: at most one charge for each
instruction, and in the end our record and its books say the same."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from tallystick.flows.payments.idempotency import Reply
from tallystick.flows.runtime import Runtime
from tallystick.settings.load import Settings
from tests.support.database import DEEP, Database
from tests.support.faulty_proxy import CHARGED, Fault, FaultyProxy, Passage, faulty_proxy
from tests.support.pairs import pairs
from tests.support.stripe.client import (
    DELIVERY_DELAY_MS,
    PATIENT,
    SETTINGS,
    Shop,
    charged,
    recorded,
    settled,
    stripe_runtime,
)
from tests.support.stripe.localstripe import DECLINED, LocalStripe

#: Each fault that a request can meet.
FAULTS = [fault for fault in Fault if fault is not Fault.NONE]

#: What creates meet side by side, for ever. A create that arrives is never sent again, so that without depth those that
#: keep it from arriving are enough.
FOR_EVER = [[fault] for fault in FAULTS] if DEEP else [[fault for fault in FAULTS if fault not in CHARGED]]

#: The request of each operation, as the proxy sees it.
REQUESTS = {
    "authorize": "POST /v1/payment_intents",
    "capture": "POST /v1/payment_intents/[^/]+/capture",
    "cancel": "POST /v1/payment_intents/[^/]+/cancel",
    "refund": "POST /v1/refunds",
}


@pytest.fixture
async def proxy(bank: LocalStripe) -> AsyncIterator[FaultyProxy]:
    # When even a look-up of the impatient would have come and gone, and within the bound.
    late_s = (SETTINGS.send_window_ms + SETTINGS.provider_request_timeout_ms) / 1000 + 0.3
    assert late_s * 1000 < DELIVERY_DELAY_MS
    async with faulty_proxy(bank.port, late_s=late_s) as running:
        yield running


@pytest.fixture
async def runtime(database: Database, proxy: FaultyProxy, fault: Fault) -> AsyncIterator[Runtime]:
    async with stripe_runtime(database, proxy.url, settings_for(fault)) as running:
        yield running


def settings_for(fault: Fault) -> Settings:
    """Hurried only where there is something to wait for in vain."""
    if fault is Fault.LATE:  # a busy machine is later than late, and nobody waits for the bound: it is found before
        return replace(SETTINGS, max_delivery_delay_ms=20 * DELIVERY_DELAY_MS)
    return SETTINGS if fault not in CHARGED or fault is Fault.TIMEOUT_CHARGED else PATIENT


@pytest.mark.parametrize(("fault", "partly"), pairs(FAULTS, {"whole": False, "part": True}))
async def test_each_instruction(
    runtime: Runtime, proxy: FaultyProxy, bank: LocalStripe, fresh_merchant: str, fault: Fault, partly: bool
) -> None:
    """Side by side: they wait for the same time to pass. A create is declined as well; the other one is held where the
    rest is for a part."""
    shop = Shop(runtime, fresh_merchant)
    held, dropped, paid = [await shop.charge(f"before-{number}", manual=number < 2) for number in range(3)]
    for request in (*REQUESTS.values(), REQUESTS["authorize"]):
        proxy.script(request, fault)
    before = len(proxy.seen)
    created, declined, captured, canceled, refund = await asyncio.gather(
        shop.charge("create", manual=partly),
        shop.charge("decline", payment_method=DECLINED),
        shop.until_final(lambda: shop.capture("capture", held["id"], 600 if partly else None)),
        shop.until_final(lambda: shop.cancel("cancel", dropped["id"])),
        shop.until_final(lambda: shop.refund("refund", paid["id"], 300 if partly else None)),
    )

    sent: dict[str, list[bool]] = {request: [] for request in REQUESTS}
    for passage in proxy.seen[before:]:
        if passage.method == "POST":
            sent[_request_of(passage)].append(passage.fault in CHARGED)
    for request, executed in sent.items():
        once = [True] if fault in CHARGED else [False, True]
        expected = sorted(once * (2 if request == "authorize" else 1))
        assert executed == expected, f"{request}: sent again only after proof that nothing had happened"

    assert await settled(runtime, proxy, bank, shop, created["id"]) == {
        "state": "authorized" if partly else "captured",
        "captured": 0 if partly else 1_000,
        "refunded": 0,
        "pending": 0,
    }
    assert len(charged(bank, created["id"])) == 1
    assert (declined["state"], declined["failure"]["code"]) == ("declined", "card_declined")
    assert charged(bank, declined["id"]) == []

    taken = 600 if partly else 1_000
    assert captured["state"] == "captured"
    assert await recorded(runtime, shop, held["id"]) == {
        "state": "captured",
        "captured": taken,
        "refunded": 0,
        "pending": 0,
    }
    released = [each["amount"] for each in bank.refunds(held["provider_reference"])]
    assert released == ([400] if partly else []), "which is no refund"

    assert canceled["state"] == "canceled"
    assert charged(bank, dropped["id"]) == []

    back = 300 if partly else 1_000
    assert refund["state"] == "succeeded"
    assert await recorded(runtime, shop, paid["id"]) == {
        "state": "captured",
        "captured": 1_000,
        "refunded": back,
        "pending": 0,
    }
    assert [each["amount"] for each in bank.refunds(paid["provider_reference"])] == [back]


def _request_of(passage: Passage) -> str:
    said = f"{passage.method} {passage.path}"
    return next(name for name, request in REQUESTS.items() if re.fullmatch(request, said))


@pytest.mark.parametrize("faults", FOR_EVER, ids="+".join)
async def test_creates_when_it_never_gets_better(
    database: Database, proxy: FaultyProxy, bank: LocalStripe, fresh_merchant: str, faults: list[Fault]
) -> None:
    proxy.script(REQUESTS["authorize"], *faults, times=100)
    happens = faults[0] in CHARGED
    settings = settings_for(faults[0]) if happens else replace(SETTINGS, resubmit_limit=1)
    async with stripe_runtime(database, proxy.url, settings) as runtime:
        shop = Shop(runtime, fresh_merchant)
        payments = await asyncio.gather(*(shop.charge(f"key-{number}") for number, _ in enumerate(faults)))
        for payment in payments:
            assert payment["state"] == ("captured" if happens else "failed")
            assert len(charged(bank, payment["id"])) == (1 if happens else 0)
            await settled(runtime, proxy, bank, shop, payment["id"])


@pytest.mark.parametrize("operation", ["authorize", "capture", "cancel", "refund"])
@pytest.mark.parametrize("comes_back", [True, False], ids=["for_a_while", "for_good"])
async def test_a_refused_connection(
    database: Database, proxy: FaultyProxy, bank: LocalStripe, fresh_merchant: str, operation: str, comes_back: bool
) -> None:
    """Nothing is sent, which is known at once; where it stays so the instruction ends as failed."""
    async with stripe_runtime(database, proxy.url, replace(SETTINGS, resubmit_limit=5)) as runtime:
        shop = Shop(runtime, fresh_merchant)
        payment: dict[str, Any] = {}
        if operation != "authorize":
            payment = await shop.charge("create", manual=operation != "refund")

        async def send() -> Reply:
            match operation:
                case "authorize":
                    return await shop.create("key")
                case "capture":
                    return await shop.capture("key", payment["id"])
                case "cancel":
                    return await shop.cancel("key", payment["id"])
            return await shop.refund("key", payment["id"])

        await proxy.stop()
        assert (await send()).status == 202
        if comes_back:
            await proxy.start()
        after = await shop.until_final(send)
        happens = {"authorize": "captured", "capture": "captured", "cancel": "canceled", "refund": "succeeded"}
        not_at_all = {"authorize": "failed", "capture": "authorized", "cancel": "authorized", "refund": "failed"}
        assert after["state"] == (happens if comes_back else not_at_all)[operation]
        if not comes_back:
            assert after["failure"]["code"] == "provider_unreachable"
            await proxy.start()
        await settled(runtime, proxy, bank, shop, after["id"] if operation == "authorize" else payment["id"])
