"""Instructions through the real door to localstripe, and its books beside ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, cast

import asyncpg

from tallystick.domain.requests.commands import CreatePayment
from tallystick.domain.subjects import Payment
from tallystick.flows.assembly import open_runtime
from tallystick.flows.payments import instructions
from tallystick.flows.payments.idempotency import Reply
from tallystick.flows.runtime import Runtime
from tallystick.oversight.invariants import tally, verify
from tallystick.providers.stripe.objects import ATTEMPT, MERCHANT, PAYMENT
from tallystick.providers.stripe.setup import StripeSettings
from tallystick.settings.load import Settings
from tests.support.database import Database
from tests.support.faulty_proxy import FaultyProxy
from tests.support.polling import eventually_async
from tests.support.runtime import HURRIED, Client, is_final, read
from tests.support.stripe.localstripe import API_KEY, GOOD, LocalStripe
from tests.support.work import working

#: What is still open after this has not converged: far above the sum of the time-outs below.
CONVERGENCE_S = 120

#: How long a request may be under way.
DELIVERY_DELAY_MS = 1_200

#: Where answers never come, or the proof that nothing happened is waited for; as many look-ups as fit into that, and
#: as many tries as a busy machine spends.
SETTINGS = replace(
    HURRIED,
    send_window_ms=400,
    provider_request_timeout_ms=400,
    provider_connect_timeout_ms=2_000,
    max_delivery_delay_ms=DELIVERY_DELAY_MS,
    recovery_interval_ms=50,
    recovery_checks_limit=100,
    resubmit_limit=5,
    # Faults are the rule here: a circuit that opened would only spare the provider what the tests are about.
    provider_circuit_calls=1_000_000,
).with_connector(StripeSettings, api_key=API_KEY)

#: Where every answer comes: whatever the machine is busy with, it is heard.
PATIENT = replace(
    SETTINGS,
    send_window_ms=60_000,
    provider_request_timeout_ms=60_000,
    provider_connect_timeout_ms=20_000,
    max_delivery_delay_ms=120_000,
)


@asynccontextmanager
async def stripe_runtime(database: Database, url: str, settings: Settings = SETTINGS) -> AsyncIterator[Runtime]:
    """A runtime whose Stripe is at ``url``, with recovery at work."""
    own = settings.with_connector(StripeSettings, api_url=url)
    async with open_runtime(own, database.app_url) as runtime, working(runtime, "recovery"):
        yield runtime


class Shop(Client):
    """A client of the runtime that pays with Stripe, and waits for final answers."""

    async def create(self, key: str, amount: int = 1_000, *, manual: bool = False, **other: Any) -> Reply:
        command = CreatePayment(
            amount=amount,
            currency="EUR",
            payment_method=other.get("payment_method", GOOD),
            capture_method="manual" if manual else "automatic",
            provider="stripe",
            description=None,
            metadata={},
        )
        body = {"amount": amount, "manual": manual} | other
        instruction = self.instruction(key, "POST /v1/payments", "/v1/payments", body)
        return await instructions.create_payment(self.runtime, instruction, command, "stripe")

    async def until_final(self, send: Callable[[], Awaitable[Reply]]) -> dict[str, Any]:
        """Send the same instruction again until it has an outcome."""
        return read(await eventually_async(send, until=is_final, within_s=CONVERGENCE_S, interval_s=0.05))

    async def settled(self, payment_id: str, state: str) -> Payment:
        """The stored payment, once it has come to a state."""

        async def look() -> Payment | None:
            found = await self.runtime.reads.payment(self.merchant_id, payment_id)
            return found[0] if found else None

        payment = await eventually_async(
            look, until=lambda payment: payment is not None and payment.state == state, within_s=CONVERGENCE_S
        )
        assert payment is not None
        return payment

    async def closed(self, payment_id: str) -> None:
        """Wait until recovery has closed the charge that the payer could still pay."""

        async def look() -> list[str]:
            loaded = await self.runtime.reads.load(self.merchant_id, payment_id)
            return [each.state for each in loaded.stored.attempts if each.purpose == "close"] if loaded else []

        await eventually_async(look, until=lambda states: states == ["approved"], within_s=CONVERGENCE_S)

    async def charge(self, key: str, *, manual: bool = False, **other: Any) -> dict[str, Any]:
        """A payment with its outcome."""
        return await self.until_final(lambda: self.create(key, manual=manual, **other))


def charged(bank: LocalStripe, payment_id: str) -> list[dict[str, Any]]:
    """The PaymentIntents that hold or took money for a payment."""
    moved = ("succeeded", "requires_capture", "processing")
    return [intent for intent in bank.intents(**{PAYMENT: payment_id}) if intent["status"] in moved]


async def settled(
    runtime: Runtime, proxy: FaultyProxy, bank: LocalStripe, shop: Shop, payment_id: str
) -> dict[str, Any]:
    """At most one charge, and nothing that the two books disagree about; the payment as our record has it."""
    await proxy.settled()
    assert len(await asyncio.to_thread(charged, bank, payment_id)) <= 1
    assert await differences(runtime, bank, shop.merchant_id) == []
    return await recorded(runtime, shop, payment_id)


async def recorded(runtime: Runtime, shop: Shop, payment_id: str) -> dict[str, Any]:
    """A payment as our record has it."""
    found = await runtime.reads.payment(shop.merchant_id, payment_id)
    assert found is not None
    payment = found[0]
    return {
        "state": payment.state,
        "captured": payment.amount_captured,
        "refunded": payment.amount_refunded,
        "pending": payment.amount_refund_pending,
    }


async def differences(runtime: Runtime, bank: LocalStripe, merchant_id: str) -> list[str]:
    """What differs between our record and theirs, of one merchant."""
    charges = await asyncio.to_thread(_charges, bank, merchant_id)

    async def listed() -> AsyncIterator[dict[str, Any]]:
        for charge in charges:
            yield charge

    async with runtime.pool.acquire() as pooled:
        connection = cast(asyncpg.Connection, pooled)
        beside = await tally(connection, listed(), "stripe", merchant_id=merchant_id)
        alone = await verify(connection, settings=runtime.settings, merchant_id=merchant_id)
    assert beside.checked["open"] == 0, "nothing is on its way any more"
    return [violation.detail for violation in (*beside.violations, *alone.violations)]


def _charges(bank: LocalStripe, merchant_id: str) -> list[dict[str, Any]]:
    """PaymentIntents as the tally reads charges. A refund that carries no attempt of ours is what a capture left."""
    found = []
    for intent in bank.intents(**{MERCHANT: merchant_id}):
        refunds = bank.refunds(intent["id"]) if intent["latest_charge"] else []
        ours = [refund for refund in refunds if ATTEMPT in refund["metadata"]]
        released = sum(refund["amount"] for refund in refunds) - sum(refund["amount"] for refund in ours)
        captured = intent["amount"] - released if intent["status"] == "succeeded" else 0
        attempts = [intent["metadata"][ATTEMPT], *(refund["metadata"][ATTEMPT] for refund in ours)]
        found.append(
            {
                "id": intent["id"],
                "payment_id": intent["metadata"][PAYMENT],
                "merchant_id": merchant_id,
                "attempt_ids": attempts,
                "amount": intent["amount"],
                "currency": intent["currency"].upper(),
                "authorized": intent["amount"] if intent["status"] in ("succeeded", "requires_capture") else 0,
                "captured": captured,
                "refunded": sum(refund["amount"] for refund in ours),
            }
        )
    return found
