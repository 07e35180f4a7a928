"""Which provider a client may name: the one that is on, and that its merchant may use."""

from __future__ import annotations

from tallystick.access.key_store import create_key
from tests.support.api import assert_problem, inside
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
