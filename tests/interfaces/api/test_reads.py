"""The GET side: lists and their pages, history, the book; and HEAD, OPTIONS, unknown paths and methods."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tallystick.kit.ids import new_id
from tests.support.api import Merchant, Stack, assert_problem


def _pages(merchant: Merchant, **parameters: Any) -> list[list[str]]:
    pages, cursor = [], None
    while True:
        page = merchant.get("/v1/payments", **parameters, **({"cursor": cursor} if cursor else {})).json()
        pages.append([payment["id"] for payment in page["data"]])
        cursor = page["next_cursor"]
        assert page["has_more"] is (cursor is not None)
        if cursor is None:
            return pages


def test_pages_hold_everything_once_newest_first(merchant: Merchant) -> None:
    made = [merchant.pay().json()["id"] for _ in range(5)]
    newest_first = made[::-1]
    assert _pages(merchant) == [newest_first]
    assert _pages(merchant, limit=2) == [newest_first[:2], newest_first[2:4], newest_first[4:]]
    assert _pages(merchant, limit=5) == [newest_first]
    first = merchant.get("/v1/payments", limit=2).json()
    merchant.pay()  # what is newer does not move the pages that follow
    second = merchant.get("/v1/payments", limit=2, cursor=first["next_cursor"]).json()
    assert [payment["id"] for payment in second["data"]] == newest_first[2:4]


def test_filters(merchant: Merchant) -> None:
    key = new_id("req")
    declined = merchant.pay("sim_declined").json()
    captured = merchant.pay(key=key).json()
    held = merchant.pay(capture_method="manual").json()
    assert _pages(merchant, state="declined") == [[declined["id"]]]
    assert _pages(merchant, state="authorized") == [[held["id"]]]
    assert _pages(merchant, idempotency_key=key) == [[captured["id"]]]
    assert _pages(merchant, provider_reference=captured["provider_reference"]) == [[captured["id"]]]
    assert _pages(merchant, created_gte=captured["created_at"]) == [[held["id"], captured["id"]]]
    assert _pages(merchant, created_gte="2999-01-01T00:00:00Z") == [[]]
    assert _pages(merchant, created_lt=captured["created_at"]) == [[declined["id"]]]
    assert _pages(merchant, created_lt="2999-01-01T00:00:00Z", limit=2) == [
        [held["id"], captured["id"]],
        [declined["id"]],
    ]
    between = {"created_gte": captured["created_at"], "created_lt": held["created_at"]}
    assert _pages(merchant, **between) == [[captured["id"]]]
    assert _pages(merchant, **between, state="declined") == [[]]
    assert _pages(merchant, idempotency_key=new_id("req")) == [[]]
    assert _pages(merchant, state="captured") == [[captured["id"]]]
    reference = captured["provider_reference"]
    for state, found in (("captured", [[captured["id"]]]), ("authorized", [[]])):
        assert _pages(merchant, state=state, idempotency_key=key) == found
        assert _pages(merchant, state=state, provider_reference=reference) == found
        assert _pages(merchant, state=state, provider_reference=reference, idempotency_key=key) == found
    assert _pages(merchant, idempotency_key=key, provider_reference=held["provider_reference"]) == [[]]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=ten", "limit"),
        ("limit=1&limit=2", "limit"),
        ("state=paid", "state"),
        ("state=", "state"),
        ("created_gte=yesterday", "created_gte"),
        ("created_gte=2026-02-30T00:00:00Z", "created_gte"),
        ("created_lt=tomorrow", "created_lt"),
        ("created_gte=2026-01-02T00:00:00Z&created_lt=2026-01-01T00:00:00Z", "created_lt"),
        ("created_gte=2026-01-01T00:00:00Z&created_lt=2026-01-01T01:00:00%2B01:00", "created_lt"),
        ("cursor=AAAA", "cursor"),
        ("cursor=%FF%00", "cursor"),
        ("provider_reference=%00", "provider_reference"),
        ("colour=red", "colour"),
        ("&".join(f"a{n}=1" for n in range(60)), "query"),
    ],
)
def test_bad_parameters_are_named(merchant: Merchant, query: str, field: str) -> None:
    answer = merchant.client.get(f"/v1/payments?{query}")
    assert field in [error["field"] for error in assert_problem(answer, 422, "validation_failed")["errors"]]


@pytest.mark.parametrize("path", ["/v1/payments/{id}", "/v1/payments/{id}/history", "/v1/ledger/accounts"])
def test_unknown_parameters_are_refused(merchant: Merchant, path: str) -> None:
    payment_id = merchant.pay().json()["id"]
    answer = merchant.client.get(f"{path.format(id=payment_id)}?expand=all")
    assert_problem(answer, 422, "validation_failed")


def test_things_that_are_not_there(merchant: Merchant) -> None:
    for path in (
        f"/v1/payments/{new_id('pay')}",
        f"/v1/payments/{new_id('pay')}/history",
        f"/v1/payments/{new_id('re')}",
        f"/v1/refunds/{new_id('re')}",
        "/v1/refunds/x",
        "/v1/payments/%00",
        f"/v1/ledger/transfers?payment={new_id('pay')}",
        "/v1/ledger/transfers?payment=x",
        "/v2/payments",
        "/",
    ):
        assert_problem(merchant.client.get(path), 404, "not_found")
    assert_problem(merchant.get("/v1/ledger/transfers"), 422, "validation_failed")


def test_history_and_the_book_tell_one_story(merchant: Merchant) -> None:
    payment_id = merchant.pay(capture_method="manual").json()["id"]
    path = f"/v1/payments/{payment_id}"
    merchant.post(f"{path}/capture", {"amount": 700})
    refund = merchant.post(f"{path}/refunds", {"amount": 200}).json()
    merchant.post(f"{path}/cancel")
    history = merchant.get(f"{path}/history").json()
    steps = [(entry["version"], entry["from"], entry["to"]) for entry in history["data"]]
    assert steps[:4] == [
        (1, "new", "authorizing"),
        (2, "authorizing", "authorized"),
        (3, "authorized", "capturing"),
        (4, "capturing", "captured"),
    ]
    assert [version for version, _, _ in steps] == list(range(1, len(steps) + 1))
    assert len(steps) == merchant.get(path).json()["version"]
    assert history["data"][0]["actor"].startswith("key:")
    assert history["data"][1]["provider_reference"]
    assert [(entry["event"], entry["state"]) for entry in history["rejected"]] == [("cancel", "captured")]
    assert merchant.get(f"/v1/refunds/{refund['id']}").json() == refund

    transfers = merchant.get("/v1/ledger/transfers", payment=payment_id).json()["data"]
    assert len({transfer["id"] for transfer in transfers}) == len(transfers) == 5
    assert {transfer["payment_id"] for transfer in transfers} == {payment_id}
    accounts = {account["account"]: account for account in merchant.get("/v1/ledger/accounts").json()["data"]}
    for name, account in accounts.items():
        debits = sum(transfer["amount"] for transfer in transfers if transfer["debit"] == name)
        credits = sum(transfer["amount"] for transfer in transfers if transfer["credit"] == name)
        assert (account["debits"], account["credits"]) == (debits, credits)
        assert account["balance"] == debits - credits
        assert account["currency"] == "EUR"
    assert sum(account["balance"] for account in accounts.values()) == 0
    assert accounts["provider:simulator"]["balance"] == 500


def test_head_options_and_other_methods(stack: Stack, merchant: Merchant) -> None:
    payment_id = merchant.pay().json()["id"]
    path = f"/v1/payments/{payment_id}"
    head, get = merchant.client.head(path), merchant.get(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == get.headers["content-length"]
    assert httpx.head(f"{stack.url}{path}", verify=False).status_code == 401
    options = merchant.client.options("/v1/payments")
    assert (options.status_code, options.headers["allow"]) == (204, "GET, HEAD, OPTIONS, POST")
    for method, where, allow in (
        ("DELETE", "/v1/payments", "GET, HEAD, OPTIONS, POST"),
        ("PUT", path, "GET, HEAD, OPTIONS"),
        ("GET", f"{path}/capture", "OPTIONS, POST"),
        ("HEAD", f"{path}/capture", "OPTIONS, POST"),
        ("POST", "/healthz", "GET, HEAD, OPTIONS"),
    ):
        answer = merchant.client.request(method, where)
        assert (answer.status_code, answer.headers["allow"]) == (405, allow)
        if method != "HEAD":
            assert_problem(answer, 405, "method_not_allowed")


def test_open_paths_need_no_key(stack: Stack) -> None:
    for path, key, value in (
        ("/healthz", "status", "ok"),
        ("/readyz", "status", "ready"),
        ("/openapi.json", "openapi", "3.1.0"),
    ):
        answer = httpx.get(f"{stack.url}{path}", verify=False)
        assert (answer.status_code, answer.json()[key]) == (200, value)


def test_the_request_id_is_ours(merchant: Merchant) -> None:
    answer = merchant.client.get("/v1/payments", headers={"Request-Id": "theirs", "X-Request-Id": "theirs"})
    assert answer.headers["request-id"].startswith("req_")
