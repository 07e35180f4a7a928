"""Stripe's events through the inbox to the record: localstripe's state, told by events in Stripe's own shapes."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

import asyncpg
import pytest

from tallystick.flows.assembly import open_runtime
from tallystick.flows.runtime import Runtime
from tallystick.flows.webhooks.inbound.envelope import envelope_of
from tallystick.kit.ids import new_id
from tallystick.oversight.invariants import verify
from tallystick.providers.stripe.receiver import StripeReceiver
from tallystick.providers.stripe.setup import StripeSettings
from tests.support.database import Database
from tests.support.faulty_proxy import Fault, FaultyProxy, faulty_proxy
from tests.support.inbox import WEBHOOK_SETTINGS, accept, drain, states
from tests.support.runtime import read
from tests.support.screen import SCREEN
from tests.support.stripe.client import SETTINGS, Shop, differences
from tests.support.stripe.events import read as shape
from tests.support.stripe.localstripe import LocalStripe

SECRET = "whsec_inbox"


@pytest.fixture
async def proxy(bank: LocalStripe) -> AsyncIterator[FaultyProxy]:
    async with faulty_proxy(bank.port) as running:
        yield running


@pytest.fixture
async def runtime(database: Database, proxy: FaultyProxy) -> AsyncIterator[Runtime]:
    """No recovery here: what is learned is learned from events."""
    settings = replace(
        SETTINGS,
        send_window_ms=60_000,
        provider_request_timeout_ms=60_000,
        provider_connect_timeout_ms=20_000,
        **{name: getattr(WEBHOOK_SETTINGS, name) for name in ("webhook_tries_limit", "webhook_backoff_base_ms")},
        webhook_backoff_cap_ms=WEBHOOK_SETTINGS.webhook_backoff_cap_ms,
        webhook_interval_ms=WEBHOOK_SETTINGS.webhook_interval_ms,
    )
    settings = settings.with_connector(StripeSettings, api_url=proxy.url)
    async with open_runtime(settings, database.app_url) as running:
        yield running


class Stripe:
    """Sends events about what localstripe holds, signed, in the shapes of ``events/``."""

    def __init__(self, runtime: Runtime, database: Database) -> None:
        self._runtime = runtime
        self._database = database
        self._receiver = StripeReceiver("main", [SECRET])

    async def tell(self, name: str, **thing: Any) -> str:
        """Deliver the event and process it; its disposition."""
        event = shape(name) | {"id": new_id("evt")}
        event["data"]["object"] |= thing
        return await self.deliver(event)

    async def deliver(self, event: dict[str, Any]) -> str:
        body, now = json.dumps(event).encode(), datetime.now(UTC)
        at = int(now.timestamp())
        signature = hmac.new(SECRET.encode(), b"%d.%s" % (at, body), hashlib.sha256).hexdigest()
        headers = {"stripe-signature": f"t={at},v1={signature}"}
        [notification] = self._receiver.receive(body, headers, now)
        await accept(self._database, [envelope_of(self._receiver, notification, body, headers, now, SCREEN)])
        await drain(self._runtime)
        return (await states(self._runtime))[event["id"]]


@pytest.fixture
def stripe(runtime: Runtime, database: Database) -> Stripe:
    return Stripe(runtime, database)


def about(intent: dict[str, Any]) -> dict[str, Any]:
    """What an event says of a PaymentIntent, beside its state."""
    return {name: intent[name] for name in ("id", "metadata", "amount", "currency")}


async def test_an_event_tells_what_the_answer_could_not(
    runtime: Runtime, proxy: FaultyProxy, bank: LocalStripe, stripe: Stripe, fresh_merchant: str
) -> None:
    proxy.script("POST /v1/payment_intents", Fault.RESET_CHARGED)
    shop = Shop(runtime, fresh_merchant)
    payment = read(await shop.create("key"))
    assert payment["in_doubt"]
    [intent] = bank.intents(tallystick_payment=payment["id"])
    said = about(intent) | {"amount_received": 1_000}
    assert await stripe.tell("payment_intent.succeeded", **said) == "applied"
    assert await stripe.tell("payment_intent.succeeded", **said) == "duplicate_effect", "another event, one change"
    assert await stripe.tell("charge.succeeded", payment_intent=intent["id"], metadata=intent["metadata"]) == (
        "unknown_type"
    )
    after = await shop.settled(payment["id"], "captured")
    assert (after.amount_captured, after.provider_reference) == (1_000, intent["id"])
    assert await differences(runtime, bank, fresh_merchant) == []


async def test_a_partial_capture_and_what_it_released(
    runtime: Runtime, proxy: FaultyProxy, bank: LocalStripe, stripe: Stripe, fresh_merchant: str
) -> None:
    shop = Shop(runtime, fresh_merchant)
    payment = await shop.charge("key", manual=True)
    proxy.script("POST /v1/payment_intents/[^/]+/capture", Fault.RESET_CHARGED)
    await shop.capture("capture", payment["id"], 600)
    [intent] = bank.intents(tallystick_payment=payment["id"])
    assert await stripe.tell("payment_intent.succeeded.partial", **about(intent)) == "applied"
    [released] = bank.refunds(intent["id"])
    assert await stripe.deliver(shape("refund.created") | {"id": new_id("evt"), "data": {"object": released}}) == (
        "unknown_type"
    )
    after = await shop.settled(payment["id"], "captured")
    assert (after.amount_captured, after.amount_refunded) == (600, 0)
    assert await differences(runtime, bank, fresh_merchant) == []


async def test_a_refund_and_its_late_failure(
    runtime: Runtime, proxy: FaultyProxy, bank: LocalStripe, stripe: Stripe, fresh_merchant: str
) -> None:
    shop = Shop(runtime, fresh_merchant)
    payment = await shop.charge("key")
    proxy.script("POST /v1/refunds", Fault.RESET_CHARGED)
    await shop.refund("refund", payment["id"], 400)
    [refund] = bank.refunds(payment["provider_reference"])
    said = {name: refund[name] for name in ("id", "payment_intent", "metadata")}
    assert await stripe.tell("refund.created", **said) == "applied"
    after = await shop.settled(payment["id"], "captured")
    assert (after.amount_refunded, after.amount_refund_pending) == (400, 0)
    assert await differences(runtime, bank, fresh_merchant) == []
    assert await stripe.tell("refund.failed", **said) == "applied", "weeks later"
    back = await shop.settled(payment["id"], "captured")
    assert (back.amount_refunded, back.amount_refund_pending) == (0, 0)


async def test_a_dispute_names_the_charge_by_its_reference_alone(
    runtime: Runtime, stripe: Stripe, fresh_merchant: str
) -> None:
    payment = await Shop(runtime, fresh_merchant).charge("key")
    said = {"payment_intent": payment["provider_reference"], "id": new_id("dp")}
    assert await stripe.tell("charge.dispute.created", **said) == "applied"
    assert await stripe.tell("charge.dispute.funds_withdrawn", **said) == "applied"
    assert await stripe.tell("charge.dispute.closed.lost", **said) == "applied"
    loaded = await runtime.reads.load(fresh_merchant, payment["id"])
    assert loaded is not None
    assert [dispute.state for dispute in loaded.stored.disputes] == ["lost"]


async def test_money_that_moves_again_and_again_after_the_verdict(
    runtime: Runtime, stripe: Stripe, fresh_merchant: str
) -> None:
    """Each movement is posted once: by the first event that lists it, and not by those that list it again."""
    payment = await Shop(runtime, fresh_merchant).charge("key")
    said: dict[str, Any] = {"payment_intent": payment["provider_reference"], "id": new_id("dp")}
    amounts = (-1_000, 1_000, -1_000, 1_000, -1_000)
    moved = [{"id": f"txn_{number}", "amount": each, "currency": "eur"} for number, each in enumerate(amounts)]
    course: tuple[tuple[str, int, dict[str, Any], int], ...] = (
        ("charge.dispute.funds_withdrawn", 1, {}, 0),
        ("charge.dispute.closed.won", 2, {}, 0),
        ("charge.dispute.funds_withdrawn", 3, {"status": "won"}, -1_000),
        ("charge.dispute.funds_reinstated", 4, {}, 0),
        ("charge.dispute.funds_withdrawn", 5, {"status": "won"}, -1_000),
    )
    for name, count, status, suspense in course:
        listed = {"balance_transactions": moved[:count]}
        assert await stripe.tell(name, **said, **status, **listed) == "applied"
        assert await stripe.tell(name, **said, **status, **listed) == "duplicate_effect"
        assert await stripe.tell("charge.dispute.updated", **said, **listed) in ("stale", "duplicate_effect", "applied")
        rows = await runtime.pool.fetch(
            "SELECT debit, amount FROM transfer WHERE merchant_id = $1 AND 'suspense:stripe' IN (debit, credit)",
            fresh_merchant,
        )
        assert sum(row["amount"] * (-1 if row["debit"] == "suspense:stripe" else 1) for row in rows) == suspense
    async with runtime.pool.acquire() as pooled:
        report = await verify(cast(asyncpg.Connection, pooled), settings=runtime.settings, merchant_id=fresh_merchant)
    assert report.violations == ()


async def test_a_refund_from_the_dashboard(runtime: Runtime, stripe: Stripe, fresh_merchant: str) -> None:
    shop = Shop(runtime, fresh_merchant)
    payment = await shop.charge("key")
    said = {"payment_intent": payment["provider_reference"], "id": new_id("re")}
    assert await stripe.tell("refund.created.dashboard", **said) == "applied"
    assert await stripe.tell("refund.created.dashboard", **said) == "duplicate_effect"
    found = await runtime.reads.payment(fresh_merchant, payment["id"])
    assert found is not None
    assert found[0].amount_refunded == 400


async def test_a_hold_that_ran_out(runtime: Runtime, bank: LocalStripe, stripe: Stripe, fresh_merchant: str) -> None:
    shop = Shop(runtime, fresh_merchant)
    payment = await shop.charge("key", manual=True)
    await bank.acall("POST", f"/v1/payment_intents/{payment['provider_reference']}/cancel")
    [intent] = bank.intents(tallystick_payment=payment["id"])
    assert await stripe.tell("payment_intent.canceled.expired", **about(intent)) == "applied"
    await shop.settled(payment["id"], "expired")
    assert await differences(runtime, bank, fresh_merchant) == []
