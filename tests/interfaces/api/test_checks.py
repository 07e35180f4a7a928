"""Every refusal of a POST by its code, and the order of the checks: the first that fails answers."""

from __future__ import annotations

from typing import Any

import pytest

from tallystick.kit.ids import new_id
from tests.support.api import GOOD, Merchant, assert_problem, send

CARD = "4111111111111111"

#: One fault for each check, in the order of the checks. Each case below has this fault and all the later ones.
FAULTS: list[tuple[str, int, dict[str, Any]]] = [
    ("unauthenticated", 401, {"authorization": "Bearer tsk_nobody"}),
    ("body_too_large", 413, {"content": b'{"a": 1.5' + b" " * 65_536}),
    ("unsupported_media_type", 415, {"content_type": "text/plain"}),
    ("idempotency_key_missing", 400, {"key": None}),
    ("card_data_refused", 422, {"key": CARD}),
    ("json_invalid", 400, {"content": b'{"amount": 1,'}),
    ("card_data_refused", 422, {"content": b'{"amount": 1.5, "description": "%s"}' % CARD.encode()}),
    ("validation_failed", 422, {"content": b'{"amount": 1.5}'}),
]


@pytest.mark.parametrize("first", range(len(FAULTS)), ids=[code for code, _, _ in FAULTS])
def test_the_first_fault_answers(merchant: Merchant, first: int) -> None:
    parts: dict[str, Any] = {}
    for _, _, fault in reversed(FAULTS[first:]):
        parts |= fault
    code, status, _ = FAULTS[first]
    body = assert_problem(send(merchant, **parts), status, code)
    assert body["outcome"] == "not_executed"
    assert merchant.get("/v1/payments").json()["data"] == []


@pytest.mark.parametrize(
    "key",
    [
        pytest.param("", id="empty"),
        pytest.param("two words", id="space"),
        pytest.param('"cut', id="cut string"),
        pytest.param("k" * 256, id="long"),
        pytest.param("a,b", id="comma"),
    ],
)
def test_malformed_keys(merchant: Merchant, key: str) -> None:
    assert_problem(send(merchant, key=key), 400, "idempotency_key_invalid")


@pytest.mark.parametrize(
    ("content_type", "accepted"),
    [
        ("application/json", True),
        ("application/json; charset=utf-8", True),
        ('APPLICATION/JSON;charset="UTF-8"', True),
        ("application/json; charset=latin-1", False),
        ("application/problem+json", False),
        ("application/x-www-form-urlencoded", False),
        ("", False),
    ],
)
def test_content_types(merchant: Merchant, content_type: str, accepted: bool) -> None:
    answer = send(merchant, content_type=content_type)
    assert answer.status_code == (201 if accepted else 415), answer.text


def test_a_content_encoding_is_refused(merchant: Merchant) -> None:
    answer = merchant.pay()
    assert answer.status_code == 201
    encoded = merchant.post("/v1/payments", {"amount": 1}, headers={"Content-Encoding": "gzip"})
    assert_problem(encoded, 415, "unsupported_media_type")
    for several in ("gzip, identity", "identity, gzip"):
        encoded = merchant.post("/v1/payments", {"amount": 1}, headers={"Content-Encoding": several})
        assert_problem(encoded, 415, "unsupported_media_type")


@pytest.mark.parametrize("order", [("gzip", "identity"), ("identity", "gzip")])
def test_a_content_encoding_in_a_line_of_its_own_is_refused(merchant: Merchant, order: tuple[str, str]) -> None:
    lines = [("Idempotency-Key", new_id("req")), ("Content-Type", "application/json")]
    headers = [*lines, *(("Content-Encoding", each) for each in order)]
    encoded = merchant.client.post("/v1/payments", content=b"{}", headers=headers)
    assert_problem(encoded, 415, "unsupported_media_type")


FIELDS: list[tuple[dict[str, Any], str, str]] = [
    ({"amount": 0}, "amount", "out_of_range"),
    ({"amount": 10**12 + 1}, "amount", "out_of_range"),
    ({"amount": 10.0}, "amount", "must_be_integer"),
    ({"amount": "10"}, "amount", "must_be_integer"),
    ({"amount": None}, "amount", "required"),
    ({"currency": "eur"}, "currency", "unknown_currency"),
    ({"currency": "XXX"}, "currency", "unknown_currency"),
    ({"payment_method": "sim_nothing"}, "payment_method", "unknown_payment_method"),
    ({"payment_method": ""}, "payment_method", "too_short"),
    ({"provider": "nobody"}, "provider", "unknown_provider"),
    ({"capture_method": "later"}, "capture_method", "unknown_value"),
    ({"description": "x" * 501}, "description", "too_long"),
    ({"description": "a\x00b"}, "description", "control_character"),
    ({"metadata": {str(n): "x" for n in range(51)}}, "metadata", "too_many_keys"),
    ({"metadata": {"a": {"b": "c"}}}, "metadata.a", "must_be_string"),
    ({"currency": "IDR", "amount": 1_050}, "amount", "not_representable"),
    ({"colour": "red"}, "colour", "unknown_field"),
]


