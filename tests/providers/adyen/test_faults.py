"""What goes wrong between us and a provider that cannot be asked: the same request again, with the same key, is the
question. One effect in its books, and in the end our record and they say the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from tallystick.flows.payments.idempotency import Reply
from tallystick.flows.recovery.worker import RecoveryWorker
from tallystick.flows.runtime import Runtime
from tallystick.kit.clock import Clock
from tallystick.record.postgres.recovery_schedule import RecoverySchedule
from tests.support.adyen.client import PATIENT, SETTINGS, Shop, adyen_runtime
from tests.support.adyen.process import FakeAdyen, token
from tests.support.database import Database
from tests.support.faulty_proxy import CHARGED, SILENT, Fault, FaultyProxy, faulty_proxy
from tests.support.pairs import pairs
from tests.support.polling import eventually_async
from tests.support.runtime import read

#: Each fault that a request can meet.
FAULTS = [fault for fault in Fault if fault is not Fault.NONE]

PAYMENTS = "POST /v72/payments"


@pytest.fixture
async def proxy(bank: FakeAdyen) -> AsyncIterator[FaultyProxy]:
    async with faulty_proxy(bank.port, late_s=SETTINGS.provider_request_timeout_ms / 1000 + 0.4) as running:
        yield running


@pytest.fixture
async def runtime(database: Database, proxy: FaultyProxy, fault: Fault) -> AsyncIterator[Runtime]:
    async with adyen_runtime(database, proxy.url, SETTINGS if fault in SILENT else PATIENT) as running:
        yield running


@pytest.fixture
def shop(runtime: Runtime, fresh_merchant: str, database: Database, bank: FakeAdyen) -> Shop:
    return Shop(runtime, fresh_merchant, database, bank)


@pytest.mark.parametrize(("fault", "manual"), pairs(FAULTS, {"automatic": False, "manual": True}))
async def test_each_instruction(shop: Shop, proxy: FaultyProxy, bank: FakeAdyen, fault: Fault, manual: bool) -> None:
    """Side by side: they wait for the same time to pass. A create is declined as well."""
    done = {"capture": "captured", "cancel": "canceled", "refund": "succeeded"}
    of = {
        operation: (await shop.charge(f"before-{operation}", manual=operation != "refund"))["id"] for operation in done
    }
    proxy.script(PAYMENTS, fault, times=2)
    for operation in done:
        proxy.script(f"{PAYMENTS}/[^/]+/{operation}s", fault)
    before = len(proxy.seen)

    async def send(operation: str) -> Reply:
        return await getattr(shop, operation)(operation, of[operation])  # type: ignore[no-any-return]  # by its name

    async def received() -> bool:
        return [(await shop.attempt_states(of[operation]))[operation] for operation in done] == ["pending"] * len(done)

    created, declined, *_ = await asyncio.gather(
        shop.until_final(lambda: shop.create("create", manual=manual), told=False),
        shop.until_final(lambda: shop.create("decline", payment_method=token("NOBALANCE")), told=False),
        *(send(operation) for operation in done),
    )
    await shop.until(received)
    await proxy.settled()
    assert created["state"] == ("authorized" if manual else "captured")
    assert (declined["state"], declined["failure"]["code"]) == ("declined", "insufficient_funds")
    assert len(bank.books("payment", shop.merchant_id)) == len(done) + 2
    assert len(bank.books("modification", shop.merchant_id)) == len(done)
    sent = [passage for passage in proxy.seen[before:] if passage.path == PAYMENTS.removeprefix("POST ")]
    assert len(sent) == 2 * (1 if fault is Fault.SLOW else 2)
    assert sorted(await shop.told()) == [
        ("AUTHORISATION", "duplicate_effect"),
        ("AUTHORISATION", "duplicate_effect"),
        ("CANCELLATION", "applied"),
        ("CAPTURE", "applied"),
        ("REFUND", "applied"),
    ]
    assert {operation: read(await send(operation))["state"] for operation in done} == done
    assert await shop.differences() == []


@pytest.mark.parametrize("fault", [Fault.TIMEOUT_CHARGED, Fault.RESET_CHARGED, Fault.ERROR_CHARGED])
async def test_the_notification_is_first(
    database: Database, proxy: FaultyProxy, bank: FakeAdyen, fresh_merchant: str, fault: Fault
) -> None:
    """Where every answer is lost, what Adyen tells settles it: from the in-doubt lane as well."""
    proxy.script(PAYMENTS, fault, times=100)
    async with adyen_runtime(database, proxy.url, replace(SETTINGS, resubmit_limit=1)) as runtime:
        shop = Shop(runtime, fresh_merchant, database, bank)
        payment = read(await shop.create("key"))
        await shop.until(lambda: is_parked(runtime, payment["id"]))
        await asyncio.sleep(0.3)  # rounds of recovery in which a third request would be sent
        assert len(proxy.seen) == 2, "sent again as often as the bound says, and no more"
        assert (await shop.attempt_states(payment["id"]))["authorize"] == "unknown"
        assert await shop.told() == [("AUTHORISATION", "applied")]
        assert (await shop.stored(payment["id"])).state == "captured"
        assert await shop.differences() == []


@pytest.mark.parametrize("fault", [Fault.TIMEOUT_CHARGED, Fault.TIMEOUT_NOT_CHARGED])
async def test_what_was_in_doubt_once_is_not_given_up(
    database: Database, proxy: FaultyProxy, bank: FakeAdyen, fresh_merchant: str, fault: Fault
) -> None:
    """The first request may have had its effect: that a later one could not be sent proves nothing of it."""
    proxy.script(PAYMENTS, fault)
    async with adyen_runtime(database, proxy.url, replace(SETTINGS, resubmit_limit=2)) as runtime:
        shop = Shop(runtime, fresh_merchant, database, bank)
        payment = read(await shop.create("key"))
        await proxy.stop()
        await shop.until(lambda: is_parked(runtime, payment["id"]))
        assert (await shop.stored(payment["id"])).state == "authorizing"
        assert len(bank.books("payment", fresh_merchant)) == (fault in CHARGED)
        assert await shop.told() == ([("AUTHORISATION", "applied")] if fault in CHARGED else [])


async def test_a_connection_that_is_refused_from_the_start(
    database: Database, proxy: FaultyProxy, bank: FakeAdyen, fresh_merchant: str
) -> None:
    """Nothing was ever sent, and that is known."""
    await proxy.stop()
    async with adyen_runtime(database, proxy.url, replace(SETTINGS, resubmit_limit=1)) as runtime:
        shop = Shop(runtime, fresh_merchant, database, bank)
        payment = await shop.until_final(lambda: shop.create("key"), told=False)
        assert (payment["state"], payment["failure"]["code"]) == ("failed", "provider_unreachable")
        assert await shop.differences() == []


async def test_a_key_that_is_too_old_is_not_sent_again(
    database: Database, proxy: FaultyProxy, bank: FakeAdyen, fresh_merchant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy.script(PAYMENTS, Fault.TIMEOUT_CHARGED)
    monkeypatch.setattr("tallystick.providers.adyen.setup.KEY_LIFETIME_MS", 100)
    async with adyen_runtime(database, proxy.url) as runtime:
        shop = Shop(runtime, fresh_merchant, database, bank)
        payment = read(await shop.create("key"))
        await shop.until(lambda: is_parked(runtime, payment["id"]))
        assert len(proxy.seen) == 1
        assert await shop.told() == [("AUTHORISATION", "applied")]


async def test_what_is_pending_is_not_asked_about(
    database: Database, proxy: FaultyProxy, bank: FakeAdyen, fresh_merchant: str
) -> None:
    settings = replace(PATIENT, recovery_backoff_cap_ms=600_000)
    async with adyen_runtime(database, proxy.url, settings) as runtime:
        shop = Shop(runtime, fresh_merchant, database, bank)
        payment = await shop.charge("create", manual=True)
        await shop.capture("then", payment["id"])
        looked = "SELECT checks FROM attempt WHERE payment_id = $1 AND operation = 'capture'"
        # The worker of this runtime looks once. Its lease means nothing to one whose clock is two minutes ahead.
        await eventually_async(lambda: runtime.pool.fetchval(looked, payment["id"]), until=lambda checks: checks == 1)
        deadline_ms = settings.send_window_ms + settings.provider_request_timeout_ms
        later = RecoveryWorker(runtime, RecoverySchedule(runtime.pool, Clock(deadline_ms + 1_000)))
        for _ in range(5):
            await later.round()
        assert await runtime.pool.fetchval(looked, payment["id"]) == 1, "the next look after its deadline is a cap away"
        assert len(proxy.seen) == 2
        assert await shop.told() == [("CAPTURE", "applied")]


async def test_a_bad_day(database: Database, proxy: FaultyProxy, bank: FakeAdyen, fresh_merchant: str) -> None:
    """Every second request meets some fault."""
    faults = [FAULTS[number % len(FAULTS)] if number % 2 else Fault.NONE for number in range(400)]
    proxy.choose = lambda *_: faults.pop()
    async with adyen_runtime(database, proxy.url, replace(SETTINGS, resubmit_limit=10)) as runtime:
        shop = Shop(runtime, fresh_merchant, database, bank)

        async def life(number: int) -> dict[str, Any]:
            manual = number % 2 == 0
            payment = await shop.until_final(lambda: shop.create(f"create-{number}", manual=manual), told=False)
            if manual:
                return await shop.until_final(lambda: shop.capture(f"then-{number}", payment["id"], 600))
            return await shop.until_final(lambda: shop.refund(f"then-{number}", payment["id"], 300))

        ended = await asyncio.gather(*(life(number) for number in range(8)))
        assert {one["state"] for one in ended} == {"captured", "succeeded"}
        await proxy.settled()
        await shop.told()
        assert len(bank.books("payment", fresh_merchant)) == 8
        assert len(bank.books("modification", fresh_merchant)) == 8
        assert await shop.differences() == []


async def is_parked(runtime: Runtime, payment_id: str) -> bool:
    """Whether a person was called."""
    found = await runtime.pool.fetchval(
        "SELECT count(*) FROM attempt WHERE payment_id = $1 AND parked_at IS NOT NULL", payment_id
    )
    return bool(found)
