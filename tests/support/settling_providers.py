"""Providers that settle what they took: payments there, what happens to them, what they tell of it by webhook, and the
settlement reports that they write from books of their own."""

from __future__ import annotations

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from tallystick.flows.runtime import Runtime
from tallystick.flows.webhooks.inbound.envelope import envelope_of
from tallystick.kit.ids import new_id
from tallystick.providers.receiver import Receiver
from tallystick.providers.simulator.receiver import SimulatorReceiver
from tallystick.providers.stripe.receiver import StripeReceiver
from tests.support import provider_webhooks
from tests.support.acquirer import AcquirerProcess
from tests.support.acquirer_days import closed, content, runtime_at
from tests.support.adyen.client import PATIENT as ADYEN_SETTINGS
from tests.support.adyen.client import Shop as AdyenShop
from tests.support.adyen.client import adyen_runtime
from tests.support.adyen.process import FakeAdyen
from tests.support.card_bank import signed
from tests.support.database import Database
from tests.support.inbox import WEBHOOK_SETTINGS, accept, drain
from tests.support.runtime import Client, read
from tests.support.screen import SCREEN
from tests.support.stripe.client import PATIENT as STRIPE_SETTINGS
from tests.support.stripe.client import Shop as StripeShop
from tests.support.stripe.client import stripe_runtime
from tests.support.stripe.fake_stripe import FakeStripe
from tests.support.stripe.reports import Reports

#: A report: the name of its file, what is in it, and how it is imported.
Report = tuple[str, bytes, dict[str, Any]]

SECRET = "whsec_settling"


class Settling(ABC):
    """One provider, and a merchant who is paid there."""

    provider: str

    def __init__(self, runtime: Runtime, database: Database, merchant_id: str) -> None:
        self.runtime, self.database, self.merchant_id = runtime, database, merchant_id

    @abstractmethod
    async def pay(self, amount: int, capture: int | None = None) -> dict[str, Any]:
        """A captured payment; ``capture``: held first, and captured in part."""

    @abstractmethod
    async def refund(self, payment: dict[str, Any], amount: int) -> None:
        """A refund of ours, done."""

    @abstractmethod
    async def refund_there(self, payment: dict[str, Any]) -> None:
        """Somebody gives half of it back in the provider's dashboard; nobody has told us."""

    @abstractmethod
    async def dispute_there(self, payment: dict[str, Any]) -> None:
        """A payer's bank takes all of it back; nobody has told us."""

    @abstractmethod
    async def tell(self, times: int = 1) -> None:
        """All that was not told before arrives so many times, and is processed."""

    @abstractmethod
    async def reports(self) -> Sequence[Report]:
        """The day ends, and what moved is paid out: the reports."""

    async def deliver(self, receiver: Receiver, body: bytes, headers: dict[str, str], times: int) -> None:
        now = datetime.now(UTC)
        for _ in range(times):
            found = receiver.receive(body, headers, now)
            await accept(self.database, [envelope_of(receiver, each, body, headers, now, SCREEN) for each in found])
            await drain(self.runtime)  # of some only the charge is known, so of all merchants


class AtAcquirer(Settling):
    provider = "simulator"

    def __init__(self, runtime: Runtime, database: Database, merchant_id: str, bank: AcquirerProcess) -> None:
        super().__init__(runtime, database, merchant_id)
        self._bank, self._told = bank, set[str]()
        self._client = Client(runtime, merchant_id)

    async def pay(self, amount: int, capture: int | None = None) -> dict[str, Any]:
        made = read(
            await self._client.create(new_id("req"), amount, manual=capture is not None, payment_method="sim_ok")
        )
        if capture is not None:
            made = read(await self._client.capture(new_id("req"), made["id"], capture))
        assert made["state"] == "captured", made
        return made

    async def refund(self, payment: dict[str, Any], amount: int) -> None:
        assert read(await self._client.refund(new_id("req"), payment["id"], amount))["state"] == "succeeded"

    async def refund_there(self, payment: dict[str, Any]) -> None:
        await self._post(f"/sim/charges/{payment['provider_reference']}/dashboard-refund")

    async def dispute_there(self, payment: dict[str, Any]) -> None:
        opened = await self._post(f"/sim/charges/{payment['provider_reference']}/dispute")
        await self._post(f"/sim/disputes/{opened['dispute_id']}/withdraw")

    async def _post(self, path: str) -> dict[str, Any]:
        status, said = await self._bank.acall("POST", path, {})
        assert status == 200, said
        return said

    async def tell(self, times: int = 1) -> None:
        for event in await asyncio.to_thread(self._bank.events):
            if event["data"].get("merchant_id") == self.merchant_id and event["id"] not in self._told:
                self._told.add(event["id"])
                said = {name: event[name] for name in ("id", "type", "sequence", "data")}
                body = json.dumps(said | {"created": event["data"]["occurred_at"]}).encode()
                headers = {"acquirer-signature": provider_webhooks.signature(body)}
                await self.deliver(SimulatorReceiver("main", [provider_webhooks.SECRET]), body, headers, times)

    async def reports(self) -> Sequence[Report]:
        names = (await closed(self._bank))["files"]
        return [(name, await asyncio.to_thread(content, self._bank, name), {}) for name in names]


