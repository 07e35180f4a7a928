"""A test message: sent at once by the rules of every message, told in words, and never taken for a real one."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from typing import Any

import jsonschema_rs
import pytest
from aiohttp import web

from tallystick.access.key_store import create_key
from tallystick.decisions.messages import TEST_TYPE, MessageBody, message_types
from tallystick.domain.api_keys import declaration
from tallystick.domain.kinds import KINDS
from tallystick.flows.webhooks.outbound import endpoint_tester
from tallystick.flows.webhooks.outbound.address_policy import REFUSED_STEP_MS
from tallystick.flows.webhooks.outbound.client import CONNECTION_REFUSED, NO_PUBLIC_ADDRESS
from tallystick.interfaces.api.openapi import openapi_document
from tallystick.interfaces.api.rate_limit import RateLimiter
from tallystick.interfaces.api.routes.webhook_endpoints import EVENT_TYPES
from tallystick.interfaces.api.routes.webhook_tests import RATE
from tallystick.kit.clock import monotonic_ms
from tallystick.kit.ids import is_id
from tests.support.api import Inside, assert_problem, inside
from tests.support.database import Database
from tests.support.endpoints import PATH, SETTINGS
from tests.support.outbox import drain, worker
from tests.support.ports import free_port
from tests.support.receivers import Got, ok, receiving, status
from tests.support.runtime import BookedProvider


async def _endpoint(api: Inside, url: str, **fields: Any) -> tuple[str, str]:
    """(path, secret)."""
    made = (await api.client.post(PATH, json={"url": url} | fields)).json()
    return f"{PATH}/{made['endpoint']['id']}", made["secret"]


def _validator() -> jsonschema_rs.Draft202012Validator:
    """What the document says of the body."""
    document = json.loads(openapi_document())
    schema = document["webhooks"][TEST_TYPE]["post"]["requestBody"]["content"]["application/json"]["schema"]
    return jsonschema_rs.Draft202012Validator({"allOf": [schema], "components": document["components"]})


async def test_it_is_sent_signed_and_nothing_takes_it_for_a_real_message(
    database: Database, fresh_merchant: str
) -> None:
    async with receiving() as receiver, inside(database, fresh_merchant, BookedProvider(), **SETTINGS) as api:
        path, secret = await _endpoint(api, receiver.url, event_types=["payment.captured"])
        before = (await api.client.get(path)).json()
        answer = await api.client.post(f"{path}/test")
        test = answer.json()
        assert (answer.status_code, test["delivered"], test["result"]) == (200, True, "delivered")
        assert (test["status"], test["message"]) == (200, "answered with 200")
        (got,) = receiver.got
        body = got.verified(secret)
        assert (got.message_id, body["id"], body["type"]) == (test["id"], test["id"], TEST_TYPE)
        assert got.headers["tallystick-version"] == before["api_version"]

        # Neither by its type, nor by its id, nor by its members.
        assert TEST_TYPE not in message_types() and TEST_TYPE not in EVENT_TYPES
        assert TEST_TYPE.partition(".")[0] not in KINDS
        assert is_id("tst", body["id"]) and not is_id("msg", body["id"])
        assert set(MessageBody.__struct_fields__) - set(body) == {"payment_id", "version", "key_kind", "traceparent"}
        assert body["data"]["webhook_endpoint_id"] == before["id"]
        assert [error.message for error in _validator().iter_errors(body)] == []

        # Nothing of it is kept but who asked.
        async with worker(api.app.state.runtime) as delivery:
            await drain(delivery)
        assert len(receiver.got) == 1
        assert (await api.client.get(f"{path}/deliveries")).json()["data"] == []
        assert (await api.client.get("/v1/messages")).json()["data"] == []
        acts = await api.app.state.runtime.pool.fetch(
            "SELECT act, detail, actor FROM webhook_endpoint_act WHERE endpoint_id = $1 AND act = 'tested'",
            before["id"],
        )
        assert [(act["detail"], act["actor"].partition(":")[0]) for act in acts] == [(test["id"], "key")]


async def test_what_went_wrong_is_in_the_answer_and_the_endpoint_stays_as_it_was(
    database: Database, fresh_merchant: str
) -> None:
    async with receiving() as receiver, inside(database, fresh_merchant, BookedProvider(), **SETTINGS) as api:
        path, _ = await _endpoint(api, receiver.url)
        before = (await api.client.get(path)).json()
        receiver.script = status(410)
        gone = (await api.client.post(f"{path}/test")).json()
        assert (gone["delivered"], gone["result"], gone["status"]) == (False, "gone", 410)
        assert (await api.client.get(path)).json() == before
        closed, _ = await _endpoint(api, f"http://127.0.0.1:{free_port()}/")
        refused = (await api.client.post(f"{closed}/test")).json()
        assert (refused["result"], refused["message"], refused["status"]) == ("unreachable", CONNECTION_REFUSED, None)

        await api.client.post(f"{path}/disable")
        receiver.script = ok
        assert (await api.client.post(f"{path}/test")).json()["delivered"], "before it is enabled again"
        pool = api.app.state.runtime.pool
        await pool.execute("UPDATE webhook_secret SET sealed = '' WHERE endpoint_id = $1", before["id"])
        unsigned = (await api.client.post(f"{path}/test")).json()
        assert (unsigned["result"], unsigned["delivered"]) == ("secret_unreadable", False)
        assert len(receiver.got) == 2, "nothing unsigned is sent"


async def test_no_private_address_is_reached(database: Database, fresh_merchant: str) -> None:
    """The endpoint was registered while private addresses were allowed."""
    async with receiving() as receiver:
        async with inside(database, fresh_merchant, BookedProvider(), **SETTINGS) as api:
            paths = [await _endpoint(api, url) for url in (receiver.url, receiver.url.replace("http", "https"))]
        async with inside(database, fresh_merchant, BookedProvider()) as api:
            for path, _ in paths:
                started_ms = monotonic_ms()
                test = (await api.client.post(f"{path}/test")).json()
                assert (test["result"], test["message"]) == ("address_refused", NO_PUBLIC_ADDRESS)
                assert test["duration_ms"] and test["duration_ms"] % REFUSED_STEP_MS == 0
                assert monotonic_ms() - started_ms >= REFUSED_STEP_MS - 1, "the answer's own time says no more"
        assert receiver.got == []


async def test_its_rate_is_bounded_by_merchant_whatever_the_keys(
    database: Database, fresh_merchant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 0.0
    monkeypatch.setattr("tallystick.interfaces.api.app.RateLimiter", partial(RateLimiter, now=lambda: now_s))
    async with receiving() as receiver, inside(database, fresh_merchant, BookedProvider(), **SETTINGS) as api:
        path, _ = await _endpoint(api, receiver.url)
        for _ in range(RATE.burst):
            assert (await api.client.post(f"{path}/test")).status_code == 200
        refused = await api.client.post(f"{path}/test")
        assert_problem(refused, 429, "rate_limited")
        assert refused.headers["retry-after"] == "5"
        assert (await api.client.get(path)).status_code == 200, "other requests have their own rate"
        now_s = 5.0
        assert (await api.client.post(f"{path}/test")).status_code == 200
        assert len(receiver.got) == RATE.burst + 1


async def test_a_key_that_may_not_ask_takes_nothing_of_its_merchants_rate(
    database: Database, fresh_merchant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tallystick.interfaces.api.app.RateLimiter", partial(RateLimiter, now=lambda: 0.0))
    key = await create_key(database.app_url, fresh_merchant, declared=declaration("agent"))
    async with receiving() as receiver, inside(database, fresh_merchant, BookedProvider(), **SETTINGS) as api:
        path, _ = await _endpoint(api, receiver.url)
        for _ in range(RATE.burst + 1):
            refused = await api.client.post(f"{path}/test", headers={"authorization": f"Bearer {key}"})
            assert_problem(refused, 403, "scope_missing")
        unknown = await api.client.post(f"{path}/test", headers={"tallystick-version": "1999-01-01"})
        assert_problem(unknown, 400, "version_unknown")
        for _ in range(RATE.burst):
            assert (await api.client.post(f"{path}/test")).status_code == 200


async def test_only_so_many_are_in_transit(
    database: Database, fresh_merchant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint_tester, "IN_TRANSIT_LIMIT", 1)
    arrived, answer = asyncio.Event(), asyncio.Event()

    async def slow(_: Got) -> web.StreamResponse:
        arrived.set()
        await answer.wait()
        return web.Response(status=204)

    async with receiving() as receiver, inside(database, fresh_merchant, BookedProvider(), **SETTINGS) as api:
        receiver.script = slow
        path, _ = await _endpoint(api, receiver.url)
        first = asyncio.create_task(api.client.post(f"{path}/test"))
        await arrived.wait()
        assert_problem(await api.client.post(f"{path}/test"), 503, "overloaded")
        answer.set()
        assert (await first).json()["status"] == 204
        assert (await api.client.post(f"{path}/test")).status_code == 200
