"""The demonstration: its table of ends, its plan, and a small run of the real thing."""

from __future__ import annotations

from typing import Any

import pytest

from tallystick.demo.outcome import charged_once, difference, ends_check
from tallystick.demo.stories import STORIES, plan
from tallystick.lifecycle import FINAL, PaymentState
from tallystick.simulator.scripts import METHODS, SCRIPTS
from tests.cli.commands import run_process


def test_every_story_is_a_script_of_the_acquirer_with_an_end_that_lasts() -> None:
    lasting = FINAL["payment"] | {PaymentState.AUTHORIZED, PaymentState.REQUIRES_ACTION}
    assert len({story.name for story in STORIES}) == len(STORIES)
    for story in STORIES:
        assert story.payment_method in METHODS
        assert set(story.ends) <= lasting


def test_every_kind_of_fault_is_told() -> None:
    told = {story.payment_method for story in STORIES}
    for method, (_, behaviour) in SCRIPTS.items():
        if behaviour.answer in ("timeout", "error", "reset"):
            assert method in told


def test_a_plan_is_the_same_every_time_and_tells_every_story() -> None:
    assert plan(300) == plan(300)
    assert {order.story.name for order in plan(300)} == {story.name for story in STORIES}
    assert len({order.key for order in plan(300)}) == 300


def _as_it_must_be(order: Any) -> dict[str, Any]:
    state = order.story.ends[0]
    return {
        "id": f"pay_{order.number}",
        "state": state,
        "in_doubt": False,
        "amount": order.amount,
        "amount_captured": order.story.captured(state, order.amount),
        "amount_refunded": order.story.refunded(order.amount),
        "amount_refund_pending": 0,
        "amount_reversed": order.story.reversed(order.amount),
        "metadata": {"order": order.key},
    }


def test_the_comparison_sees_every_difference() -> None:
    orders = plan(60)
    payments = [_as_it_must_be(order) for order in orders]
    assert ends_check(orders, payments).held
    for change in ({"state": "capturing"}, {"in_doubt": True}, {"amount_captured": -1}, {"amount_refunded": 1}):
        assert difference(orders[0], payments[0] | change) is not None
    assert not ends_check(orders, payments[1:]).held, "a payment that is missing"
    assert not ends_check(orders, [*payments, payments[0]]).held, "a payment that is there twice"


@pytest.mark.parametrize(("second", "held"), [(0, True), (500, False)])
def test_a_second_charge_for_one_payment_is_a_duplicate(second: int, held: bool) -> None:
    charge = {"payment_id": "pay_1", "authorized": 500, "captured": 500}
    assert charged_once([charge, charge | {"authorized": second, "captured": 0}]).held is held


def test_a_small_demonstration_holds_and_exits_0() -> None:
    ran = run_process("demo", "--once", "--payments", "60", timeout_s=90)
    assert ran.code == 0, ran.out + ran.err
    assert "0 duplicates in" in ran.out
    assert "✗" not in ran.out and ran.out.count("✓") == 8