class AtAdyen(Settling):
    provider = "adyen"

    def __init__(self, runtime: Runtime, database: Database, merchant_id: str, bank: FakeAdyen) -> None:
        super().__init__(runtime, database, merchant_id)
        self._bank, self._shop = bank, AdyenShop(runtime, merchant_id, database, bank)

    async def pay(self, amount: int, capture: int | None = None) -> dict[str, Any]:
        made = await self._shop.charge(new_id("req"), amount=amount, manual=capture is not None)
        if capture is not None:
            await self._shop.capture(new_id("req"), made["id"], capture)
            await self._shop.told()
        return made

    async def refund(self, payment: dict[str, Any], amount: int) -> None:
        await self._shop.refund(new_id("req"), payment["id"], amount)
        await self._shop.told()

    async def refund_there(self, payment: dict[str, Any]) -> None:
        await self._bank.event(payment["provider_reference"], "REFUND", amount=payment["amount"] // 2)

    async def dispute_there(self, payment: dict[str, Any]) -> None:
        await self._bank.event(payment["provider_reference"], "CHARGEBACK")

    async def tell(self, times: int = 1) -> None:
        await self._shop.told(times=times)

    async def reports(self) -> Sequence[Report]:
        made = await self._bank.close()
        return [(made["name"], made["content"].encode(), {"zone": "Europe/Amsterdam"})]


class AtStripe(Settling):
    provider = "stripe"

    def __init__(self, runtime: Runtime, database: Database, merchant_id: str, bank: FakeStripe) -> None:
        super().__init__(runtime, database, merchant_id)
        self._bank, self._books = bank, Reports(bank)
        self._shop, self._untold = StripeShop(runtime, merchant_id), list[tuple[str, dict[str, Any]]]()

    async def pay(self, amount: int, capture: int | None = None) -> dict[str, Any]:
        made = await self._shop.charge(new_id("req"), amount=amount, manual=capture is not None)
        if capture is not None:
            made = read(await self._shop.capture(new_id("req"), made["id"], capture))
        assert made["state"] == "captured", made
        return made

    async def refund(self, payment: dict[str, Any], amount: int) -> None:
        assert read(await self._shop.refund(new_id("req"), payment["id"], amount))["state"] == "succeeded"

    def _intent(self, payment: dict[str, Any]) -> dict[str, Any]:
        [intent] = self._bank.of_payment(payment["id"])
        return intent

    async def refund_there(self, payment: dict[str, Any]) -> None:
        made = self._books.refund(self._intent(payment), payment["amount"] // 2)
        self._untold.append(("refund.created", made))

    def give_back(self, payment: dict[str, Any], amount: int) -> None:
        """In the dashboard, and nobody will ever tell."""
        self._books.refund(self._intent(payment), amount)

    async def dispute_there(self, payment: dict[str, Any]) -> None:
        self._untold.append(("charge.dispute.funds_withdrawn", self._books.dispute(self._intent(payment))))

    async def tell(self, times: int = 1) -> None:
        untold, self._untold = self._untold, []
        for kind, thing in untold:
            event = {"id": new_id("evt"), "object": "event", "type": kind, "created": int(self._bank.now_s())}
            body = json.dumps(event | {"data": {"object": thing}}).encode()
            headers = signed(body, SECRET, "stripe")
            await self.deliver(StripeReceiver("main", [SECRET]), body, headers, times)

    async def reports(self) -> Sequence[Report]:
        payout = self._books.close()
        return [
            (f"rows-{payout}.csv", self._books.rows(payout).encode(), {}),
            (f"payouts-{payout}.csv", self._books.payouts(payout).encode(), {}),
        ]


_WEBHOOKS = {name: getattr(WEBHOOK_SETTINGS, name) for name in ("webhook_backoff_base_ms", "webhook_backoff_cap_ms")}


@asynccontextmanager
async def at_acquirer(database: Database, merchant_id: str, bank: AcquirerProcess) -> AsyncIterator[Settling]:
    await bank.acall("POST", "/sim/settlements", {"defects": []})  # what another test left is not of this day
    async with runtime_at(database, bank) as runtime:
        yield AtAcquirer(runtime, database, merchant_id, bank)


@asynccontextmanager
async def at_adyen(database: Database, merchant_id: str, bank: FakeAdyen) -> AsyncIterator[Settling]:
    async with adyen_runtime(database, bank.url, ADYEN_SETTINGS) as runtime:
        yield AtAdyen(runtime, database, merchant_id, bank)


@asynccontextmanager
async def at_stripe(database: Database, merchant_id: str, bank: FakeStripe) -> AsyncIterator[Settling]:
    async with stripe_runtime(database, bank.url, replace(STRIPE_SETTINGS, **_WEBHOOKS)) as runtime:
        yield AtStripe(runtime, database, merchant_id, bank)
