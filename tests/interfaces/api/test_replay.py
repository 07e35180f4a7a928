"""One key, one instruction: what later calls with the same key are told."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tallystick.domain.verdicts import Approved, Verdict
from tallystick.kit.ids import new_id
from tallystick.providers.port import ProviderCall
from tests.support.api import NO_MEMBERS, Merchant, Stack, as_listed, assert_problem, inside
from tests.support.database import Database
from tests.support.inbox import pending
from tests.support.polling import eventually_async
from tests.support.runtime import BookedProvider


@pytest.mark.parametrize(
    ("method", "status", "state"),
    [("sim_ok", 201, "captured"), ("sim_declined", 201, "declined"), ("sim_insufficient_funds", 201, "declined")],
)
def test_a_create_is_replayed_byte_for_byte(merchant: Merchant, method: str, status: int, state: str) -> None:
    key = new_id("req")
    first = merchant.pay(method, key=key)
    assert (first.status_code, first.json()["state"]) == (status, state)
    assert first.headers["location"] == f"/v1/payments/{first.json()['id']}"
    again = merchant.pay(method, key=f'"{key}"')
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["request-id"] != first.headers["request-id"]


def test_a_replay_does_not_follow_the_payment(merchant: Merchant) -> None:
    key, capture_key, refund_key = new_id("req"), new_id("req"), new_id("req")
    created = merchant.pay(key=key, capture_method="manual")
    path = f"/v1/payments/{created.json()['id']}"
    captured = merchant.post(f"{path}/capture", {"amount": 600}, capture_key)
    assert (captured.status_code, captured.json()["amount_captured"]) == (200, 600)
    refunded = merchant.post(f"{path}/refunds", {"amount": 100, "reason": "too much"}, refund_key)
    assert (refunded.status_code, refunded.json()["state"]) == (201, "succeeded")
    assert refunded.headers["location"] == f"/v1/refunds/{refunded.json()['id']}"
    assert merchant.get(path).json()["amount_refunded"] == 100
    assert merchant.pay(key=key, capture_method="manual").content == created.content
    assert merchant.post(f"{path}/capture", {"amount": 600}, capture_key).content == captured.content
    again = merchant.post(f"{path}/refunds", {"reason": "too much", "amount": 100}, refund_key)
    assert again.content == refunded.content
    assert again.headers["idempotent-replayed"] == "true"


REFUSED: list[tuple[str, str, dict[str, Any]]] = [
    ("manual", "capture", {"amount": 1_001}),
    ("manual", "refunds", {}),
    ("automatic", "capture", {}),
    ("automatic", "cancel", {}),
    ("automatic", "refunds", {"amount": 1_001}),
]


@pytest.mark.parametrize(("capture_method", "action", "body"), REFUSED)
def test_a_rejection_is_recorded_and_replayed(
    merchant: Merchant, capture_method: str, action: str, body: dict[str, Any]
) -> None:
    payment_id = merchant.pay(capture_method=capture_method).json()["id"]
    key = new_id("req")
    first = merchant.post(f"/v1/payments/{payment_id}/{action}", body, key)
    problem = assert_problem(first, 409, "transition_rejected")
    assert (problem["outcome"], problem["retryable"], problem["payment_id"]) == ("executed", False, payment_id)
    again = merchant.post(f"/v1/payments/{payment_id}/{action}", body, key)
    assert (again.status_code, again.content) == (409, first.content)
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["content-type"] == "application/problem+json"
    rejected = merchant.get(f"/v1/payments/{payment_id}/history").json()["rejected"]
    assert [(entry["idempotency_key"], entry["origin"]) for entry in rejected] == [(key, "client")]


def test_another_payload_names_what_differs(merchant: Merchant) -> None:
    key = new_id("req")
    payment_id = merchant.pay(key=key, metadata={"order": "1"}).json()["id"]
    for fields, field in (
        ({"amount": 1_001, "metadata": {"order": "1"}}, "amount"),
        ({"metadata": {"order": "2"}}, "metadata.order"),
        ({"metadata": {"order": "1"}, "capture_method": "automatic"}, "capture_method"),
    ):
        problem = assert_problem(merchant.pay(key=key, **fields), 422, "idempotency_key_reused")
        assert [error["field"] for error in problem["errors"]] == [field]
        assert problem["payment_id"] == payment_id
    other = merchant.post(f"/v1/payments/{payment_id}/refunds", {}, key)
    assert assert_problem(other, 422, "idempotency_key_reused")["errors"][0]["field"] == "operation"


def test_the_same_payload_on_another_payment_differs(merchant: Merchant) -> None:
    one, two = (merchant.pay(capture_method="manual").json()["id"] for _ in range(2))
    key = new_id("req")
    assert merchant.post(f"/v1/payments/{one}/capture", {}, key).status_code == 200
    problem = assert_problem(merchant.post(f"/v1/payments/{two}/capture", {}, key), 422, "idempotency_key_reused")
    assert problem["errors"][0]["field"] == "path"
    assert problem["payment_id"] == one, "the first request's, and not the one in the path"


def test_a_refused_request_is_mended_under_its_key(merchant: Merchant) -> None:
    key = new_id("req")
    refused = assert_problem(merchant.pay(key=key, amount=0), 422, "validation_failed")
    assert refused["outcome"] == "not_executed"
    assert merchant.pay(key=key).status_code == 201


def test_another_api_key_of_the_merchant_finds_the_instruction(merchant: Merchant, stack: Stack) -> None:
    key = new_id("req")
    first = merchant.pay(key=key)
    rotated = Merchant(stack, merchant.merchant_id)
    again = rotated.pay(key=key)
    rotated.client.close()
    assert rotated.api_key != merchant.api_key
    assert (again.content, again.headers["Idempotent-Replayed"]) == (first.content, "true")


def test_a_stricter_check_cannot_turn_a_replay_into_an_error(merchant: Merchant) -> None:
    """The key is looked up before card data, path, query and fields: with a taken key they never answer."""
    key = new_id("req")
    assert merchant.pay(key=key).status_code == 201
    for answer in (
        merchant.pay(key=key, amount=0),
        merchant.pay(key=key, description="4111 1111 1111 1111"),
        merchant.pay("sim_nothing", key=key),
        merchant.post("/v1/payments/nonsense/cancel", {}, key),
        merchant.post(f"/v1/payments/{new_id('pay')}/cancel", {}, key),
    ):
        assert_problem(answer, 422, "idempotency_key_reused")
    replayed = merchant.post(
        "/v1/payments?unknown=1", {"amount": 1_000, "currency": "EUR", "payment_method": "sim_ok"}, key
    )
    assert (replayed.status_code, replayed.headers.get("idempotent-replayed")) == (201, "true")


def test_202_until_it_is_final_then_the_recorded_answer(merchant: Merchant) -> None:
    key = new_id("req")
    first = merchant.pay("sim_pending", key=key)
    assert first.status_code == 202, first.text
    assert (first.json()["state"], first.json()["final"]) == ("authorizing", False)
    assert first.headers["location"] == f"/v1/payments/{first.json()['id']}"
    assert "idempotent-replayed" not in first.headers
    meanwhile = merchant.pay("sim_pending", key=key)
    assert meanwhile.status_code == 202
    assert "idempotent-replayed" not in meanwhile.headers
    assert first.headers["retry-after"] == meanwhile.headers["retry-after"] == "1"
    settled = merchant.settled(f"/v1/payments/{first.json()['id']}")
    final = merchant.pay("sim_pending", key=key)
    assert (final.status_code, final.headers["idempotent-replayed"]) == (201, "true")
    assert as_listed(settled) == final.json() | NO_MEMBERS
    assert "retry-after" not in final.headers


@pytest.mark.parametrize(
    ("first_looks", "wait_s"),
    [({"recovery_backoff_base_ms": 1_000, "pending_poll_ms": 2_000}, "2"),
     ({"pending_poll_ms": 7_200}, "8"), ({"recovery_backoff_base_ms": 5_000}, "5"),
     ({"recovery_backoff_base_ms": 10, "pending_poll_ms": 10}, "1")],
)  # fmt: skip
async def test_the_wait_follows_the_settings_of_recovery(
    database: Database, fresh_merchant: str, first_looks: dict[str, int], wait_s: str
) -> None:
    bank = BookedProvider()
    bank.after = pending
    async with inside(database, fresh_merchant, bank, **first_looks) as api:
        first = await api.pay("late")
    assert (first.status_code, first.headers["retry-after"]) == (202, wait_s)


def test_a_refund_that_is_not_final_says_when_to_come_back(merchant: Merchant) -> None:
    key, paid = new_id("req"), merchant.pay("sim_refund_pending")
    path = f"/v1/payments/{paid.json()['id']}/refunds"
    first = merchant.post(path, {}, key)
    assert (first.status_code, first.headers["retry-after"]) == (202, "1")
    merchant.settled(f"/v1/refunds/{first.json()['id']}")
    final = merchant.post(path, {}, key)
    assert (final.status_code, "retry-after" in final.headers) == (201, False)


def test_an_unknown_outcome_is_202_and_resolved_by_recovery(merchant: Merchant) -> None:
    first = merchant.pay("sim_timeout_charged")
    assert first.status_code == 202, first.text
    assert first.json()["in_doubt"] is True
    settled = merchant.settled(f"/v1/payments/{first.json()['id']}")
    assert (settled["state"], settled["in_doubt"]) == ("captured", False)


async def test_in_flight_is_409_with_the_payment(database: Database, fresh_merchant: str) -> None:
    provider, reached, go = BookedProvider(), asyncio.Event(), asyncio.Event()

    async def wait(_: ProviderCall) -> Verdict | None:
        reached.set()
        await go.wait()
        return None

    provider.before = wait
    async with inside(database, fresh_merchant, provider, send_window_ms=60_000) as api:
        key = new_id("req")
        first = asyncio.create_task(api.pay(key))
        await reached.wait()
        problem = assert_problem(second := await api.pay(key), 409, "instruction_in_flight")
        assert int(second.headers["retry-after"]) >= 1
        assert (problem["retryable"], problem["outcome"]) == (True, "unknown")
        go.set()
        answer = await first
        assert answer.status_code == 201
        assert problem["payment_id"] == answer.json()["id"]
        assert len(provider.effects) == 1


async def test_a_client_that_hangs_up_cancels_nothing(database: Database, fresh_merchant: str) -> None:
    provider, reached, go = BookedProvider(), asyncio.Event(), asyncio.Event()

    async def wait(call: ProviderCall) -> Verdict | None:
        reached.set()
        await go.wait()
        return Approved(amount=call.amount, currency=call.currency, effect="captured", reference="r")

    provider.before = wait
    async with inside(database, fresh_merchant, provider, send_window_ms=60_000) as api:
        key = new_id("req")
        first = asyncio.create_task(api.pay(key))
        await reached.wait()
        first.cancel()
        go.set()
        again = await eventually_async(lambda: api.pay(key), until=lambda answer: answer.status_code != 409)
        assert (again.status_code, again.headers["idempotent-replayed"]) == (201, "true")
