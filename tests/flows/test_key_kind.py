"""What uses the key of an instruction is on everything that the instruction leads to, in whatever process it ends."""

from __future__ import annotations

import json
from typing import Any, cast

import asyncpg
from structlog.testing import capture_logs

from tallystick.access.key_store import create_key
from tallystick.domain.api_keys import SCOPES, declaration
from tallystick.domain.notices import AttemptNotice, Notice, RefundNotice
from tallystick.domain.verdicts import Approved, Declined, Verdict
from tallystick.flows.payments.attempts import settle_verdict
from tallystick.flows.webhooks.outbound.dispatch import Dispatch
from tallystick.oversight.invariants.verify import verify
from tallystick.providers.port import ProviderCall
from tallystick.record.postgres.outbox import Outbox
from tests.support.api import Inside, assert_problem, inside
from tests.support.database import Database
from tests.support.inbox import accept, drain, envelope
from tests.support.runtime import SETTINGS, BookedProvider, runtime_of


async def _key(database: Database, merchant_id: str, kind: str) -> dict[str, str]:
    key = await create_key(database.app_url, merchant_id, declared=declaration(kind, SCOPES))
    return {"authorization": f"Bearer {key}"}


async def _history(api: Inside, payment_id: str) -> dict[str, Any]:
    found: dict[str, Any] = (await api.client.get(f"/v1/payments/{payment_id}/history")).json()
    return found


async def broken(*_: Any) -> None:
    """A defect."""
    raise RuntimeError


async def test_an_agents_instruction_ends_in_another_process(database: Database, fresh_merchant: str) -> None:
    bank = BookedProvider()
    bank.after = broken
    agent = await _key(database, fresh_merchant, "agent")
    async with inside(database, fresh_merchant, bank) as api, runtime_of(database.app_url, bank) as other:
        body = {"amount": 1_000, "currency": "EUR", "payment_method": "sim_ok"}
        with capture_logs() as lines:
            asked = await api.client.post("/v1/payments", json=body, headers=agent | {"idempotency-key": "doubtful"})
            assert asked.status_code == 202
            payment_id = asked.json()["id"]
            for verdict in (
                Approved(amount=1_000, currency="EUR", effect="captured", reference="r"),
                Declined(code="late", message="It contradicts.", reference="r"),
            ):
                loaded = await other.reads.load(fresh_merchant, payment_id)
                assert loaded is not None
                (attempt,) = loaded.stored.attempts
                await settle_verdict(
                    other, loaded.stored, attempt.attempt_id, verdict, cause="recovery", actor="recovery"
                )
        said = [(line["event"], line["key_kind"]) for line in lines]
        assert said == [("connector failed", "agent"), ("transition rejected", "agent")]
        steps = (await _history(api, payment_id))["data"]
        assert [step["to"] for step in steps] == ["authorizing", "captured"]
        assert [step["actor"][:4] for step in steps] == ["key:", "reco"]
        assert [step["key_kind"] for step in steps] == ["agent", "agent"]


async def refunds_declined(call: ProviderCall) -> Verdict | None:
    """Each was executed all the same."""
    return Declined(code="refund_declined", message="Declined.") if call.operation == "refund" else None


async def test_a_provider_s_event_about_an_agents_instruction(database: Database, fresh_merchant: str) -> None:
    """Its log line has the kind; one about what no instruction led to has none."""
    bank = BookedProvider()
    bank.after = refunds_declined
    agent = await _key(database, fresh_merchant, "agent")
    async with inside(database, fresh_merchant, bank) as api, runtime_of(database.app_url, bank) as worker:
        paid = (await api.pay("paid")).json()["id"]
        await api.client.post(f"/v1/payments/{paid}/refunds", headers=agent | {"idempotency-key": "back"})
        loaded = await worker.reads.load(fresh_merchant, paid)
        assert loaded is not None
        payment, [refund] = loaded.stored.payment, [a for a in loaded.stored.attempts if a.operation == "refund"]
        executed = Approved(amount=refund.amount, currency=refund.currency, effect="refunded", reference="re_1")
        notices: dict[str, Notice] = {
            "ours": AttemptNotice(operation="refund", attempt_id=refund.attempt_id, verdict=executed),
            "the dashboard's": RefundNotice(reference="re_2", amount=5_000, currency=refund.currency),
        }
        kinds = {}
        for name, notice in notices.items():
            with capture_logs() as lines:
                await accept(database, [envelope(f"{fresh_merchant}-{name}", notice, payment=payment)])
                await drain(worker, fresh_merchant)
            kinds[name] = [line["key_kind"] for line in lines if line["event"] == "transition rejected"]
    assert kinds == {"ours": ["agent"], "the dashboard's": [None]}


async def test_each_kind_is_on_steps_refusals_and_messages(database: Database, fresh_merchant: str) -> None:
    bank = BookedProvider()
    async with inside(database, fresh_merchant, bank) as api, runtime_of(database.app_url, bank) as runtime:
        paid = (await api.pay("paid")).json()["id"]
        person = await _key(database, fresh_merchant, "human") | {"idempotency-key": "back"}
        agent = await _key(database, fresh_merchant, "agent") | {"idempotency-key": "again"}
        assert (await api.client.post(f"/v1/payments/{paid}/refunds", headers=person)).status_code == 201
        late = await api.client.post(f"/v1/payments/{paid}/capture", headers=agent)
        assert_problem(late, 409, "transition_rejected")
        history = await _history(api, paid)
        kinds = [(step["event"], step["key_kind"]) for step in history["data"]]
        assert kinds == [
            ("create", "service"),
            ("captured", "service"),
            ("refund_opened", "human"),
            ("refund_succeeded", "human"),
        ]
        assert [each["key_kind"] for each in history["rejected"]] == ["agent"]
        assert await Dispatch(Outbox(runtime.pool, runtime.clock), 10).flush(fresh_merchant)
        told = [json.loads(each["body"]) for each in (await api.client.get("/v1/messages")).json()["data"]]
        assert [(each["type"], each["key_kind"]) for each in told] == [
            ("payment.captured", "service"),
            ("refund.created", "human"),
            ("refund.succeeded", "human"),
        ]
        async with runtime.pool.acquire() as pooled:
            report = await verify(cast(asyncpg.Connection, pooled), settings=SETTINGS, merchant_id=fresh_merchant)
        assert report.holds, report


async def test_a_failure_of_the_process_names_who_asked(database: Database, fresh_merchant: str) -> None:
    agent = await _key(database, fresh_merchant, "agent")
    async with inside(database, fresh_merchant, BookedProvider()) as api:
        api.app.state.runtime.reads.payment = broken
        path = f"/v1/payments/{'pay_' + '0' * 32}"
        with capture_logs() as lines:
            assert (await api.client.get(path, headers=agent)).status_code == 500
        (line,) = [line for line in lines if line["event"] == "request failed"]
        assert line["key_kind"] == "agent" and line["key_id"]
