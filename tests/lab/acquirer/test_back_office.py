"""What happens to a charge without its merchant, made to happen now; and what our connector reads of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from msgspec.structs import replace

from tallystick.domain.subjects import Operation
from tallystick.domain.traits import Traits
from tallystick.domain.verdicts import Approved, Declined, RequiresAction, Reversed
from tallystick.kit.clock import monotonic_ms
from tallystick.providers.http import ProviderHttp
from tallystick.providers.port import ProviderCall
from tallystick.providers.simulator import setup as simulator_setup
from tallystick.providers.simulator.calls import SimulatorProvider
from tallystick.providers.simulator.setup import SimulatorSettings
from tallystick.settings.load import Settings
from tests.support.acquirer import AcquirerProcess
from tests.support.acquirer_calls import AMOUNT, act, charge, charged, follow_up, lookup, new_key

TRAITS = Traits(
    deduplicates=True,
    lookup_is_consistent=True,
    key_lifetime_ms=None,
    settling_time_ms=0,
    max_delivery_delay_ms=0,
    request_timeout_ms=5_000,
)


@pytest.fixture
async def connector(running: AcquirerProcess) -> AsyncIterator[SimulatorProvider]:
    http = ProviderHttp(running.url, request_timeout_ms=5_000, connect_timeout_ms=2_000, connections=2)
    provider = SimulatorProvider(http, TRAITS, "second")
    yield provider
    await provider.close()


def question(attempt_id: str, operation: Operation) -> ProviderCall:
    return ProviderCall(
        merchant_id="m",
        payment_id="pay_x",
        attempt_id=attempt_id,
        operation=operation,
        amount=AMOUNT,
        currency="EUR",
        payment_method="sim_ok",
        capture=True,
        key=new_key(),
        parent_reference=None,
        reference=None,
        send_by_ms=monotonic_ms() + 60_000,
    )


async def test_the_shop_s_address_comes_with_the_payment(running: AcquirerProcess) -> None:
    """From the settings of the connector, to the page on which the customer acts."""
    shop = "https://shop.example/thanks"
    settings = Settings().with_connector(SimulatorSettings, url=running.url, return_url=shop)
    provider = simulator_setup.connect(settings)
    try:
        call = replace(question(f"att_{new_key()}", "authorize"), payment_method="sim_action_required")
        verdict = await provider.authorize(call)
        assert isinstance(verdict, RequiresAction)
        page = verdict.next_action["url"]
        assert running.call("POST", urlsplit(page).path, {})[0] == 200
        async with aiohttp.ClientSession() as browser, browser.get(page) as answer:
            assert f'<a href="{shop}">Back to the shop</a>' in await answer.text()
    finally:
        await provider.close()
    faults = [*SimulatorSettings(return_url="javascript:x").faults()]
    assert faults == ["TALLYSTICK_SIMULATOR_RETURN_URL: expected http://… or https://…"]


def moved(running: AcquirerProcess, made: dict[str, Any]) -> dict[str, int]:
    """What the books say of a charge's money."""
    page = running.call("GET", "/sim/charges?limit=1000")[1]["data"]
    row = next(each for each in page if each["id"] == made["charge_id"])
    return {name: row[name] for name in ("captured", "refunded", "disputed", "disputed_withdrawn")}


async def test_a_refund_that_fails_late(running: AcquirerProcess, connector: SimulatorProvider) -> None:
    made = charged(running)
    body, key = follow_up(400), new_key()
    path = f"/sim/charges/{made['charge_id']}/refunds"
    refund = running.call("POST", path, body, key)[1]
    assert moved(running, made)["refunded"] == 400
    status, failed = running.call("POST", f"/sim/operations/{refund['reference']}/fail", {})
    assert (status, failed["status"], failed["decline_code"]) == (200, "failed", "refund_failed")
    assert moved(running, made)["refunded"] == 0
    assert lookup(running, body["attempt_id"]) == failed
    assert running.call("POST", path, body, key) == (402, failed), "the key still stands for it"
    assert running.call("POST", f"/sim/operations/{refund['reference']}/fail", {})[0] == 409
    assert act(running, made, "refunds", AMOUNT) == (200, None), "the money is there to be refunded again"
    verdict = await connector.fetch(question(body["attempt_id"], "refund"))
    assert isinstance(verdict, Declined)
    assert (verdict.code, verdict.retryable, verdict.reference) == ("refund_failed", True, refund["reference"])


@pytest.mark.parametrize("manual", [False, True])
async def test_a_capture_that_fails_late(running: AcquirerProcess, connector: SimulatorProvider, manual: bool) -> None:
    body = charge(capture=not manual)
    made = running.call("POST", "/sim/charges", body, new_key())[1]
    captured = made
    operation: Operation = "authorize"
    if manual:
        path = f"/sim/charges/{made['charge_id']}/capture"
        assert running.call("POST", f"/sim/operations/{made['reference']}/fail", {})[0] == 409, "nothing is captured"
        captured, operation = running.call("POST", path, follow_up(AMOUNT), new_key())[1], "capture"
        assert running.call("POST", f"/sim/operations/{made['reference']}/fail", {})[0] == 409, "not the hold's money"
    assert running.call("POST", f"/sim/operations/{captured['reference']}/fail", {})[0] == 200
    assert moved(running, made)["captured"] == 0
    assert act(running, made, "refunds", 1) == (402, "charge_not_captured")
    assert act(running, made, "capture", 1) == (402, "charge_already_captured")
    verdict = await connector.fetch(question(captured["attempt_id"], operation))
    assert isinstance(verdict, Reversed)
    assert (verdict.code, verdict.reference) == ("capture_failed", captured["reference"])
    assert verdict.message


