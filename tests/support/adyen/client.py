"""Instructions through the real door to the fake Adyen, its notifications through the inbox, and its books beside
ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

import asyncpg

from tallystick.domain.requests.commands import CreatePayment
from tallystick.domain.subjects import Payment
from tallystick.flows.assembly import open_runtime
from tallystick.flows.payments import instructions
from tallystick.flows.payments.idempotency import Reply
from tallystick.flows.runtime import Runtime
from tallystick.flows.webhooks.inbound.envelope import envelope_of
from tallystick.oversight.invariants import tally, verify
from tallystick.providers.adyen.receiver import AdyenReceiver
from tallystick.providers.adyen.reference import read_reference
from tallystick.providers.adyen.setup import AdyenSettings
from tallystick.settings.load import Settings
from tests.support.adyen.fake_adyen import API_KEY, HMAC_KEY, MERCHANT_ACCOUNT
from tests.support.adyen.process import FakeAdyen, token
from tests.support.database import Database
from tests.support.inbox import accept, drain
from tests.support.polling import eventually_async
from tests.support.runtime import HURRIED, Client, is_final, read
from tests.support.screen import SCREEN
from tests.support.work import working

#: What is still open after this has not converged: far above the sum of the time-outs below.
CONVERGENCE_S = 120

#: Where answers never come. Every time-out is one more try, so they are as long as a busy machine needs.
SETTINGS = replace(
    HURRIED,
    send_window_ms=60_000,
    provider_request_timeout_ms=1_500,
    provider_connect_timeout_ms=1_500,
    recovery_interval_ms=50,
    resubmit_limit=3,
    webhook_backoff_base_ms=10,
    webhook_backoff_cap_ms=40,
    webhook_interval_ms=10,
    # Faults are the rule here: a circuit that opened would only spare the provider what the tests are about.
    provider_circuit_calls=1_000_000,
).with_connector(AdyenSettings, api_key=API_KEY, merchant_account=MERCHANT_ACCOUNT, hmac_keys=HMAC_KEY)

#: Where every answer comes: whatever the machine is busy with, it is heard.
PATIENT = replace(SETTINGS, provider_request_timeout_ms=60_000, provider_connect_timeout_ms=20_000)


@asynccontextmanager
async def adyen_runtime(database: Database, url: str, settings: Settings = SETTINGS) -> AsyncIterator[Runtime]:
    """A runtime whose Adyen is at ``url``, with recovery at work."""
    own = settings.with_connector(AdyenSettings, api_url=f"{url}/v72")
    async with open_runtime(own, database.app_url) as runtime, working(runtime, "recovery"):
        yield runtime


class Shop(Client):
    """A client of the runtime that pays with Adyen, and takes in what it tells."""

    def __init__(self, runtime: Runtime, merchant_id: str, database: Database, bank: FakeAdyen) -> None:
        super().__init__(runtime, merchant_id)
        self.database = database
        self.bank = bank

    async def create(self, key: str, amount: int = 1_000, *, manual: bool = False, **other: Any) -> Reply:
        command = CreatePayment(
            amount=amount,
            currency=other.get("currency", "EUR"),
            payment_method=other.get("payment_method", token()),
            capture_method="manual" if manual else "automatic",
            provider="adyen",
            description=None,
            metadata={},
        )
        body = {"amount": amount, "manual": manual} | other
        instruction = self.instruction(key, "POST /v1/payments", "/v1/payments", body)
        return await instructions.create_payment(self.runtime, instruction, command, "adyen")

    async def told(self, *codes: str, times: int = 1) -> list[tuple[str, str]]:
        """Everything that Adyen has to tell (of these kinds) arrives and is processed: event and disposition."""
        receiver = AdyenReceiver("main", MERCHANT_ACCOUNT, [HMAC_KEY])
        body, now = await self.bank.tell(*codes, times=times), datetime.now(UTC)
        if b'"notificationItems": []' in body:
            return []
        notifications = receiver.receive(body, {}, now)
        await accept(self.database, [envelope_of(receiver, one, body, {}, now, SCREEN) for one in notifications])
        await drain(self.runtime)
        names = list(dict.fromkeys(one.provider_event_id for one in notifications))
        rows = await self.runtime.pool.fetch(
            "SELECT provider_event_id, state FROM inbox WHERE provider_event_id = ANY($1)", names
        )
        found = {row[0]: row[1] for row in rows}
        return [(name.partition(":")[0], found[name]) for name in names]

    async def until(self, done: Callable[[], Awaitable[bool]]) -> None:
        """Wait for something."""
        await eventually_async(done, within_s=CONVERGENCE_S)

    async def until_final(self, send: Callable[[], Awaitable[Reply]], *, told: bool = True) -> dict[str, Any]:
        """Send the same instruction again until it has an outcome, taking in what Adyen tells meanwhile."""

        async def ask() -> Reply:
            reply = await send()
            if told and not is_final(reply):
                await self.told()
            return reply

        return read(await eventually_async(ask, until=is_final, within_s=CONVERGENCE_S, interval_s=0.05))

    async def charge(self, key: str, *, manual: bool = False, **other: Any) -> dict[str, Any]:
        """A payment with its outcome, which Adyen has also told of."""
        payment = await self.until_final(lambda: self.create(key, manual=manual, **other), told=False)
        await self.told()
        return payment

    async def stored(self, payment_id: str) -> Payment:
        """The payment as our record has it."""
        found = await self.runtime.reads.payment(self.merchant_id, payment_id)
        assert found is not None
        return found[0]

    async def attempt_states(self, payment_id: str) -> dict[str, str]:
        """Operation -> state of its newest attempt."""
        loaded = await self.runtime.reads.load(self.merchant_id, payment_id)
        assert loaded is not None
        return {attempt.operation: attempt.state for attempt in loaded.stored.attempts}

    async def differences(self) -> list[str]:
        """What differs between our record and theirs."""
        charges = await asyncio.to_thread(self._charges)

        async def listed() -> AsyncIterator[dict[str, Any]]:
            for charge in charges:
                yield charge

        async with self.runtime.pool.acquire() as pooled:
            connection = cast(asyncpg.Connection, pooled)
            beside = await tally(connection, listed(), "adyen", merchant_id=self.merchant_id)
            alone = await verify(connection, settings=self.runtime.settings, merchant_id=self.merchant_id)
        assert beside.checked["open"] == 0, "nothing is on its way any more"
        return [violation.detail for violation in (*beside.violations, *alone.violations)]

    def _charges(self) -> list[dict[str, Any]]:
        """Payments as the tally reads charges."""
        made = self.bank.books("modification", self.merchant_id)
        found = []
        for row in self.bank.books("payment", self.merchant_id):
            reference = read_reference(row["reference"])
            assert reference is not None
            others = [read_reference(one["reference"]) for one in made if one["payment"] == row["psp"]]
            found.append(
                {
                    "id": row["psp"],
                    "payment_id": reference.payment_id,
                    "merchant_id": self.merchant_id,
                    "attempt_ids": [reference.attempt_id, *(one.attempt_id for one in others if one is not None)],
                    "amount": row["amount"],
                    "currency": row["currency"],
                    "authorized": row["amount"] if row["state"] == "Authorised" and not row["voided"] else 0,
                    "captured": row["captured"],
                    "refunded": row["refunded"],
                    "disputed_withdrawn": row["disputed"],
                }
            )
        return found
