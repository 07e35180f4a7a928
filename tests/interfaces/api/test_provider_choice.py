"""Which provider a client may name: the one that is on, and that its merchant may use."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, cast

import httpx
from structlog.testing import capture_logs

from tallystick.access.key_store import create_key
from tallystick.interfaces.api.app import create_app
from tallystick.settings.load import Settings
from tests.support.api import SEALING_KEY, SHORT, assert_problem, inside
from tests.support.database import Database
from tests.support.runtime import BookedProvider


async def test_the_test_acquirer_is_off(database: Database, fresh_merchant: str) -> None:
    bank = BookedProvider()
    async with inside(database, fresh_merchant, bank) as api:
        held = (await api.pay("held", capture_method="manual")).json()["id"]
    async with inside(database, fresh_merchant, bank, simulator="off") as api:
        for named in ({"provider": "simulator"}, {}):
            problem = assert_problem(await api.pay("new", **named), 422, "validation_failed")
            assert [(each["field"], each["code"]) for each in problem["errors"]] == [("provider", "unknown_provider")]
        assert_problem(await api.client.post("/v1/webhooks/simulator/main", content=b"{}"), 404, "not_found")
        replayed = await api.pay("held", capture_method="manual")
        assert (replayed.status_code, replayed.headers["idempotent-replayed"]) == (201, "true")
        captured = await api.client.post(f"/v1/payments/{held}/capture", headers={"Idempotency-Key": "c"})
        assert (captured.status_code, captured.json()["state"]) == (200, "captured")
    async with inside(database, fresh_merchant, bank) as api:  # the refusals took no key
        assert (await api.pay("new")).status_code == 201
        refused = await api.client.post("/v1/webhooks/simulator/main", content=b"{}")
        assert_problem(refused, 401, "webhook_signature_invalid")
    assert [call.operation for call in bank.effects_for(fresh_merchant)] == ["authorize", "capture", "authorize"]


async def test_a_merchant_is_held_to_its_providers(database: Database, fresh_merchant: str) -> None:
    await create_key(database.app_url, fresh_merchant, allowed_providers=["stripe"])
    bank = BookedProvider()
    async with inside(database, fresh_merchant, bank) as api:
        for named in ({"provider": "simulator"}, {}):
            problem = assert_problem(await api.pay(**named), 422, "validation_failed")
            assert [(each["field"], each["code"]) for each in problem["errors"]] == [("provider", "unknown_provider")]
    await create_key(database.app_url, fresh_merchant, allowed_providers=["stripe", "simulator"])
    async with inside(database, fresh_merchant, bank) as api:
        assert (await api.pay()).status_code == 201
    assert len(bank.effects_for(fresh_merchant)) == 1


async def test_a_provider_that_left_the_settings(database: Database, fresh_merchant: str) -> None:
    """Its payments are not ready, with the reason: nothing is executed, no key is taken, and a person is told once."""
    bank = BookedProvider()
    sent: dict[str, Callable[[httpx.AsyncClient, str, str], Awaitable[httpx.Response]]] = {
        "capture": lambda api, held, paid: api.post(f"/v1/payments/{held}/capture", headers=named("a"), json={}),
        "a part": lambda api, held, paid: api.post(
            f"/v1/payments/{held}/capture", headers=named("b"), json={"amount": 5}
        ),
        "cancel": lambda api, held, paid: api.post(f"/v1/payments/{held}/cancel", headers=named("c"), json={}),
        "refund": lambda api, held, paid: api.post(f"/v1/payments/{paid}/refunds", headers=named("d"), json={}),
    }
    async with inside(database, fresh_merchant, bank) as api:
        held = (await api.pay("held", capture_method="manual")).json()["id"]
        paid = (await api.pay("paid", amount=500)).json()["id"]
        part = await api.client.post(f"/v1/payments/{paid}/refunds", headers=named("part"), json={"amount": 100})
        assert part.status_code == 201
    settings = replace(Settings(data_dir="unused", sealing_keys=SEALING_KEY, **SHORT), simulator="off")
    app = create_app(settings, database.app_url, providers={})
    key = await create_key(database.app_url, fresh_merchant)
    transport = httpx.ASGITransport(cast(Any, app))  # two spellings of the ASGI types
    with capture_logs() as logged:
        async with app.lifespan(), httpx.AsyncClient(transport=transport, base_url="http://tallystick.test") as client:
            client.headers["Authorization"] = f"Bearer {key}"
            for send in sent.values():
                problem = assert_problem(answer := await send(client, held, paid), 503, "not_ready")
                assert (problem["outcome"], problem["retryable"]) == ("not_executed", True)
                assert "simulator, is not configured" in problem["detail"]
                assert answer.headers["retry-after"] == "1"
            replayed = await client.post(f"/v1/payments/{paid}/refunds", headers=named("part"), json={"amount": 100})
            assert (replayed.status_code, replayed.content) == (201, part.content), "a replay asks no provider"
    said = [(line["event"], line["provider"]) for line in logged if line.get("alert")]
    assert said == [
        ("provider with open payments is not configured", "simulator"),
        ("provider of a payment is not configured", "simulator"),
        ("provider of a payment is not configured", "simulator"),  # as the process ends: how many there were besides
    ]
    assert all("tallystick doctor" in line["next"] for line in logged if line.get("alert"))
    async with inside(database, fresh_merchant, bank) as api:
        assert (await sent["a part"](api.client, held, paid)).status_code == 200
        assert (await sent["refund"](api.client, held, paid)).status_code == 201


def named(key: str) -> dict[str, str]:
    return {"Idempotency-Key": key}
