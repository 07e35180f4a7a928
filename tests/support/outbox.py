"""A runtime, an endpoint registered as the API does it, and workers that go round by round."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from tallystick.flows.runtime import Runtime
from tallystick.flows.stores import stores_on
from tallystick.flows.webhooks.outbound.address_policy import AddressPolicy
from tallystick.flows.webhooks.outbound.endpoints import Endpoints, Registered
from tallystick.flows.webhooks.outbound.worker import OutboxWorker
from tallystick.record.postgres.webhook_endpoints import EndpointStore
from tests.support.database import Database
from tests.support.receivers import Receiver
from tests.support.runtime import SETTINGS, BookedProvider, Client, read, runtime_of

#: Patience that a busy machine does not exhaust; what a queue is leased for ends within the 10 s that tests let pass.
OUTBOUND_SETTINGS = replace(
    SETTINGS,
    webhook_allow_private_addresses=True,
    outbound_timeout_ms=2_500,
    outbound_lease_ms=9_500,
    outbound_interval_ms=10,
)


@asynccontextmanager
async def runtime_for(database: Database, *, shift_ms: int = 0, **settings: Any) -> AsyncIterator[Runtime]:
    """A runtime with a provider that approves everything."""
    chosen = replace(OUTBOUND_SETTINGS, **settings)
    async with runtime_of(database.app_url, BookedProvider(), shift_ms=shift_ms, settings=chosen) as runtime:
        yield runtime


@asynccontextmanager
async def worker(runtime: Runtime, *, policy: AddressPolicy | None = None) -> AsyncIterator[OutboxWorker]:
    """One worker; nothing runs but the rounds that a test asks for."""
    delivery = OutboxWorker(runtime, policy=policy)
    try:
        yield delivery
    finally:
        await delivery.close()


@asynccontextmanager
async def worker_at(database: Database, shift_ms: int, **settings: Any) -> AsyncIterator[OutboxWorker]:
    """A worker whose clock, and so every lease and due time as it sees them, is shifted."""
    async with runtime_for(database, shift_ms=shift_ms, **settings) as runtime, worker(runtime) as delivery:
        yield delivery


def endpoints_of(runtime: Runtime, guard: AddressPolicy | None = None) -> Endpoints:
    """New rules over this runtime's pool; URLs as the settings allow them, unless another guard is given."""
    return stores_on(runtime.pool, runtime.clock, runtime.settings, runtime.sealer, guard).endpoints


def book_of(runtime: Runtime) -> EndpointStore:
    """A new record of endpoints over this runtime's pool."""
    return runtime.stores.endpoint_book


async def register(
    runtime: Runtime,
    merchant_id: str,
    receiver: Receiver | str,
    types: Sequence[str] | None = None,
    *,
    policy: AddressPolicy | None = None,
) -> Registered:
    """An endpoint of this merchant, as the API registers it."""
    url = receiver if isinstance(receiver, str) else receiver.url
    return await endpoints_of(runtime, policy).register(
        merchant_id, url=url, event_types=types, description=None, actor="key:test"
    )


async def drain(delivery: OutboxWorker, rounds: int = 50) -> None:
    """Round after round until nothing is due."""
    for _ in range(rounds):
        if await delivery.round() == 0:
            return
    raise AssertionError("there is always more to do")


async def pay(runtime: Runtime, merchant_id: str, key: str, *, captured_later: bool = False) -> str:
    """A captured payment: one message; two where the capture is an instruction of its own. Returns its id."""
    client = Client(runtime, merchant_id)
    payment_id: str = read(await client.create(key, manual=captured_later))["id"]
    if captured_later:
        await client.capture(f"{key}-capture", payment_id)
    return payment_id


async def deliveries(runtime: Runtime, merchant_id: str) -> list[dict[str, Any]]:
    """Every delivery of a merchant, in the order in which a payment's are sent."""
    rows = await runtime.pool.fetch(
        "SELECT * FROM message_delivery WHERE merchant_id = $1 ORDER BY endpoint_id, payment_id, version", merchant_id
    )
    return [dict(row) for row in rows]


async def tries(runtime: Runtime, merchant_id: str) -> list[dict[str, Any]]:
    """Every try, oldest first."""
    rows = await runtime.pool.fetch("SELECT * FROM message_try WHERE merchant_id = $1 ORDER BY try_id", merchant_id)
    return [dict(row) for row in rows]


async def endpoint(runtime: Runtime, endpoint_id: str) -> dict[str, Any]:
    """An endpoint's row."""
    row = await runtime.pool.fetchrow("SELECT * FROM webhook_endpoint WHERE endpoint_id = $1", endpoint_id)
    assert row is not None
    return dict(row)


async def queues(runtime: Runtime, merchant_id: str) -> int:
    """How many queues a merchant has."""
    count: int = await runtime.pool.fetchval("SELECT count(*) FROM message_lane WHERE merchant_id = $1", merchant_id)
    return count
