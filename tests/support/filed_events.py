"""Events that an older release has filed, of each provider, with the bytes in which they came."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final

from msgspec.structs import replace

from tallystick.domain.requests.commands import CreatePayment
from tallystick.domain.subjects import Payment
from tallystick.flows.assembly import open_runtime
from tallystick.flows.payments import instructions
from tallystick.flows.runtime import Runtime
from tallystick.flows.webhooks.inbound.envelope import KEPT_WITH, Envelope, envelope_of, sealed_part
from tallystick.flows.webhooks.inbound.intake import Arrival
from tallystick.flows.webhooks.inbound.reread import Batch, Reading, Reread
from tallystick.flows.webhooks.inbound.worker import InboxWorker
from tallystick.providers.adyen.receiver import AdyenReceiver
from tallystick.providers.adyen.reference import Reference, write_reference
from tallystick.providers.receiver import Receiver
from tallystick.providers.simulator.receiver import SimulatorReceiver
from tallystick.providers.stripe.receiver import StripeReceiver
from tallystick.record.postgres.inbox_rows import FiledFilter
from tallystick.record.sealing import Sealer
from tests.support.adyen.fake_adyen import HMAC_KEY, MERCHANT_ACCOUNT, delivery
from tests.support.database import Database
from tests.support.inbox import WEBHOOK_SETTINGS, assert_invariants, drain, intake_on
from tests.support.runtime import BookedProvider, Client, read
from tests.support.screen import SCREEN

#: Who reads the deliveries of each provider.
RECEIVERS: Final[dict[tuple[str, str], Receiver]] = {
    ("adyen", "main"): AdyenReceiver("main", MERCHANT_ACCOUNT, [HMAC_KEY]),
    ("stripe", "main"): StripeReceiver("main", ["whsec_stripe"]),
    ("simulator", "main"): SimulatorReceiver("main", ["whsec_simulator"]),
}

#: Of each provider, the type of a refund that was not made through us.
REFUNDS: Final = {"adyen": "REFUND_WITH_DATA", "stripe": "refund.created", "simulator": "dashboard.refunded"}

#: Who has events processed again, and why.
WORDS: Final = {"actor": "operator:kim", "reason": "read today"}


class Place:
    """A captured payment at one provider, and events of it that an older release has filed."""

    def __init__(self, runtime: Runtime, database: Database, payment: Payment, attempt_id: str) -> None:
        self.runtime = runtime
        self.database = database
        self.payment = payment
        self.attempt_id = attempt_id
        self.provider = payment.provider
        self.worker = InboxWorker(runtime, runtime.stores.inbox)

    def item(self, reference: str, amount: int = 100, code: str = "REFUND_WITH_DATA") -> dict[str, Any]:
        """An item of Adyen's."""
        payment = self.payment
        ours = Reference(payment.merchant_id, payment.payment_id, self.attempt_id, "authorize", True)
        return {
            "amount": {"value": amount, "currency": "EUR"},
            "eventCode": code,
            "merchantAccountCode": MERCHANT_ACCOUNT,
            "merchantReference": write_reference(ours),
            "originalReference": payment.provider_reference,
            "pspReference": f"{reference}-{payment.merchant_id}",
            "success": "true",
        }

    def body(self, reference: str, amount: int = 100, kind: str | None = None) -> bytes:
        """A delivery of this provider with one event: a refund, unless it is of another kind."""
        kind = kind or REFUNDS[self.provider]
        payment, at = self.payment, "2026-05-04T03:02:00Z"
        if self.provider == "adyen":
            return delivery([self.item(reference, amount, kind)])
        reference = f"{reference}_{payment.merchant_id}"
        if self.provider == "stripe":
            marks = {"tallystick_merchant": payment.merchant_id, "tallystick_payment": payment.payment_id}
            thing = {"id": reference, "object": "refund", "status": "succeeded", "amount": amount, "currency": "eur"}
            event = {"id": f"evt_{reference}", "type": kind, "created": 1_795_000_000}
            thing |= {"payment_intent": payment.provider_reference, "metadata": marks, "balance_transaction": "txn_1"}
            thing |= {"reason": None}
            return json.dumps(event | {"data": {"object": thing}}).encode()
        names = {"merchant_id": payment.merchant_id, "payment_id": payment.payment_id}
        data = {"charge_id": payment.provider_reference, "reference": reference, "amount": amount, "currency": "EUR"}
        event = {"id": f"evt_{reference}", "type": kind, "created": at}
        return json.dumps(event | {"data": names | data | {"occurred_at": at}}).encode()

    async def file(
        self, body: bytes, headers: dict[str, str] | None = None, *, notices: bool = False
    ) -> list[Envelope]:
        """A delivery arrives as the door keeps it, and is processed. Old code reads no notice in it."""
        receiver, now, headers = RECEIVERS[self.provider, "main"], datetime.now(UTC), headers or {}
        read = [envelope_of(receiver, each, body, headers, now, SCREEN) for each in receiver.translate(body)]
        envelopes = read if notices else [replace(each, notice=None) for each in read]
        arrivals: list[Arrival] = []
        for each in envelopes:
            kept = sealed_part(body, headers)
            if arrivals:
                kept = sealed_part(b"", {KEPT_WITH: envelopes[0].delivery_id})
            about = f"{each.provider}/{each.account}/{each.provider_event_id}/{each.delivery_id}"
            arrivals.append(Arrival(each, now, self.runtime.sealer.seal(kept, about.encode())))
        async with intake_on(self.database) as intake:
            await intake.accept(arrivals)
        await drain(self.runtime)
        return envelopes

    def which(self, kind: str | None = None, filed_as: str = "unknown_type") -> FiledFilter:
        """The events of this provider that were filed so."""
        return FiledFilter(type=kind or REFUNDS[self.provider], state=filed_as, provider=self.provider)

    async def batches(self, which: FiledFilter, sealer: Sealer | None = None) -> list[Batch]:
        """As they are read now, of all tests."""
        runtime = self.runtime
        rereading = Reread(runtime.stores.inbox, RECEIVERS, sealer or runtime.sealer, runtime.actions, runtime.words)
        return [batch async for batch in rereading.batches(which)]

    async def readings(self, which: FiledFilter, sealer: Sealer | None = None) -> list[Reading]:
        """Of this payment's events: an inbox has the events of all tests."""
        read = [reading for batch in await self.batches(which, sealer) for reading in batch.readings]
        return [each for each in read if each.payment_id == self.payment.payment_id]

    async def put_through(self, which: FiledFilter) -> list[str]:
        """What became of each of this payment's events."""
        runtime = self.runtime
        rereading = Reread(runtime.stores.inbox, RECEIVERS, runtime.sealer, runtime.actions, runtime.words)
        became = []
        for batch in await self.batches(which):
            became += await rereading.put_through(self.worker, batch, which, **WORDS)
        return [each.state for each in became if each.payment_id == self.payment.payment_id]

    async def refunded(self) -> int:
        """How much of the payment is refunded."""
        found = await self.runtime.reads.payment(self.payment.merchant_id, self.payment.payment_id)
        assert found is not None
        return found[0].amount_refunded


@asynccontextmanager
async def place_of(database: Database, merchant_id: str, provider: str) -> AsyncIterator[Place]:
    """A captured payment of 1000 at the provider."""
    bank = BookedProvider()
    bank.name = provider
    async with open_runtime(WEBHOOK_SETTINGS, database.app_url, providers={provider: bank}) as runtime:
        command = CreatePayment(amount=1_000, currency="EUR", payment_method="any", provider=provider)
        instruction = Client(runtime, merchant_id).instruction("create", "POST /v1/payments", "/v1/payments", {})
        created = read(await instructions.create_payment(runtime, instruction, command, provider))
        loaded = await runtime.reads.load(merchant_id, created["id"])
        assert loaded is not None
        yield Place(runtime, database, loaded.stored.payment, loaded.stored.attempts[0].attempt_id)
    await assert_invariants(database, merchant_id)
