"""Deliveries of every provider, correctly signed, at the API in this process, and the events that it keeps of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import asyncpg
import httpx

from tallystick.kit.ids import new_id
from tallystick.providers.adyen.setup import AdyenSettings
from tallystick.providers.simulator.setup import SimulatorSettings
from tallystick.providers.stripe.setup import StripeSettings
from tallystick.settings.load import Settings
from tests.support.adyen.fake_adyen import MERCHANT_ACCOUNT
from tests.support.api import Inside, inside
from tests.support.connector_suite import Letters, Signed
from tests.support.database import Database
from tests.support.inbox import drain
from tests.support.provider_doubles import LETTERS, hmac_hex
from tests.support.runtime import BookedProvider


def connectors() -> Any:
    """All three take deliveries that are signed with the first secret of their letters."""
    secrets = {letters.name: letters.secrets[0] for letters in LETTERS}
    settings = Settings().with_connector(SimulatorSettings, webhook_secrets=secrets["simulator"])
    settings = settings.with_connector(StripeSettings, webhook_secrets=secrets["stripe"])
    settings = settings.with_connector(AdyenSettings, merchant_account=MERCHANT_ACCOUNT, hmac_keys=secrets["adyen"])
    return settings.connectors


@asynccontextmanager
async def door(database: Database, merchant_id: str, **settings: Any) -> AsyncIterator[Inside]:
    """The API with all three."""
    async with inside(database, merchant_id, BookedProvider(), connectors=connectors(), **settings) as app:
        yield app


def signed(letters: Letters, event: dict[str, Any]) -> Signed:
    """An event as its provider signs it now."""
    return letters.sign(event, letters.secrets[0], datetime.now(UTC))


def signed_bytes(letters: Letters, body: bytes) -> Signed:
    """Any bytes, as a provider signs that signs bytes."""
    [name] = signed(letters, {}).headers
    second, made = hmac_hex(letters.secrets[0], body, datetime.now(UTC))
    return Signed(body, {name: f"t={second},v1={made}"})


async def deliver(app: Inside, provider: str, what: Signed) -> httpx.Response:
    """POST it without an API key."""
    headers = {"content-type": "application/json"} | dict(what.headers)
    request = app.client.build_request("POST", f"/v1/webhooks/{provider}/main", content=what.body, headers=headers)
    request.headers.pop("authorization", None)
    return await app.client.send(request)


async def kept(app: Inside, since: int = 0) -> list[asyncpg.Record]:
    """Events in the order of their arrival."""
    rows: list[asyncpg.Record] = await app.app.state.runtime.pool.fetch(
        "SELECT provider, type, state, detail, event_id, provider_event_id, replays FROM inbox"
        " ORDER BY received_at, event_id OFFSET $1",
        since,
    )
    return rows


async def settle(app: Inside) -> None:
    """Every event to its end: what waits for a payment is dead after one try."""
    await app.app.state.runtime.pool.execute("UPDATE inbox SET tries = 1000")
    await drain(app.app.state.runtime)


async def arrivals(app: Inside) -> int:
    """Deliveries of all tests so far."""
    return int(await app.app.state.runtime.pool.fetchval("SELECT count(*) FROM delivery"))


def adyen_item(code: str = "REFUND", **fields: Any) -> dict[str, Any]:
    """An item of a notification, of a payment that is not ours."""
    values: dict[str, Any] = {
        "amount": {"value": 1_000, "currency": "EUR"},
        "eventCode": code,
        "merchantAccountCode": MERCHANT_ACCOUNT,
        "merchantReference": "theirs",
        "originalReference": new_id("req"),
        "pspReference": new_id("req"),
        "success": "true",
    }
    return values | fields
