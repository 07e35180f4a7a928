"""The demonstration: its table of ends, its plan and its checks. ``guarantees/processes/test_readme.py`` runs it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from tallystick.domain.lifecycles.payment import PAYMENT
from tallystick.flows.webhooks.outbound.signing import new_secret, signed_headers
from tallystick.lab.acquirer.scripts import METHODS, SCRIPTS
from tallystick.lab.demo.merchant import REFUSED_AT_FIRST, Merchant, ReceivedMessage
from tallystick.lab.demo.result import Finding, charged_once, difference, ends_check
from tallystick.lab.demo.settlement import DEFECTS as SETTLEMENT_DEFECTS
from tallystick.lab.demo.settlement import compared
from tallystick.lab.demo.stories import STORIES, plan


def test_every_story_is_a_script_of_the_acquirer_with_an_end_that_lasts() -> None:
    lasting = PAYMENT.final | {"authorized", "requires_action"}
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


def test_the_settlements_check_sees_what_was_missed_and_what_nobody_scripted() -> None:
    scripted = {Finding(cause, f"pay_{cause}", 1, "EUR") for cause in SETTLEMENT_DEFECTS.values()}
    assert compared(scripted, set(scripted)) == []
    one = next(iter(scripted))
    assert len(compared(scripted, scripted - {one})) == 1, "it was not found"
    assert len(compared(scripted, scripted | {Finding("no_row", "pay_other", 1, "EUR")})) == 1, "nobody scripted it"
    assert len(compared(scripted, scripted - {one} | {Finding(one.cause, one.payment_id, 2, "EUR")})) == 2, (
        "another sum"
    )


def _told(number: int, version: int, state: str = "captured") -> ReceivedMessage:
    return ReceivedMessage(f"msg_{number}", f"payment.{state}", version, {"state": state}, "pay_1")


def _merchant(*told: ReceivedMessage) -> Merchant:
    merchant = Merchant()
    merchant.received = {each.id: each for each in told}
    merchant.refused = {told[0].id}
    return merchant


def test_the_merchants_check_sees_every_difference() -> None:
    told, ids = (_told(1, 2, "authorized"), _told(2, 4), _told(3, 4)), ["msg_1", "msg_2", "msg_3"]
    now = [{"id": "pay_1", "state": "captured"}, {"id": "pay_2", "state": "authorizing"}]
    assert _merchant(*told).check(ids, now).held
    assert not _merchant(*told).check([*ids, "msg_4"], now).held, "a message that never came"
    assert not _merchant(*told[::-1]).check(ids, now).held, "a message that came after a later one"
    assert not _merchant(*told[:1]).check(["msg_1"], now).held, "a payment that is elsewhere"
    for attribute, value in (("refused", set()), ("refused", {"msg_4"}), ("forged", 1)):
        merchant = _merchant(*told)
        setattr(merchant, attribute, value)
        assert not merchant.check(ids, now).held, attribute


async def test_the_merchant_refuses_at_first_and_believes_no_forged_message() -> None:
    merchant, at = Merchant(), datetime.now(UTC)
    merchant.secret = new_secret()
    app = web.Application()
    app.router.add_post("/", merchant.receive)
    async with TestClient(TestServer(app)) as client:

        async def tell(number: int, secret: str) -> int:
            body = msgspec.json.encode(_told(number, number))
            headers = signed_headers(f"msg_{number}", at, body, [secret])
            return (await client.post("/", data=body, headers=headers)).status

        assert await tell(1, new_secret()) == 401
        assert [await tell(1, merchant.secret) for _ in range(3)] == [503, 204, 204]
        assert (list(merchant.received), merchant.repeated, merchant.forged) == (["msg_1"], 1, 1)
        others = [await tell(number, merchant.secret) for number in range(2, REFUSED_AT_FIRST + 2)]
        assert others == [503] * (REFUSED_AT_FIRST - 1) + [204], "it is down for a while, not for good"