async def test_money_after_a_decline(running: AcquirerProcess, connector: SimulatorProvider) -> None:
    body = charge("sim_declined", capture=False)
    made = running.call("POST", "/sim/charges", body, new_key())[1]
    assert running.call("POST", f"/sim/charges/{made['charge_id']}/late-capture", {})[0] == 200
    assert running.call("POST", f"/sim/charges/{made['charge_id']}/late-capture", {})[0] == 409
    assert moved(running, made)["captured"] == AMOUNT
    verdict = await connector.fetch(question(body["attempt_id"], "authorize"))
    assert isinstance(verdict, Approved)
    assert (verdict.effect, verdict.amount) == ("captured", AMOUNT)


def test_a_hold_that_expires(running: AcquirerProcess) -> None:
    made = charged(running, capture=False)
    answered = running.call("POST", f"/sim/charges/{made['charge_id']}/expire", {})[1]
    assert (answered["authorized"], answered["captured"]) == (0, 0)
    assert running.call("POST", f"/sim/charges/{made['charge_id']}/expire", {})[0] == 409
    assert act(running, made, "capture", 1) == (402, "charge_already_canceled")
    assert lookup(running, made["attempt_id"])["effect"] == "voided"


def test_a_refund_in_the_dashboard(running: AcquirerProcess) -> None:
    made = charged(running)
    path = f"/sim/charges/{made['charge_id']}/dashboard-refund"
    assert running.call("POST", path, {"amount": 300})[1]["refunded"] == 300
    assert running.call("POST", path, {})[1]["refunded"] == 650, "half of what is left"
    assert running.call("POST", path, {"amount": 351})[0] == 409
    assert running.call("POST", path, {"amount": 0})[0] == 400
    assert act(running, made, "refunds", 351) == (402, "amount_too_large")
    assert (
        running.call("POST", f"/sim/charges/{charged(running, capture=False)['charge_id']}/dashboard-refund")[0] == 409
    )


# the steps of a dispute over 400 -> (status, withdrawn) after each
DISPUTES: dict[str, list[tuple[str, int]]] = {
    "withdraw review win": [("opened", 400), ("under_review", 400), ("won", 0)],
    "withdraw review lose": [("opened", 400), ("under_review", 400), ("lost", 400)],
    "review withdraw lose": [("under_review", 0), ("under_review", 400), ("lost", 400)],
    "lose": [("lost", 400)],
    "win withdraw": [("won", 0), ("won", 400)],
    "win withdraw return withdraw": [("won", 0), ("won", 400), ("won", 0), ("won", 400)],
    "lose return withdraw": [("lost", 400), ("lost", 0), ("lost", 400)],
}


@pytest.mark.parametrize("steps", DISPUTES)
def test_a_dispute(running: AcquirerProcess, steps: str) -> None:
    made = charged(running)
    status, dispute = running.call("POST", f"/sim/charges/{made['charge_id']}/dispute", {"amount": 400})
    assert (status, dispute["status"], dispute["withdrawn"]) == (200, "opened", 0)
    for step, expected in zip(steps.split(), DISPUTES[steps], strict=True):
        answer = running.call("POST", f"/sim/disputes/{dispute['dispute_id']}/{step}", {})[1]
        assert (answer["status"], answer["withdrawn"]) == expected
        assert moved(running, made)["disputed_withdrawn"] == expected[1]
    assert moved(running, made)["disputed"] == 400
    assert running.call("POST", f"/sim/disputes/{dispute['dispute_id']}/review", {})[0] == 409


def test_a_dispute_says_what_moved(running: AcquirerProcess) -> None:
    body = charge()
    made = running.call("POST", "/sim/charges", body, new_key())[1]
    dispute = running.call("POST", f"/sim/charges/{made['charge_id']}/dispute", {})[1]
    for step in ("withdraw", "review", "win", "withdraw", "return"):
        running.call("POST", f"/sim/disputes/{dispute['dispute_id']}/{step}", {})
    told = [(event["type"], event["data"]["status"], event["data"]["funds"]) for event in _disputed(running, body)]
    assert told == [
        ("dispute.opened", "opened", None),
        ("dispute.funds_withdrawn", "opened", "withdrawn"),
        ("dispute.under_review", "under_review", None),
        ("dispute.won", "won", "returned"),
        ("dispute.funds_withdrawn", "won", "withdrawn"),
        ("dispute.funds_returned", "won", "returned"),
    ]
    names = [event["data"]["movement"] for event in _disputed(running, body) if event["data"]["funds"]]
    assert len(set(names)) == 4
    assert all(event["data"]["movement"] is None for event in _disputed(running, body) if not event["data"]["funds"])


def _disputed(running: AcquirerProcess, body: dict[str, Any]) -> list[dict[str, Any]]:
    return [event for event in running.events(body["payment_id"]) if event["data"]["object"] == "dispute"]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/sim/charges/ch_none/dispute", {}, 404),
        ("/sim/charges/ch_none/expire", {}, 404),
        ("/sim/disputes/dp_none/win", {}, 404),
        ("/sim/operations/re_none/fail", {}, 404),
        ("/sim/charges/{id}/dispute", {"amount": AMOUNT + 1}, 409),
        ("/sim/charges/{id}/dispute", {"amount": "1"}, 400),
        ("/sim/charges/{id}/dispute", {"outcome": "draw"}, 400),
        ("/sim/charges/{id}/expire", {}, 409),
        ("/sim/charges/{id}/late-capture", {}, 409),
    ],
)
def test_what_makes_no_sense_is_refused(running: AcquirerProcess, path: str, body: dict[str, Any], status: int) -> None:
    made = charged(running)
    assert running.call("POST", path.format(id=made["charge_id"]), body)[0] == status
