"""What an API key declares is held at the door: scopes, currencies and amounts. A known idempotency key is answered all
the same."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tallystick.access.key_store import OPERATORS, create_key
from tallystick.domain.api_keys import SCOPES, declaration
from tallystick.interfaces.api.table import ENDPOINTS
from tallystick.kit.ids import new_id
from tests.support.api import Inside, assert_problem, inside
from tests.support.database import Database
from tests.support.runtime import BookedProvider


class Keys:
    """Keys of one merchant, and what they are used for."""

    def __init__(self, database: Database, merchant_id: str, api: Inside) -> None:
        self._database = database
        self._merchant_id = merchant_id
        self._client = api.client

    async def make(self, *declared: Any) -> dict[str, str]:
        """The header of a new key that declares this."""
        key = await create_key(self._database.app_url, self._merchant_id, declared=declaration(*declared))
        return {"authorization": f"Bearer {key}"}

    async def post(self, headers: dict[str, str], path: str, key: str | None = None, **body: Any) -> httpx.Response:
        """An instruction."""
        headers = headers | {"idempotency-key": key or new_id("req")}
        return await self._client.post(f"/v1/payments{path}", json=body, headers=headers)

    async def pay(self, headers: dict[str, str], key: str | None = None, **fields: Any) -> httpx.Response:
        """A payment of 10 euros."""
        body = {"amount": 1_000, "currency": "EUR", "payment_method": "sim_ok"} | fields
        return await self.post(headers, "", key, **body)


async def test_every_endpoint_needs_its_scope(database: Database, fresh_merchant: str) -> None:
    """Keys with one scope are refused by all endpoints of others; keys with all scopes by none."""
    refused = []
    async with inside(database, fresh_merchant, BookedProvider()) as api:
        for scopes in (["capabilities:read"], SCOPES):
            declared = declaration("service", scopes)
            merchants = await create_key(database.app_url, fresh_merchant, declared=declared)
            operators = await create_key(database.app_url, OPERATORS, operator=True, declared=declared)
            for endpoint in ENDPOINTS:
                key = operators if endpoint.callers == "operator" else merchants
                answer = await api.client.request(
                    endpoint.method,
                    endpoint.path.replace("{id}", new_id("pay")).replace("{message_id}", new_id("msg")),
                    headers={"authorization": f"Bearer {key}", "idempotency-key": new_id("req")},
                    json={} if endpoint.method == "POST" else None,
                )
                if answer.status_code == 403:
                    assert endpoint.scope in assert_problem(answer, 403, "scope_missing")["detail"]
                    refused.append(endpoint.name)
    assert refused == [endpoint.name for endpoint in ENDPOINTS if endpoint.name != "getCapabilities"]


async def test_an_agents_key_without_scopes_reads_alone(database: Database, fresh_merchant: str) -> None:
    bank = BookedProvider()
    async with inside(database, fresh_merchant, bank) as api:
        keys = Keys(database, fresh_merchant, api)
        agent = await keys.make("agent")
        assert (await api.client.get("/v1/payments", headers=agent)).status_code == 200
        assert_problem(await keys.pay(agent, "k"), 403, "scope_missing")
        assert bank.effects_for(fresh_merchant) == []
        assert (await api.pay("k", amount=7)).status_code == 201  # the key was free


async def test_what_was_executed_is_answered_whatever_the_key_may_do(database: Database, fresh_merchant: str) -> None:
    bank = BookedProvider()
    async with inside(database, fresh_merchant, bank) as api:
        keys = Keys(database, fresh_merchant, api)
        first = await api.pay("k")
        for narrower in (await keys.make("agent"), await keys.make("service", [], [], {"EUR": 1})):
            again = await keys.pay(narrower, "k")
            assert (again.status_code, again.content) == (201, first.content)
            assert again.headers["idempotent-replayed"] == "true"
            assert_problem(await keys.pay(narrower, "k", amount=7), 422, "idempotency_key_reused")
    assert len(bank.effects_for(fresh_merchant)) == 1


@pytest.mark.parametrize(
    ("currencies", "limits", "amount", "allowed"),
    [
        pytest.param(["EUR"], {}, 10**9, True, id="currency, any amount"),
        pytest.param(["USD"], {}, 1, False, id="another currency"),
        pytest.param([], {"EUR": 1_000}, 1_000, True, id="at the limit"),
        pytest.param([], {"EUR": 1_000}, 1_001, False, id="above the limit"),
        pytest.param([], {"USD": 1_000}, 1, False, id="a limit names its currency"),
        pytest.param(["EUR"], {"USD": 1_000}, 1_001, True, id="one limited, one not"),
    ],
)
async def test_limits_of_a_payment(
    database: Database,
    fresh_merchant: str,
    currencies: list[str],
    limits: dict[str, int],
    amount: int,
    allowed: bool,
) -> None:
    bank = BookedProvider()
    async with inside(database, fresh_merchant, bank) as api:
        keys = Keys(database, fresh_merchant, api)
        answer = await keys.pay(await keys.make("service", [], currencies, limits), "k", amount=amount)
        if allowed:
            assert answer.status_code == 201
        else:
            assert_problem(answer, 403, "limit_exceeded")
            assert bank.effects_for(fresh_merchant) == []
            assert (await api.pay("k", amount=7)).status_code == 201  # the key was free


async def test_all_that_is_left_is_measured_too(database: Database, fresh_merchant: str) -> None:
    """Captures and refunds that name no amount are as much as those that do."""
    async with inside(database, fresh_merchant, BookedProvider()) as api:
        keys = Keys(database, fresh_merchant, api)
        low = await keys.make("agent", ["payments:capture", "refunds:create"], [], {"EUR": 899})
        other = await keys.make("service", [], ["JPY"])
        path = "/" + (await api.pay(amount=900, capture_method="manual")).json()["id"]
        asked: list[dict[str, Any]] = [{}, {"amount": 900}]
        for body in asked:
            assert_problem(await keys.post(low, f"{path}/capture", **body), 403, "limit_exceeded")
        assert_problem(await keys.post(other, f"{path}/cancel"), 403, "limit_exceeded")
        whole = await keys.make("human")
        assert (await keys.post(whole, f"{path}/capture")).json()["state"] == "captured"
        assert_problem(await keys.post(other, f"{path}/capture"), 403, "limit_exceeded")  # nor learns its state
        for body in asked:
            assert_problem(await keys.post(low, f"{path}/refunds", **body), 403, "limit_exceeded")
        assert (await keys.post(low, f"{path}/refunds", amount=899)).status_code == 201
        assert (await keys.post(low, f"{path}/refunds")).json()["amount"] == 1
        history = (await api.client.get(f"/v1/payments{path}/history")).json()
        assert history["rejected"] == []


async def test_a_cancel_moves_nothing(database: Database, fresh_merchant: str) -> None:
    async with inside(database, fresh_merchant, BookedProvider()) as api:
        keys = Keys(database, fresh_merchant, api)
        low = await keys.make("agent", ["payments:cancel"], [], {"EUR": 1})
        path = "/" + (await api.pay(amount=900, capture_method="manual")).json()["id"]
        assert (await keys.post(low, f"{path}/cancel")).json()["state"] == "canceled"
