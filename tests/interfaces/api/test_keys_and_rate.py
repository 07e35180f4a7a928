"""Who may call, whose things they see, and how often."""

from __future__ import annotations

import asyncio
import time
from functools import partial

import httpx
import pytest

from tallystick.access.api_key import parse_key
from tallystick.access.key_store import create_key, revoke_key, rotate_key
from tallystick.access.stored_keys import StoredKey, StoredKeys
from tallystick.interfaces.api.authentication import Authenticator
from tallystick.interfaces.api.rate_limit import RateLimiter
from tallystick.kit.ids import new_id
from tests.support.api import SHORT, Merchant, Stack, assert_problem, inside
from tests.support.database import Database
from tests.support.runtime import BookedProvider


def _look(stack: Stack, *authorizations: str) -> httpx.Response:
    headers = [(b"Authorization", value.encode("latin-1")) for value in authorizations]
    return httpx.get(f"{stack.url}/v1/payments", headers=headers, verify=False)


def test_only_a_whole_valid_key_opens(stack: Stack, merchant: Merchant) -> None:
    key = merchant.api_key
    assert _look(stack, f"Bearer {key}").status_code == 200
    assert _look(stack, f"bearer  {key}").status_code == 200
    parsed = parse_key(key)
    assert parsed is not None
    stolen = key.replace(parsed.merchant_id, "somebody")
    for wrong in (
        [],
        [key],
        [f"Basic {key}"],
        [f"Bearer {key}x"],
        [f"Bearer {key[:-1]}"],
        [f"Bearer {key[:-1]}{'a' if key[-1] != 'a' else 'b'}"],
        [f"Bearer {stolen}"],
        [f"Bearer {key}", f"Bearer {key}"],
        ["Bearer"],
        ["Bearer \xff"],
    ):
        answer = _look(stack, *wrong)
        assert_problem(answer, 401, "unauthenticated")
        assert answer.headers["www-authenticate"].startswith("Bearer")


def test_a_revoked_key_stops_working_within_the_cache_time(stack: Stack, merchant: Merchant) -> None:
    parsed = parse_key(merchant.api_key)
    assert parsed is not None
    assert merchant.get("/v1/payments").status_code == 200
    successor = asyncio.run(rotate_key(stack.database.app_url, parsed.merchant_id, parsed.key_id))
    assert _look(stack, f"Bearer {successor}").status_code == 200
    time.sleep(SHORT["api_key_cache_ms"] / 1000 + 0.05)  # the bound that is promised
    assert_problem(merchant.get("/v1/payments"), 401, "unauthenticated")
    assert _look(stack, f"Bearer {successor}").status_code == 200


def test_a_replay_works_under_another_key_of_the_merchant(stack: Stack, merchant: Merchant) -> None:
    key = new_id("req")
    first = merchant.pay(key=key)
    second_key = asyncio.run(create_key(stack.database.app_url, merchant.merchant_id))
    merchant.client.headers["Authorization"] = f"Bearer {second_key}"
    again = merchant.pay(key=key)
    assert (again.content, again.headers["idempotent-replayed"]) == (first.content, "true")


def test_another_merchants_things_are_not_there(merchant: Merchant, other_merchant: Merchant) -> None:
    payment_id = merchant.pay().json()["id"]
    refund_id = merchant.post(f"/v1/payments/{payment_id}/refunds", {"amount": 1}).json()["id"]
    for path in (f"/v1/payments/{payment_id}", f"/v1/payments/{payment_id}/history", f"/v1/refunds/{refund_id}"):
        assert merchant.get(path).status_code == 200
        assert_problem(other_merchant.get(path), 404, "not_found")
    assert_problem(other_merchant.get("/v1/ledger/transfers", payment=payment_id), 404, "not_found")
    for action in ("capture", "cancel", "refunds"):
        key = new_id("req")
        assert_problem(other_merchant.post(f"/v1/payments/{payment_id}/{action}", {}, key), 404, "not_found")
    assert other_merchant.get("/v1/payments").json()["data"] == []
    assert other_merchant.get("/v1/ledger/accounts").json()["data"] == []


