"""A payment that succeeds, fails, times out, or whose event ends as a dead letter: its request, each call, each commit,
each webhook and each message has its line and its span, and each of them names the payment, the key of the instruction
and the provider's reference, or our own until that is known."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Final, NamedTuple

import pytest
from structlog.testing import capture_logs

from tallystick.access.key_store import create_key
from tallystick.domain.api_keys import declaration
from tallystick.domain.verdicts import Declined, Verdict
from tallystick.flows.runtime import Runtime
from tallystick.flows.webhooks.inbound.handler import Handler
from tallystick.flows.webhooks.outbound.worker import OutboxWorker
from tallystick.providers.port import ProviderCall
from tests.support.api import Inside, inside
from tests.support.database import Database
from tests.support.inbox import WEBHOOK_SETTINGS, pending
from tests.support.inbox import drain as drain_inbox
from tests.support.log_lines import Said, lines_said
from tests.support.outbox import drain as drain_outbox
from tests.support.outbox import register, worker
from tests.support.provider_webhooks import PATH, event, signature
from tests.support.receivers import receiving
from tests.support.runtime import BookedProvider, recover, runtime_of, timed_out
from tests.support.spans import KeptSpans, spans_kept

KEY: Final = "order-1042"

#: What names a payment on a line.
NAMES: Final = ("payment_id", "idempotency_key", "key_kind", "attempt_id", "provider_reference")

#: What uses the API key of these tests.
KIND: Final = "agent"


class Shop(NamedTuple):
    """A merchant with an endpoint, the API that it uses, and a worker."""

    api: Inside
    runtime: Runtime
    delivery: OutboxWorker
    merchant_id: str
    said: Said
    spans: KeptSpans

    async def pay(self) -> tuple[str, str]:
        """One payment; its id and that of its attempt."""
        answer = await self.api.pay(KEY)
        payment_id = answer.json()["id"]
        (call,) = self.said.of("provider called", payment_id=payment_id)
        return payment_id, call["attempt_id"]

    async def deliver(self, payment_id: str, attempt_id: str) -> None:
        """The provider says by webhook that it captured."""
        told = json.loads(event()) | {"type": "charge.captured"}
        told["data"] = {
            "merchant_id": self.merchant_id,
            "payment_id": payment_id,
            "attempt_id": attempt_id,
            "charge_id": f"ref_{attempt_id}",
            "operation": "authorize",
            "status": "approved",
            "effect": "captured",
            "amount": 1_000,
            "currency": "EUR",
            "reference": f"ref_{attempt_id}",
        }
        body = json.dumps(told).encode()
        headers = {"acquirer-signature": signature(body), "content-type": "application/json"}
        answer = await self.api.client.post(PATH, content=body, headers=headers)
        assert answer.status_code == 200, answer.text
        await drain_inbox(self.runtime, self.merchant_id)

    def events(self) -> Counter[str]:
        """How many lines of each kind there are."""
        return Counter(line["event"] for line in self.said.lines)


@asynccontextmanager
async def shop(database: Database, merchant_id: str, bank: BookedProvider) -> AsyncIterator[Shop]:
    settings = replace(WEBHOOK_SETTINGS, webhook_allow_private_addresses=True, webhook_tries_limit=2)
    key = await create_key(database.app_url, merchant_id, declared=declaration(KIND, ["payments:create"]))
    async with (
        receiving() as receiver,
        inside(database, merchant_id, bank) as api,
        runtime_of(database.app_url, bank, settings=settings) as runtime,
        worker(runtime) as delivery,
    ):
        api.client.headers["Authorization"] = f"Bearer {key}"
        await register(runtime, merchant_id, receiver)
        with lines_said("debug") as said, spans_kept() as spans:
            yield Shop(api, runtime, delivery, merchant_id, said, spans)


def assert_named(shop: Shop, payment_id: str, attempt_id: str) -> None:
    """Each line and each span has the names, in the order in which they become known."""
    for line in shop.said.lines:
        if line["event"] == "delivery kept":  # the bytes name the payment, and not the key
            assert (line["payment_id"], line["provider_reference"]) == (payment_id, f"ref_{attempt_id}")
            continue
        assert (line["payment_id"], line["idempotency_key"], line["key_kind"]) == (payment_id, KEY, KIND), line
        assert line["attempt_id"] == attempt_id, line
        assert line.get("provider_reference") in (None, "later", f"ref_{attempt_id}"), line
    known = [line for line in shop.said.lines if line.get("provider_reference")]
    assert known, "the provider's reference is on no line"
    since = shop.said.lines.index(known[0])
    assert all(line.get("provider_reference") for line in shop.said.lines[since:]), "it is known, and not said"
    ended = [span for span in shop.spans.spans if span.failed is not None]
    told = Counter(line["event"] for line in shop.said.lines if line["event"] != "instruction finished")
    assert Counter(span.name for span in ended) == told
    for span in ended:
        (line,) = [one for one in shop.said.lines if _same(one, span.attributes, span.name)]
        assert {name: line.get(name) for name in NAMES} == {name: span.attributes.get(name) for name in NAMES}


def _same(line: dict[str, Any], attributes: Mapping[str, Any], name: str) -> bool:
    return bool(line["event"] == name and attributes.items() <= line.items())


async def test_a_payment_that_succeeds(database: Database, fresh_merchant: str) -> None:
    async with shop(database, fresh_merchant, BookedProvider()) as one:
        payment_id, attempt_id = await one.pay()
        await drain_outbox(one.delivery)
        assert one.events() == {"instruction": 1, "provider called": 1, "change committed": 2, "message tried": 1}
        assert_named(one, payment_id, attempt_id)
        request, call = one.spans.one("instruction"), one.spans.one("provider called")
        assert call.parent == request.traceparent
        assert [span.parent for span in one.spans.of("change committed")] == [request.traceparent] * 2
        message = one.spans.one("message tried")
        assert message.links == [request.traceparent] and message.trace_id == request.trace_id
        assert one.said.one("message tried")["result"] == "delivered"


async def refused(call: ProviderCall) -> Verdict:
    return Declined(code="do_not_honor", message="No.", reference=f"ref_{call.attempt_id}")


async def test_a_payment_that_fails(database: Database, fresh_merchant: str) -> None:
    bank = BookedProvider()
    bank.before = refused
    async with shop(database, fresh_merchant, bank) as one:
        payment_id, attempt_id = await one.pay()
        await drain_outbox(one.delivery)
        assert one.events() == {"instruction": 1, "provider called": 1, "change committed": 2, "message tried": 1}
        assert one.said.one("instruction")["money"] == "none"
        assert_named(one, payment_id, attempt_id)


async def test_a_payment_that_times_out(database: Database, fresh_merchant: str) -> None:
    bank = BookedProvider()
    bank.after = timed_out
    async with shop(database, fresh_merchant, bank) as one:
        payment_id, attempt_id = await one.pay()
        await recover(one.runtime)
        await drain_outbox(one.delivery)
        events = one.events()
        looked_up = one.said.of("provider called", call="fetch")
        assert looked_up and looked_up[-1]["verdict"] == "approved"
        assert events.pop("provider called") == 1 + len(looked_up)
        assert events.pop("change committed") >= 3
        assert events == {"instruction": 1, "instruction finished": 1, "message tried": 1}
        assert_named(one, payment_id, attempt_id)
        request = one.spans.one("instruction")
        assert {span.trace_id for span in one.spans.of("provider called")} == {request.trace_id}


async def test_a_payment_that_its_webhook_ends(database: Database, fresh_merchant: str) -> None:
    bank = BookedProvider()
    bank.after = pending
    async with shop(database, fresh_merchant, bank) as one:
        payment_id, attempt_id = await one.pay()
        await one.deliver(payment_id, attempt_id)
        await drain_outbox(one.delivery)
        events = one.events()
        assert events["delivery kept"] == events["event processed"] == events["instruction finished"] == 1
        assert (events["instruction"], events["message tried"]) == (1, 1)
        assert_named(one, payment_id, attempt_id)
        delivery, processed = one.spans.one("delivery kept"), one.spans.one("event processed")
        request = one.spans.one("instruction")
        assert processed.parent is None and processed.links == [delivery.traceparent, request.traceparent]
        assert one.spans.of("change committed")[-1].parent == processed.traceparent


async def test_a_payment_whose_event_is_a_dead_letter(
    database: Database, fresh_merchant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bank = BookedProvider()
    bank.after = pending
    async with shop(database, fresh_merchant, bank) as one:
        payment_id, attempt_id = await one.pay()
        with monkeypatch.context() as patched, capture_logs() as alerts:
            patched.setattr(Handler, "_decide", _defect)
            await one.deliver(payment_id, attempt_id)
        tried = one.said.of("event processed")
        assert [line["disposition"] for line in tried] == ["failed", "dead"]
        assert [line["tries"] for line in tried] == [1, 2]
        (dead,) = [line for line in alerts if line["event"] == "dead letter"]
        known = {"payment_id": payment_id, "idempotency_key": KEY, "key_kind": KIND, "attempt_id": attempt_id}
        assert known.items() <= dead.items()
        assert dead["provider_reference"] in ("later", f"ref_{attempt_id}")
        assert_named(one, payment_id, attempt_id)


def _defect(*_: Any) -> None:
    raise RuntimeError("a defect")
