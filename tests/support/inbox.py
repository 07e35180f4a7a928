"""What the tests here stand on: envelopes made by hand, an intake and a worker on a real database."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import asyncpg
from msgspec.structs import replace

from tallystick.domain.notices import AttemptNotice, Notice
from tallystick.domain.snapshot import PaymentSnapshot
from tallystick.domain.subjects import Payment
from tallystick.domain.verdicts import Approved, Pending, Verdict
from tallystick.flows.runtime import Runtime
from tallystick.flows.webhooks.inbound.envelope import Envelope, sealed_part
from tallystick.flows.webhooks.inbound.intake import Arrival, Intake
from tallystick.flows.webhooks.inbound.worker import InboxWorker
from tallystick.kit.clock import Clock
from tallystick.kit.ids import new_id, sibling_id
from tallystick.oversight.invariants import verify
from tallystick.providers.port import ProviderCall
from tallystick.record.postgres.connections import connect_journal
from tallystick.record.postgres.inbox import Inbox
from tallystick.record.postgres.inbox_rows import LeasedEvent
from tallystick.record.postgres.pipeline import PipelineConnection
from tallystick.record.sealing import delivery_row, sealer_of
from tallystick.settings.load import Settings
from tests.support.database import Database
from tests.support.polling import eventually_async
from tests.support.runtime import SETTINGS, BookedProvider, Client, read, runtime_of

#: Retries fast enough for tests, and few enough to die of.
WEBHOOK_SETTINGS = dataclasses.replace(
    SETTINGS,
    webhook_tries_limit=4,
    webhook_backoff_base_ms=10,
    webhook_backoff_cap_ms=40,
    webhook_interval_ms=10,
    webhook_lease_ms=2_000,
    send_window_ms=60_000,  # a provider's call may wait here for a worker that is to overtake it
)

#: The same where every answer comes: whatever the machine is busy with, no lease and no call runs out.
PATIENT_WEBHOOKS = dataclasses.replace(
    WEBHOOK_SETTINGS,
    webhook_lease_ms=60_000,
    webhook_tries_limit=8,
    provider_request_timeout_ms=60_000,
    provider_connect_timeout_ms=60_000,
)

#: Seals as the runtimes of these tests do.
SEALER = sealer_of(SETTINGS)

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def envelope(
    name: str, notice: Notice | None = None, *, payment: Payment | None = None, body: bytes = b"{}", **fields: Any
) -> Envelope:
    """An event of the simulator by its provider's name for it."""
    event_id = new_id("evt")
    values: dict[str, Any] = {
        "provider": "simulator",
        "account": "main",
        "provider_event_id": name,
        "event_id": event_id,
        "delivery_id": sibling_id("dlv", event_id),
        "type": "charge.captured",
        "received_at": datetime.now(UTC),
        "occurred_at": None,
        "charge_reference": None,
        "merchant_id": payment.merchant_id if payment else None,
        "payment_id": payment.payment_id if payment else None,
        "traceparent": TRACE,
        "digest": hashlib.sha256(body).digest(),
        "notice": notice,
    }
    return Envelope(**values | fields)


def arrival(one: Envelope) -> Arrival:
    """The same again is a redelivery: a new delivery of the same event."""
    name = (one.provider, one.account, one.provider_event_id, one.delivery_id)
    return Arrival(one, datetime.now(UTC), SEALER.seal(sealed_part(b"{}", {}), delivery_row(*name)))


def again(one: Envelope, **fields: Any) -> Envelope:
    """Another delivery of an event, as the intake would make it: with ids of its own."""
    event_id = new_id("evt")
    return replace(one, event_id=event_id, delivery_id=sibling_id("dlv", event_id), **fields)


def captured(payment: Payment, attempt_id: str, amount: int | None = None) -> AttemptNotice:
    """The provider says that it captured."""
    verdict = Approved(
        amount=payment.amount if amount is None else amount,
        currency=payment.currency,
        effect="captured",
        reference=f"ref_{attempt_id}",
    )
    return AttemptNotice(operation="authorize", attempt_id=attempt_id, verdict=verdict)