def test_keys_of_two_merchants_do_not_meet(merchant: Merchant, other_merchant: Merchant) -> None:
    key = new_id("req")
    ours, theirs = merchant.pay(key=key), other_merchant.pay(key=key)
    assert ours.json()["id"] != theirs.json()["id"]
    assert "idempotent-replayed" not in theirs.headers


async def test_one_question_for_a_crowd(database: Database, fresh_merchant: str) -> None:
    async with inside(database, fresh_merchant, BookedProvider()) as api:
        asked = 0

        class Counted(StoredKeys):
            async def find(self, merchant_id: str, key_id: str) -> StoredKey | None:
                nonlocal asked
                asked += 1
                return await super().find(merchant_id, key_id)

        now = 0
        keys = Authenticator(Counted(api.app.state.runtime.pool), 1_000, lambda: now)
        header = [api.client.headers["Authorization"]]
        callers = await asyncio.gather(*(keys.caller(header) for _ in range(50)))
        assert {caller.merchant_id for caller in callers if caller} == {fresh_merchant}
        assert asked == 1
        now = 999
        assert await keys.caller(header) is not None
        assert asked == 1
        parsed = parse_key(header[0].removeprefix("Bearer "))
        assert parsed is not None
        await revoke_key(database.app_url, fresh_merchant, parsed.key_id)
        assert await keys.caller(header) is not None
        now = 1_000
        assert await keys.caller(header) is None
        assert asked == 2


async def test_the_merchants_default_provider_is_used(database: Database, fresh_merchant: str) -> None:
    await create_key(database.app_url, fresh_merchant, "elsewhere")
    async with inside(database, fresh_merchant, BookedProvider()) as api:
        assert_problem(refused := await api.pay(), 503, "not_ready")
        assert refused.headers["retry-after"]
        named = await api.pay(provider="simulator")
        assert (named.status_code, named.json()["provider"]) == (201, "simulator")


async def test_over_the_rate_is_429_before_anything_else(
    database: Database, fresh_merchant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 100.0
    monkeypatch.setattr("tallystick.interfaces.api.app.RateLimiter", partial(RateLimiter, now=lambda: now_s))
    async with inside(database, fresh_merchant, BookedProvider(), rate_limit_per_s=1, rate_limit_burst=2) as api:
        key = new_id("req")
        first = await api.pay(key)
        assert first.status_code == 201
        assert first.headers["ratelimit-policy"] == '"burst";q=2;w=2'
        assert (await api.client.get("/v1/payments")).status_code == 200
        refused = await api.client.post("/v1/payments", content=b"broken")
        problem = assert_problem(refused, 429, "rate_limited")
        assert (problem["retryable"], problem["outcome"]) == (True, "not_executed")
        assert refused.headers["retry-after"] == "1"
        assert refused.headers["ratelimit"].startswith('"burst";r=0;t=')
        now_s += 1.05
        again = await api.pay(key)
        assert (again.status_code, again.headers["idempotent-replayed"]) == (201, "true")


@pytest.mark.parametrize(("per_s", "burst"), [(1, 1), (10, 5), (1_000, 10)])
def test_the_bucket_gives_what_it_promises(per_s: int, burst: int) -> None:
    now = 100.0
    limiter = RateLimiter(per_s, burst, lambda: now)
    key = ("merchant", "key")
    for left in reversed(range(burst)):
        standing = limiter.take(key)
        assert standing is not None
        assert (standing.allowed, standing.remaining) == (True, left)
    standing = limiter.take(key)
    assert standing is not None
    assert not standing.allowed
    other = limiter.take(("merchant", "other"))
    assert other is not None
    assert other.allowed
    now += standing.retry_after_s
    standing = limiter.take(key)
    assert standing is not None
    assert standing.allowed


def test_no_rate_no_limit() -> None:
    assert RateLimiter(0, 1).take(("merchant", "key")) is None
