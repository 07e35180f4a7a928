"""What comes before a handler: one Host, and one spelling of every path. Two spellings would be two names for what a
proxy in front allows or limits."""

from __future__ import annotations

import json
import socket
from typing import Any

import httpx
import pytest

from tallystick.kit.ids import new_id
from tests.support.api import Merchant, Stack

PATIENCE_S = 60


def say(stack: Stack, *lines: str, body: str = "") -> tuple[int, dict[str, str], dict[str, Any]]:
    """Send a request as it stands; its status, headers and body."""
    url = httpx.URL(stack.url)
    assert url.port is not None
    with socket.create_connection((url.host, url.port), timeout=PATIENCE_S) as connection:
        connection.sendall("\r\n".join((*lines, "connection: close", "", body)).encode("latin-1"))
        said = b"".join(iter(lambda: connection.recv(65_536), b""))
    head, _, rest = said.partition(b"\r\n\r\n")
    first, *others = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in others)}
    return int(first.split()[1]), headers, json.loads(rest or b"{}")


NO_HOST: dict[str, tuple[str, ...]] = {
    "none": (),
    "an empty one": ("host:",),
    "two": ("host: a.example", "host: b.example"),
    "the same twice": ("host: a.example", "Host: a.example"),
    "not a host": ("host: a b",),
    "one with a user": ("host: user@a.example",),
    "half an address": ("host: [::1",),
    "no such port": ("host: a.example:99999999",),
}


@pytest.mark.parametrize("path", ["/v1/payments", "/healthz", "/nowhere", "/v1/webhooks/simulator/main"])
@pytest.mark.parametrize("hosts", NO_HOST)
def test_a_request_has_one_host(stack: Stack, hosts: str, path: str) -> None:
    """RFC 9112 section 3.2."""
    status, headers, body = say(stack, f"GET {path} HTTP/1.1", *NO_HOST[hosts])
    assert (status, body.get("code"), body.get("outcome")) == (400, "request_malformed", "not_executed")
    assert headers["content-type"] == "application/problem+json"
    assert body["request_id"] == headers["request-id"]


@pytest.mark.parametrize("host", ["a.example", "A_b-c.example.:8400", "127.0.0.1:", "[::1]:8400", "xn--nxasmq6b"])
def test_hosts_as_they_are_written(stack: Stack, host: str) -> None:
    assert say(stack, "GET /healthz HTTP/1.1", f"host: {host}")[0] == 200


def test_http_1_0_needs_no_host(stack: Stack) -> None:
    """Some load balancers ask for health that way."""
    assert say(stack, "GET /healthz HTTP/1.0")[0] == 200
    assert say(stack, "GET /healthz HTTP/1.0", "host: a.example", "host: b.example")[0] == 400


def test_a_payment_without_a_host_is_none(stack: Stack, merchant: Merchant) -> None:
    pay = '{"amount": 1000, "currency": "EUR", "payment_method": "sim_ok"}'
    lines = (
        "POST /v1/payments HTTP/1.1",
        f"authorization: Bearer {merchant.api_key}",
        f"idempotency-key: {new_id('req')}",
        "content-type: application/json",
        f"content-length: {len(pay)}",
    )
    for hosts in NO_HOST.values():
        assert say(stack, *lines, *hosts, body=pay)[0] == 400
    assert merchant.get("/v1/payments").json()["data"] == []
    assert say(stack, *lines, "host: a.example", body=pay)[0] == 201


OTHER_SPELLINGS = [
    "//v1/payments",
    "/v1//payments",
    "/v1/payments/",
    "/v1/payments//",
    "/v1/%70ayments",
    "/v1%2Fpayments",
    "/%76%31/payments",
    "/v1/payments%2F",
    "/v1/./payments",
    "/v1/x/../payments",
    "/v1/%2e/payments",
    "/v1/payments%00",
    "/v1/payments%",
    "/V1/payments",
    "/healthz/",
    "//healthz",
    "/%68ealthz",
    "/openapi.json/",
]


@pytest.mark.parametrize("path", OTHER_SPELLINGS)
def test_a_path_has_one_spelling(stack: Stack, merchant: Merchant, path: str) -> None:
    lines = ("host: a.example", f"authorization: Bearer {merchant.api_key}")
    for method in ("GET", "POST", "OPTIONS"):
        status, _, body = say(stack, f"{method} {path} HTTP/1.1", *lines)
        assert (status, body["code"]) == (404, "not_found"), (method, path)


def test_an_id_has_one_spelling(stack: Stack, merchant: Merchant) -> None:
    payment = merchant.pay().json()
    path, lines = f"/v1/payments/{payment['id']}", ("host: a.example", f"authorization: Bearer {merchant.api_key}")
    assert say(stack, f"GET {path} HTTP/1.1", *lines)[0] == 200
    encoded = path.replace("pay_", "pay%5F")
    slashed = f"/v1/payments/{payment['id']}%2Frefunds"
    for other in (encoded, f"{path}/", slashed, path.replace("/payments/", "/payments//")):
        assert say(stack, f"GET {other} HTTP/1.1", *lines)[0] == 404, other


def test_the_query_does_not_matter_to_the_path(stack: Stack, merchant: Merchant) -> None:
    lines = ("host: a.example", f"authorization: Bearer {merchant.api_key}")
    assert say(stack, "GET /v1/payments?limit=%31 HTTP/1.1", *lines)[0] == 200
    assert say(stack, "GET http://a.example/v1/payments?limit=1 HTTP/1.1", *lines)[0] == 200
