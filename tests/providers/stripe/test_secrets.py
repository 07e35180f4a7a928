"""Stripe's client secret: the merchant's own request gets it, and nothing that is stored or sent shows it."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, cast

import httpx
import pytest
from litestar import Litestar

from tallystick.access.key_store import create_key
from tallystick.flows.assembly import open_runtime
from tallystick.interfaces.api.app import create_app
from tallystick.kit.ids import new_id
from tallystick.providers.stripe.setup import StripeSettings
from tallystick.settings.load import Settings
from tests.support.api import NO_MEMBERS, Inside, as_listed
from tests.support.database import Database
from tests.support.dump import dump
from tests.support.faulty_proxy import Fault, FaultyProxy, faulty_proxy
from tests.support.inbox import WEBHOOK_SETTINGS, drain
from tests.support.stripe.client import SETTINGS, Shop, stripe_runtime
from tests.support.stripe.events import read as shape
from tests.support.stripe.localstripe import NEEDS_AUTHENTICATION, LocalStripe

SIGNING = "whsec_secrets"


def _settings(url: str) -> Settings:
    retries = {
        name: getattr(WEBHOOK_SETTINGS, name)
        for name in ("webhook_tries_limit", "webhook_backoff_base_ms", "webhook_backoff_cap_ms", "webhook_interval_ms")
    }
    patient = {"provider_request_timeout_ms": 3_000, "send_window_ms": 3_000}
    settings = replace(SETTINGS, **(retries | patient))
    return settings.with_connector(StripeSettings, api_url=url, webhook_secrets=SIGNING)


@asynccontextmanager
async def _api(database: Database, merchant_id: str, settings: Settings) -> AsyncIterator[Inside]:
    app: Litestar = create_app(settings, database.app_url)
    key = await create_key(database.app_url, merchant_id)
    async with (
        app.lifespan(),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(cast(Any, app)),  # two spellings of the ASGI types
            base_url="http://tallystick.test",
            headers={"Authorization": f"Bearer {key}"},
        ) as client,
    ):
        yield Inside(app, client)


@pytest.fixture
async def proxy(bank: LocalStripe) -> AsyncIterator[FaultyProxy]:
    async with faulty_proxy(bank.port) as running:
        yield running


def _secret(answer: httpx.Response) -> str:
    secret: str = answer.json()["next_action"]["client_secret"]
    assert "_secret_" in secret
    return secret


async def test_create_replay_and_read_answer_with_it_and_nothing_keeps_it(
    database: Database, bank: LocalStripe, fresh_merchant: str
) -> None:
    card = bank.card(NEEDS_AUTHENTICATION)
    async with _api(database, fresh_merchant, _settings(bank.url)) as api:
        fields = {"provider": "stripe", "payment_method": card}
        created, replayed = await api.pay("key", **fields), await api.pay("key", **fields)
        secret, payment_id = _secret(created), created.json()["id"]
        assert (created.status_code, created.json()["state"]) == (202, "requires_action")
        assert (replayed.status_code, replayed.content) == (202, created.content)
        path = f"/v1/payments/{payment_id}"
        assert as_listed((await api.client.get(path)).json()) == created.json() | NO_MEMBERS
        others = [f"{path}/history", "/v1/payments", f"/v1/provider-events?payment={payment_id}"]
        for other in others:
            assert secret not in (await api.client.get(other)).text
        [listed] = (await api.client.get("/v1/payments")).json()["data"]
        assert listed["next_action"] == {"type": "use_stripe_sdk"}
        kept = await dump(database)
        assert payment_id in kept
        assert "payment.requires_action" in kept, "its message is written"
        assert secret not in kept
        act = f"/v1/payment_intents/{created.json()['provider_reference']}/_authenticate"
        await bank.acall("POST", act, client_secret=secret, success=True)
        async with stripe_runtime(database, bank.url, _settings(bank.url)) as worker:
            await Shop(worker, fresh_merchant).settled(payment_id, "captured")
        after = await api.client.get(path)
        assert (after.json()["state"], after.json()["next_action"]) == ("captured", None)
        final = await api.pay("key", **fields)
        assert (final.status_code, final.headers["idempotent-replayed"]) == (201, "true")
        assert secret not in final.text
        assert secret not in await dump(database)


async def test_an_event_tells_of_it(
    database: Database, bank: LocalStripe, proxy: FaultyProxy, fresh_merchant: str
) -> None:
    """The call's answer was lost; what the event says goes through the inbox, and is opened by another process."""
    card, settings = bank.card(NEEDS_AUTHENTICATION), replace(_settings(proxy.url), provider_request_timeout_ms=400)
    async with _api(database, fresh_merchant, settings) as api:
        proxy.script("POST /v1/payment_intents", Fault.TIMEOUT_CHARGED)
        created = await api.pay("key", provider="stripe", payment_method=card)
        path = f"/v1/payments/{created.json()['id']}"
        assert created.json()["next_action"] is None
        [intent] = bank.intents(tallystick_payment=created.json()["id"])
        said = {name: intent[name] for name in ("id", "metadata", "amount", "currency", "client_secret")}
        secret = said["client_secret"]
        event = shape("payment_intent.requires_action") | {"id": new_id("evt")}
        event["data"]["object"] |= said
        url = event["data"]["object"]["next_action"]["redirect_to_url"]["url"]
        assert (await _deliver(api.client, event)).status_code == 200
        boxed = await dump(database)
        assert event["id"] in boxed
        assert secret not in boxed
        assert url not in boxed
        async with open_runtime(settings, database.app_url) as worker:
            await drain(worker)
        read = await api.client.get(path)
        assert read.json()["state"] == "requires_action"
        assert _secret(read) == secret
        assert read.json()["next_action"]["redirect_to_url"]["url"] == url
        kept = await dump(database)
        assert "payment.requires_action" in kept
        assert secret not in kept
        assert url not in kept


async def _deliver(client: httpx.AsyncClient, event: dict[str, Any]) -> httpx.Response:
    body, at = json.dumps(event).encode(), int(time.time())
    signature = hmac.new(SIGNING.encode(), b"%d.%s" % (at, body), hashlib.sha256).hexdigest()
    headers = {"stripe-signature": f"t={at},v1={signature}", "content-type": "application/json"}
    return await client.post("/v1/webhooks/stripe/main", content=body, headers=headers)
