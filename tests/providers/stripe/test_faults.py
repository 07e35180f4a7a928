"""Everything that can go wrong between us and a Stripe that forgets idempotency keys: at most one charge for each
instruction, and in the end our record and its books say the same."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from tallystick.flows.payments.idempotency import Reply
from tallystick.flows.runtime import Runtime
from tallystick.settings.load import Settings
from tests.support.database import Database
from tests.support.faulty_proxy import CHARGED, Fault, FaultyProxy, faulty_proxy
from tests.support.pairs import pairs
from tests.support.stripe.client import DELIVERY_DELAY_MS, PATIENT, SETTINGS, Shop, charged, settled, stripe_runtime
from tests.support.stripe.localstripe import DECLINED, LocalStripe

#: Each fault that a request can meet.
FAULTS = [fault for fault in Fault if fault is not Fault.NONE]

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


@pytest.mark.parametrize(("fault", "manual"), pairs(FAULTS, {"automatic": False, "manual": True}))
async def test_authorize(
    runtime: Runtime, proxy: FaultyProxy, bank: LocalStripe, fresh_merchant: str, fault: Fault, manual: bool
) -> None:
    proxy.script(REQUESTS["authorize"], fault)
    shop = Shop(runtime, fresh_merchant)
    payment = await shop.charge("key", manual=manual)
    assert payment["state"] == ("authorized" if manual else "captured")
    assert await settled(runtime, proxy, bank, shop, payment["id"]) == {
        "state": payment["state"],
        "captured": 0 if manual else 1_000,
        "refunded": 0,
        "pending": 0,
    }
    assert len(charged(bank, payment["id"])) == 1
    sent = [passage for passage in proxy.seen if passage.method == "POST"]
    executed = [passage.fault in CHARGED for passage in sent]
    assert executed == [False] * (len(sent) - 1) + [True], "sent again only after proof that nothing had happened"
    assert len(sent) == (1 if fault in CHARGED else 2)


@pytest.mark.parametrize("fault", FAULTS)
async def test_authorize_when_it_never_gets_better(
    database: Database, proxy: FaultyProxy, bank: LocalStripe, fresh_merchant: str, fault: Fault
) -> None:
    proxy.script(REQUESTS["authorize"], fault, times=100)
    happens = fault in CHARGED
    settings = settings_for(fault) if happens else replace(SETTINGS, resubmit_limit=1)
    async with stripe_runtime(database, proxy.url, settings) as runtime:
        shop = Shop(runtime, fresh_merchant)
        payment = await shop.charge("key")
        assert payment["state"] == ("captured" if happens else "failed")
        assert len(charged(bank, payment["id"])) == (1 if happens else 0)
        await settled(runtime, proxy, bank, shop, payment["id"])


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_decline(
    runtime: Runtime, proxy: FaultyProxy, bank: LocalStripe, fresh_merchant: str, fault: Fault
) -> None:
    proxy.script(REQUESTS["authorize"], fault)
    shop = Shop(runtime, fresh_merchant)
    payment = await shop.charge("key", payment_method=DECLINED)
    assert (payment["state"], payment["failure"]["code"]) == ("declined", "card_declined")
    assert charged(bank, payment["id"]) == []
    await settled(runtime, proxy, bank, shop, payment["id"])


@pytest.mark.parametrize(("fault", "amount"), pairs(FAULTS, {"full": None, "partial": 600}))
async def test_capture(
    runtime: Runtime, proxy: FaultyProxy, bank: LocalStripe, fresh_merchant: str, fault: Fault, amount: int | None
) -> None:
    proxy.script(REQUESTS["capture"], fault)
    shop = Shop(runtime, fresh_merchant)
    payment = await shop.charge("create", manual=True)
    after = await shop.until_final(lambda: shop.capture("capture", payment["id"], amount))
    assert after["state"] == "captured"
    taken = amount or 1_000
    ours = await settled(runtime, proxy, bank, shop, payment["id"])
    assert ours == {"state": "captured", "captured": taken, "refunded": 0, "pending": 0}
    released = [refund["amount"] for refund in bank.refunds(payment["provider_reference"])]
    assert released == ([] if amount is None else [400]), "which is no refund"


@pytest.mark.parametrize("fault", FAULTS)
async def test_cancel(
    runtime: Runtime, proxy: FaultyProxy, bank: LocalStripe, fresh_merchant: str, fault: Fault
) -> None:
    proxy.script(REQUESTS["cancel"], fault)
    shop = Shop(runtime, fresh_merchant)
    payment = await shop.charge("create", manual=True)
    after = await shop.until_final(lambda: shop.cancel("cancel", payment["id"]))
    assert after["state"] == "canceled"
    await settled(runtime, proxy, bank, shop, payment["id"])
    assert charged(bank, payment["id"]) == []


@pytest.mark.parametrize(("fault", "amount"), pairs(FAULTS, {"full": None, "partial": 300}))
async def test_refund(
    runtime: Runtime, proxy: FaultyProxy, bank: LocalStripe, fresh_merchant: str, fault: Fault, amount: int | None
) -> None:
    proxy.script(REQUESTS["refund"], fault)
    shop = Shop(runtime, fresh_merchant)
    payment = await shop.charge("create")
    refund = await shop.until_final(lambda: shop.refund("refund", payment["id"], amount))
    assert refund["state"] == "succeeded"
    ours = await settled(runtime, proxy, bank, shop, payment["id"])
    assert ours == {"state": "captured", "captured": 1_000, "refunded": amount or 1_000, "pending": 0}
    assert [refund["amount"] for refund in bank.refunds(payment["provider_reference"])] == [amount or 1_000]


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
