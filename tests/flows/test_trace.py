"""The trace of a request goes to the provider and to the merchant, also where another process ends the instruction."""

from __future__ import annotations

from typing import Any, cast

import asyncpg
import pytest

from tallystick.domain.verdicts import Verdict
from tallystick.flows.payments.attempts import fetch_verdict, settle_verdict
from tallystick.kit.trace_context import outgoing
from tallystick.oversight.invariants.verify import verify
from tallystick.providers.port import ProviderCall
from tests.support.api import inside
from tests.support.database import Database
from tests.support.outbox import OUTBOUND_SETTINGS, drain, register, worker
from tests.support.receivers import receiving
from tests.support.runtime import BookedProvider, runtime_of, timed_out

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
OF_TRACE = TRACE[:36]


class TracedProvider(BookedProvider):
    """Keeps the trace of each call and each look-up, as a connector would send it."""

    def __init__(self) -> None:
        super().__init__()
        self.traces: list[str | None] = []

    async def fetch(self, call: ProviderCall) -> Verdict:
        self.traces.append(outgoing().get("traceparent"))
        return await super().fetch(call)

    async def _do(self, call: ProviderCall) -> Verdict:
        self.traces.append(outgoing().get("traceparent"))
        return await super()._do(call)


async def _kept(database: Database, merchant_id: str) -> list[str | None]:
    connection = await asyncpg.connect(database.app_url)
    try:
        rows = await connection.fetch("SELECT traceparent FROM instruction WHERE merchant_id = $1", merchant_id)
    finally:
        await connection.close()
    return [row[0] for row in rows]


async def test_a_trace_reaches_the_provider_and_the_merchant(database: Database, fresh_merchant: str) -> None:
    bank = TracedProvider()
    bank.after = timed_out
    async with (
        receiving() as receiver,
        inside(database, fresh_merchant, bank) as api,
        runtime_of(database.app_url, bank, settings=OUTBOUND_SETTINGS) as other,
        worker(other) as delivery,
    ):
        await register(other, fresh_merchant, receiver)
        body = {"amount": 1_000, "currency": "EUR", "payment_method": "sim_ok"}
        headers = {"idempotency-key": "k", "traceparent": TRACE}
        asked = await api.client.post("/v1/payments", json=body, headers=headers)
        assert asked.status_code == 202
        loaded = await other.reads.load(fresh_merchant, asked.json()["id"])
        assert loaded is not None
        (attempt,) = loaded.stored.attempts
        verdict = await fetch_verdict(other, loaded.stored.payment, attempt)
        await settle_verdict(other, loaded.stored, attempt.attempt_id, verdict, cause="recovery", actor="recovery")
        replayed = await api.client.post("/v1/payments", json=body, headers=headers | {"traceparent": "00-" + "1" * 32})
        assert replayed.status_code == 201
        assert await _kept(database, fresh_merchant) == [TRACE]
        called, looked_up = bank.traces
        assert called and looked_up and called != looked_up
        await drain(delivery)
        (got,) = receiver.got
        assert got.json["traceparent"] == TRACE
        spans = {TRACE, called, looked_up, got.headers["traceparent"]}
        assert len(spans) == 4 and all(span.startswith(OF_TRACE) for span in spans)
        async with other.pool.acquire() as pooled:
            report = await verify(
                cast(asyncpg.Connection, pooled), settings=OUTBOUND_SETTINGS, merchant_id=fresh_merchant
            )
        assert report.holds, report


@pytest.mark.parametrize(
    "given",
    [[], [("traceparent", TRACE.replace("4bf9", "4BF9"))], [("traceparent", TRACE), ("traceparent", TRACE)]],
    ids=["none", "malformed", "two"],
)
async def test_a_request_without_a_trace_is_carried_out_without_one(
    database: Database, fresh_merchant: str, given: list[Any]
) -> None:
    bank = TracedProvider()
    async with inside(database, fresh_merchant, bank) as api:
        body = {"amount": 1_000, "currency": "EUR", "payment_method": "sim_ok"}
        asked = await api.client.post("/v1/payments", json=body, headers=[("idempotency-key", "k"), *given])
        assert asked.status_code == 201
    assert bank.traces == [None]
    assert await _kept(database, fresh_merchant) == [None]
