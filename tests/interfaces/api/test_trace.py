"""``GET /v1/payments/{id}/trace``: the merchant's part of its own payments, and how often a request was repeated."""

from __future__ import annotations

import pytest

from tallystick.kit.ids import new_id
from tests.support.api import Merchant, assert_problem
from tests.support.polling import eventually


def test_a_payment_is_explained_to_its_merchant(merchant: Merchant) -> None:
    payment = merchant.pay().json()
    trace = merchant.get(f"/v1/payments/{payment['id']}/trace").json()
    assert (trace["id"], trace["object"], trace["money"]) == (payment["id"], "payment_trace", "moved")
    assert trace["says"].startswith("Captured ") and trace["facts"]["amount"] == payment["amount"]
    steps = [(entry["from"], entry["to"]) for entry in trace["timeline"] if entry["kind"] == "step"]
    assert steps == [("new", "authorizing"), ("authorizing", "captured")]
    actors = [entry["actor"] for entry in trace["timeline"] if entry["kind"] == "step"]
    assert actors == ["merchant", "provider"]


def test_who_acts_next_is_a_role(merchant: Merchant) -> None:
    held = merchant.pay(capture_method="manual").json()
    trace = merchant.get(f"/v1/payments/{held['id']}/trace").json()
    assert trace["next"]["actor"] == "merchant" and trace["next"]["until"] is not None
    assert trace["waiting"][0]["kind"] == "capture_or_cancel"


def test_not_found_and_not_yours_are_one_answer(merchant: Merchant, other_merchant: Merchant) -> None:
    anothers = other_merchant.pay().json()["id"]
    answers = [merchant.get(f"/v1/payments/{each}/trace") for each in (anothers, new_id("pay"))]
    bodies = []
    for answer in answers:
        assert_problem(answer, 404, "not_found")
        bodies.append({name: value for name, value in answer.json().items() if name not in ("request_id", "instance")})
    assert bodies[0] == bodies[1]


@pytest.mark.parametrize("times", [3])
def test_repetitions_are_counted_by_what_they_got(merchant: Merchant, times: int) -> None:
    key = new_id("req")
    payment = merchant.pay(key=key).json()
    for _ in range(times):
        merchant.pay(key=key)
    merchant.pay(key=key, amount=payment["amount"] + 1)

    def counted() -> bool:
        trace = merchant.get(f"/v1/payments/{payment['id']}/trace").json()
        kinds = {entry["what"]: entry["count"] for entry in trace["timeline"] if entry["kind"] == "replay"}
        return kinds == {"replayed": times, "other_request": 1} and trace["facts"]["replays"] == times + 1

    eventually(counted)