@asynccontextmanager
async def intake_on(
    database: Database,
    *,
    connect_with: Callable[[], Awaitable[Any]] | None = None,
    queue_limit: int = 10_000,
    commit_timeout_ms: int = 30_000,
    shift_ms: int = 0,
) -> AsyncIterator[Intake]:
    """An open intake."""

    async def own() -> PipelineConnection:
        return await connect_journal(database.app_url, command_timeout_ms=30_000)

    intake = Intake(
        connect_with or own,
        Clock(shift_ms),
        queue_limit=queue_limit,
        commit_timeout_ms=commit_timeout_ms,
    )
    await intake.start()
    try:
        yield intake
    finally:
        await intake.stop()


def inbox_worker_of(runtime: Runtime) -> InboxWorker:
    """A worker's inbox half."""
    return InboxWorker(runtime, runtime.stores.inbox)


async def lease_due(
    inbox: Inbox, limit: int, lease: str, lease_ms: int, accounts: Sequence[str] | None = None
) -> list[LeasedEvent]:
    """Lease what is due, as a worker does that has room for it."""
    due = await inbox.due(limit, accounts=accounts)
    return await inbox.lease([event.name for event in due], lease, lease_ms)


async def drain(runtime: Runtime, merchant_id: str | None = None, patience_s: float = 60) -> None:
    """Process until nothing is open, of one merchant or of all."""
    worker = inbox_worker_of(runtime)
    still_open = "SELECT count(*) FROM inbox WHERE next_try_at IS NOT NULL AND ($1::text IS NULL OR merchant_id = $1)"

    async def open_after_a_round() -> int:
        left: int = await runtime.pool.fetchval(still_open, merchant_id)
        if left:
            await worker.round()
        return left

    await eventually_async(open_after_a_round, until=lambda left: not left, within_s=patience_s, interval_s=0.005)


async def accept(database: Database, envelopes: Sequence[Envelope], *, shift_ms: int = 0) -> None:
    """Put envelopes into the inbox, by a clock that is shifted as its worker's is."""
    async with intake_on(database, shift_ms=shift_ms) as intake:
        await asyncio.gather(*(intake.accept([arrival(one)]) for one in envelopes))


async def states(runtime: Runtime, merchant_id: str | None = None) -> dict[str, str]:
    """Provider's event id -> state."""
    rows = await runtime.pool.fetch(
        "SELECT provider_event_id, state FROM inbox WHERE $1::text IS NULL OR merchant_id = $1", merchant_id
    )
    return {row[0]: row[1] for row in rows}


async def pending(_: ProviderCall) -> Verdict:
    """Accepted, outcome later: by webhook."""
    return Pending(reference="later")


@asynccontextmanager
async def late_outcomes(
    database: Database, *, shift_ms: int = 0, settings: Settings = WEBHOOK_SETTINGS
) -> AsyncIterator[tuple[Runtime, BookedProvider]]:
    """A runtime whose provider executes everything and tells the outcome later."""
    provider = BookedProvider()
    provider.after = pending
    async with runtime_of(database.app_url, provider, shift_ms=shift_ms, settings=settings) as runtime:
        yield runtime, provider


async def waiting_payment(runtime: Runtime, merchant_id: str) -> PaymentSnapshot:
    """A payment whose outcome is still to come."""
    reply = await Client(runtime, merchant_id).create(new_id("req"))
    loaded = await runtime.reads.load(merchant_id, read(reply)["id"])
    assert loaded is not None
    assert loaded.stored.payment.state == "authorizing"
    return loaded.stored


async def versions_of(runtime: Runtime, stored: PaymentSnapshot) -> list[str]:
    """The payment's steps."""
    history = await runtime.reads.history(stored.payment.merchant_id, stored.payment.payment_id)
    return [step.event for step in history]


async def assert_invariants(database: Database, merchant_id: str) -> None:
    """Every invariant."""
    connection = await asyncpg.connect(database.owner_url)
    try:
        report = await verify(connection, settings=WEBHOOK_SETTINGS, merchant_id=merchant_id)
    finally:
        await connection.close()
    assert report.holds, report
