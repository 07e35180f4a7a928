"""The providers' stands, each behind a proxy that counts what passes and spoils what it is told to spoil."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from tallystick.kit.ids import new_id
from tallystick.providers.adyen.reference import read_reference
from tallystick.providers.adyen.setup import AdyenSettings
from tallystick.providers.simulator.setup import SimulatorSettings
from tallystick.providers.stripe.objects import ATTEMPT, MERCHANT
from tallystick.providers.stripe.setup import StripeSettings
from tallystick.settings.load import Settings
from tests.support import provider_webhooks
from tests.support.acquirer import AcquirerProcess
from tests.support.adyen.fake_adyen import API_KEY, HMAC_KEY, MERCHANT_ACCOUNT
from tests.support.adyen.process import FakeAdyen, token
from tests.support.faulty_proxy import Fault, FaultyProxy, Passage, faulty_proxy
from tests.support.stripe.fake_stripe import FakeStripe, fake_stripe
from tests.support.stripe.localstripe import API_KEY as STRIPE_KEY
from tests.support.stripe.localstripe import GOOD

STRIPE_SECRET = "whsec_of_these_tests"

#: What each provider charges without further ado.
METHODS: Mapping[str, str] = {"simulator": "sim_ok", "stripe": GOOD, "adyen": token()}


class Delivery(NamedTuple):
    """One signed delivery, and where it goes."""

    path: str
    body: bytes
    headers: Mapping[str, str]


class Programs(NamedTuple):
    """The stands that are processes of their own, shared by all scenes."""

    bank: AcquirerProcess
    adyen: FakeAdyen


class Stands(NamedTuple):
    """What one scene talks to: the proxies by provider, and what is behind them."""

    programs: Programs
    stripe: FakeStripe
    proxies: Mapping[str, FaultyProxy]

    def settings(self, settings: Settings) -> Settings:
        """Those of a process that has all three providers."""
        urls = {name: proxy.url for name, proxy in self.proxies.items()}
        account = {"api_key": API_KEY, "merchant_account": MERCHANT_ACCOUNT, "hmac_keys": HMAC_KEY}
        return (
            settings.with_connector(SimulatorSettings, url=urls["simulator"], webhook_secrets="whsec_own")
            .with_connector(StripeSettings, api_url=urls["stripe"], api_key=STRIPE_KEY, deduplicates=True)
            .with_connector(StripeSettings, webhook_secrets=STRIPE_SECRET)
            .with_connector(AdyenSettings, api_url=f"{urls['adyen']}/v72", **account)
        )

    def passed(self, provider: str, key: str) -> list[Passage]:
        """The requests with this provider's key that left for it."""
        return [each for each in self.proxies[provider].seen if each.key == key]

    async def effects(self, trials: Sequence[tuple[str, str, str]]) -> list[int | None]:
        """How many effects the providers' books have of attempts, given as (provider, instruction, attempt).
        None where that is a state: a PaymentIntent is captured or canceled once."""
        rows = await asyncio.to_thread(self.programs.bank.events)
        bank = Counter(row["data"].get("attempt_id") for row in rows if row["data"].get("status") == "approved")
        stripe = Counter(each["metadata"].get(ATTEMPT) for each in (*self.stripe.intents, *self.stripe.refunds))
        books = json.loads(await asyncio.to_thread(self.programs.adyen.call, "/_books"))
        read = [read_reference(row["reference"]) for row in (*books["payment"], *books["modification"])]
        adyen = Counter(reference.attempt_id for reference in read if reference is not None)
        found: list[int | None] = []
        for provider, instruction, attempt_id in trials:
            by_state = provider == "stripe" and instruction in ("capture", "cancel")
            counted = {"simulator": bank, "stripe": stripe, "adyen": adyen}[provider][attempt_id]
            found.append(None if by_state else counted)
        return found

    def lost(self) -> list[tuple[FaultyProxy, Passage]]:
        """The requests that were lost on their way."""
        return [
            (proxy, each)
            for proxy in self.proxies.values()
            for each in proxy.seen
            if each.fault == Fault.RESET_NOT_CHARGED and not each.delivered
        ]

    async def told(self, merchants: Mapping[str, str]) -> list[Delivery]:
        """All that the providers have to tell about merchants: merchant -> provider."""
        of = {name: {who for who, where in merchants.items() if where == name} for name in self.proxies}
        found: list[Delivery] = []
        if of["simulator"]:
            rows = await asyncio.to_thread(self.programs.bank.events)
            found += [_of_bank(row) for row in rows if row["data"]["merchant_id"] in of["simulator"]]
        made = [*self.stripe.intents, *self.stripe.refunds]
        found += [_of_stripe(each) for each in made if each["metadata"].get(MERCHANT) in of["stripe"]]
        for body in await asyncio.gather(*(self.programs.adyen.tell(merchant_id=who) for who in of["adyen"])):
            if b'"notificationItems": []' not in body:
                found.append(Delivery("adyen/main", body, {}))
        return found


@asynccontextmanager
async def stands(programs: Programs) -> AsyncIterator[Stands]:
    """Proxies before the shared programs, and a Stripe of one's own."""
    async with (
        fake_stripe(deduplicates=True) as stripe,
        faulty_proxy(programs.bank.port) as bank,
        faulty_proxy(urlsplit(stripe.url).port or 0) as to_stripe,
        faulty_proxy(programs.adyen.port) as adyen,
    ):
        yield Stands(programs, stripe, {"simulator": bank, "stripe": to_stripe, "adyen": adyen})


def _of_bank(row: dict[str, Any]) -> Delivery:
    event = {"id": row["id"], "type": row["type"], "created": "2030-01-01T00:00:00Z", "sequence": row["sequence"]}
    body = json.dumps(event | {"data": row["data"]}).encode()
    signed = provider_webhooks.signature(body, secret="whsec_own")
    return Delivery("simulator/main", body, {"acquirer-signature": signed})


#: Status of a PaymentIntent -> the event that tells of it.
_STRIPE_EVENTS: Mapping[str, str] = {
    "requires_capture": "payment_intent.amount_capturable_updated",
    "succeeded": "payment_intent.succeeded",
    "canceled": "payment_intent.canceled",
}


def _of_stripe(thing: dict[str, Any]) -> Delivery:
    kind = "refund.created" if thing["object"] == "refund" else _STRIPE_EVENTS[thing["status"]]
    event = {"id": f"evt_{new_id('evt')[4:]}", "object": "event", "type": kind, "created": int(time.time())}
    body = json.dumps(event | {"data": {"object": thing}}).encode()
    second = str(int(time.time()))
    signed = hmac.new(STRIPE_SECRET.encode(), second.encode() + b"." + body, hashlib.sha256).hexdigest()
    return Delivery("stripe/main", body, {"stripe-signature": f"t={second},v1={signed}"})


def http_answer(status: int, body: dict[str, Any], **headers: str) -> bytes:
    """An answer in a provider's stead, as bytes. ``headers``: with underscores for hyphens."""
    encoded = json.dumps(body).encode()
    head = f"HTTP/1.1 {status} No\r\nContent-Type: application/json\r\nContent-Length: {len(encoded)}\r\n"
    head += "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return head.encode() + b"Connection: close\r\n\r\n" + encoded