@pytest.mark.parametrize(("fields", "field", "code"), FIELDS)
def test_each_field_is_named(merchant: Merchant, fields: dict[str, Any], field: str, code: str) -> None:
    body = assert_problem(merchant.pay(**fields), 422, "validation_failed")
    assert [(error["field"], error["code"]) for error in body["errors"]] == [(field, code)]


def test_every_wrong_field_at_once(merchant: Merchant) -> None:
    answer = merchant.post("/v1/payments", {"amount": 0, "currency": "eur", "nonsense": 1})
    errors = assert_problem(answer, 422, "validation_failed")["errors"]
    assert {error["field"] for error in errors} == {"amount", "currency", "payment_method", "nonsense"}


@pytest.mark.parametrize(
    "path",
    [
        "/v1/payments/nonsense/capture",
        "/v1/payments/pay_%00/cancel",
        "/v1/payments/%FF/cancel",
        "/v1/payments/" + "p" * 4_000 + "/refunds",
        f"/v1/payments/pay_{'0' * 31}a/capture",
    ],
)
def test_payments_that_cannot_be(merchant: Merchant, path: str) -> None:
    assert_problem(merchant.post(path, {}), 404, "not_found")


def test_a_post_takes_no_query(merchant: Merchant) -> None:
    for query in ("dry_run=1", "&"):
        body = assert_problem(send(merchant, f"/v1/payments?{query}"), 422, "validation_failed")
        assert [error["field"] for error in body["errors"]] == ["query"]


def test_what_is_refused_leaves_the_key_unused(merchant: Merchant) -> None:
    key = new_id("req")
    assert merchant.pay(key=key, amount=0).status_code == 422
    assert merchant.pay("sim_nothing", key=key).status_code == 422
    assert merchant.post(f"/v1/payments/{new_id('pay')}/cancel", {}, key).status_code == 404
    answer = merchant.pay(key=key)
    assert answer.status_code == 201
    assert "idempotent-replayed" not in answer.headers


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"[]", id="array"),
        pytest.param(b'{"amount": NaN}', id="NaN"),
        pytest.param(b'{"a": 1, "a": 2}', id="duplicate name"),
        pytest.param(b'{"a": ' * 20 + b"1" + b"}" * 20, id="deep"),
        pytest.param(b'{"a": ' * 10_000, id="very deep"),
        pytest.param(b'{"a": "\xff"}', id="not UTF-8"),
        pytest.param(b'{"a": "\x00"}', id="raw NUL"),
        pytest.param(b'{"a": "\\ud800"}', id="lone surrogate"),
        pytest.param(b"\xef\xbb\xbf{}", id="byte order mark"),
    ],
)
def test_broken_json(merchant: Merchant, broken: bytes) -> None:
    body = assert_problem(send(merchant, content=broken), 400, "json_invalid")
    assert body["errors"][0]["field"] == "body"


def test_64_kib_is_the_limit(merchant: Merchant) -> None:
    assert send(merchant, content=GOOD.ljust(65_536)).status_code == 201
    assert_problem(send(merchant, content=GOOD.ljust(65_537)), 413, "body_too_large")


def test_the_limit_holds_for_a_body_without_length(merchant: Merchant) -> None:
    def pieces() -> Any:
        for _ in range(40):
            yield b" " * 4_096

    headers = {"Content-Type": "application/json", "Idempotency-Key": new_id("req")}
    answer = merchant.client.post("/v1/payments", content=pieces(), headers=headers)
    assert_problem(answer, 413, "body_too_large")


def test_an_empty_body_is_an_empty_object(merchant: Merchant) -> None:
    payment = merchant.pay(capture_method="manual").json()
    key = new_id("req")
    first = merchant.post(f"/v1/payments/{payment['id']}/capture", key=key)
    assert first.status_code == 200, first.text
    again = merchant.post(f"/v1/payments/{payment['id']}/capture", {}, key)
    assert again.content == first.content
    assert again.headers["idempotent-replayed"] == "true"
