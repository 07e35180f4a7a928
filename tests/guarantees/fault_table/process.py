"""One process of the API on one database, with a recovery that sees the future, and its clients."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import httpx

from tallystick.access.api_key import mint_key
from tallystick.access.key_store import STATEMENTS
from tallystick.flows.assembly import open_runtime
from tallystick.flows.recovery.worker import RecoveryWorker
from tallystick.flows.runtime import Runtime
from tallystick.interfaces.api.app import create_app
from tallystick.providers.port import Provider
from tallystick.settings.load import Settings
from tests.guarantees.fault_table.stands import METHODS, Delivery, Stands
from tests.support.api import SEALING_KEY
from tests.support.database import Database
from tests.support.inbox import drain
from tests.support.letters import new_letters
from tests.support.polling import eventually_async

#: Nothing times out on a busy machine, and recovery's rounds follow each other at once. Its look-ups are few; a look-up
#: that finds nothing is settled by then (LATER_MS). Signed events that find nothing are dead letters soon.
SETTINGS = Settings(
    data_dir="unused",
    sealing_keys=SEALING_KEY,
    simulator="on",
    provider_request_timeout_ms=20_000,
    provider_connect_timeout_ms=20_000,
    send_window_ms=60_000,
    settling_time_ms=100,
    max_delivery_delay_ms=100,
    recovery_backoff_base_ms=10,
    recovery_backoff_cap_ms=10,
    recovery_lease_ms=60_000,
    recovery_checks_limit=3,
    resubmit_limit=2,
    pending_poll_ms=3_600_000,
    webhook_tries_limit=2,
    webhook_backoff_base_ms=10,
    webhook_backoff_cap_ms=10,
    database_connections=2,
    rate_limit_burst=1_000,
)

#: When recovery looks: every sender's time is over, and "no such charge" would be evidence.
LATER_MS = 200_000

#: Attempts on which recovery has something to do: neither closed nor parked, nor left to an event.
_OPEN = (
    "SELECT count(*) FROM attempt WHERE parked_at IS NULL"
    " AND state IN ('submitted', 'unknown', 'not_sent', 'not_found')"
)


class ApiProcess:
    """The API inside this process, over HTTP."""

    def __init__(self, client: httpx.AsyncClient, runtime: Runtime, database: Database, stands: Stands) -> None:
        self.client = client
        self.runtime = runtime
        self.database = database
        self.stands = stands

    async def post(self, api_key: str, path: str, key: str, body: dict[str, Any]) -> httpx.Response:
        """One instruction."""
        headers = {"Authorization": f"Bearer {api_key}", "Idempotency-Key": key}
        return await self.client.post(path, json=body, headers=headers)

    async def pay(self, api_key: str, provider: str, key: str, **fields: Any) -> httpx.Response:
        """POST /v1/payments."""
        body = {"amount": 1_000, "currency": "EUR", "payment_method": METHODS[provider], "provider": provider}
        return await self.post(api_key, "/v1/payments", key, body | fields)

    async def keys_of(self, merchants: Sequence[str]) -> list[str]:
        """New API keys of new merchants, over one connection."""
        minted = [mint_key(merchant_id) for merchant_id in merchants]
        named = [(merchant_id, None, None, True) for merchant_id in merchants]
        declares_nothing = (None, None, None, None)
        rows = [
            (who, key.key_id, key.secret_hash, False, None, *declares_nothing, "test")
            for who, key in zip(merchants, minted, strict=True)
        ]
        async with self.runtime.pool.acquire() as connection, connection.transaction():
            await connection.executemany(STATEMENTS["upsert_merchant"], named)
            await connection.executemany(STATEMENTS["insert_key"], rows)
        return [key.text for key in minted]

    async def stranger_pays(self, provider: str) -> str:
        """What the payment of a merchant whom nobody knows yet comes to, at once."""
        [api_key] = await self.keys_of([f"s{new_letters(16)}"])
        answer = await self.pay(api_key, provider, "strangers-key")
        return f"{answer.status_code} {answer.json().get('state') or answer.json()['code']}"

    async def recovered(self, *, later: bool = True) -> None:
        """Return when recovery has nothing to do any more. ``later``: it looks when everything is settled."""
        async with recovery(self, LATER_MS if later else 0) as worker:

            async def still_open() -> int:
                await worker.round()
                left: int = await self.runtime.pool.fetchval(_OPEN)
                return left

            await eventually_async(still_open, until=lambda left: not left)

    async def round_now(self) -> None:
        """One round of recovery at this moment."""
        async with recovery(self, 0) as worker:
            await worker.round()

    async def hear(self, merchants: Mapping[str, str]) -> dict[str, list[str]]:
        """All that providers have to tell about merchants (merchant -> provider) arrives and is processed: the events'
        dispositions, by merchant."""
        deliveries = await self.stands.told(merchants)

        async def deliver(each: Delivery) -> None:
            answer = await self.client.post(f"/v1/webhooks/{each.path}", content=each.body, headers=dict(each.headers))
            assert answer.status_code == 200, answer.text

        await asyncio.gather(*(deliver(each) for each in deliveries))
        await drain(self.runtime)
        rows = await self.runtime.pool.fetch(
            "SELECT merchant_id, state FROM inbox WHERE merchant_id = ANY($1)", list(merchants)
        )
        return {name: [row["state"] for row in rows if row["merchant_id"] == name] for name in merchants}


@asynccontextmanager
async def recovery(process: ApiProcess, shift_ms: int) -> AsyncIterator[RecoveryWorker]:
    """A worker that shares the process's connectors and their circuits."""
    settings = dataclasses.replace(process.runtime.settings, clock_shift_ms=shift_ms)
    shared = {name: Shared(provider) for name, provider in process.runtime.providers.items()}
    async with open_runtime(settings, process.database.app_url, providers=cast(Any, shared)) as runtime:
        yield RecoveryWorker(runtime, runtime.stores.schedule_book)


class Shared:
    """A connector that another process closes."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    def __getattr__(self, name: str) -> Any:
        return getattr(self._provider, name)

    async def close(self) -> None:
        """Left to its owner."""


@asynccontextmanager
async def api_process(
    database: Database, stands: Stands, settings: Settings, providers: Mapping[str, Provider] | None = None
) -> AsyncIterator[ApiProcess]:
    """An open one."""
    app = create_app(settings, database.app_url, providers=providers)
    transport = httpx.ASGITransport(cast(Any, app))  # two spellings of the ASGI types
    async with (
        app.lifespan(),
        httpx.AsyncClient(transport=transport, base_url="http://tallystick.test", timeout=60) as client,
    ):
        yield ApiProcess(client, app.state.runtime, database, stands)
