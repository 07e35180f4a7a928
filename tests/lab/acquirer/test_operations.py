"""Capture, cancel and refund under every script, and what the two dashboards and the customer do to a charge."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support.acquirer import PENDING_MS, AcquirerProcess
from tests.support.acquirer_calls import AMOUNT, act, charge, charged, follow_up, lookup, new_key
from tests.support.polling import eventually

#: Less than the whole, so that a second refund would pass the acquirer's own limits and show.
PART = 400

# script -> (what each of two calls with one key sees, what the lookup says in the end, whether the effect was done)
SCRIPTS: dict[str, tuple[object, str | None, bool]] = {
    "declined": (402, "declined", False),
    "slow": (200, "approved", True),
    "timeout_charged": (TimeoutError, "approved", True),
    "timeout_not_charged": (TimeoutError, None, False),
    "error_charged": (500, "approved", True),
    "error_not_charged": (500, None, False),
    "reset_charged": (ConnectionResetError, "approved", True),
    "pending": (200, "approved", True),
}


@pytest.mark.parametrize("operation", ["capture", "cancel", "refund"])
def test_scripts_of_later_calls(running: AcquirerProcess, operation: str) -> None:
    with ThreadPoolExecutor(len(SCRIPTS)) as together:  # the time-outs of one need not wait for those of another
        seen = dict(zip(SCRIPTS, together.map(lambda script: _seen(running, operation, script), SCRIPTS), strict=True))
    assert seen == SCRIPTS


def _seen(running: AcquirerProcess, operation: str, script: str) -> tuple[object, str | None, bool]:
    body = charge(f"sim_{operation}_{script}", capture=operation == "refund")
    status, made = running.call("POST", "/sim/charges", body, new_key())
    assert (status, made["status"]) == (200, "approved")
    later, key = follow_up(None if operation == "cancel" else PART), new_key()
    path = f"/sim/charges/{made['charge_id']}/{'refunds' if operation == 'refund' else operation}"
    patience_s = 1.5 if script.startswith("timeout") else 30
    first, again = (_answer(running, path, later, key, patience_s) for _ in range(2))
    assert first == again
    status_in_the_end = _settled(running, later["attempt_id"])
    row = running.charges(body["payment_id"])[0]
    moved, whole = {
        "capture": (row["captured"], PART),
        "cancel": (AMOUNT - row["authorized"], AMOUNT),
        "refund": (row["refunded"], PART),
    }[operation]
    assert moved in (0, whole)
    return first, status_in_the_end, moved == whole


def _answer(running: AcquirerProcess, path: str, body: dict[str, Any], key: str, patience_s: float) -> object:
    try:
        return running.call("POST", path, body, key, timeout_s=patience_s)[0]
    except OSError as error:
        return type(error)


def _settled(running: AcquirerProcess, attempt_id: str) -> str | None:
    return eventually(lambda: lookup(running, attempt_id).get("status"), until=lambda status: status != "pending")


@pytest.mark.parametrize("method", ["sim_pending", "sim_action_required"])
def test_a_waiting_charge_can_be_canceled(running: AcquirerProcess, method: str) -> None:
    body = charge(method)
    made = running.call("POST", "/sim/charges", body, new_key())[1]
    assert (made["effect"], running.charges(body["payment_id"])) == (None, [])
    assert act(running, made, "cancel") == (200, None)
    time.sleep(PENDING_MS / 1000)  # the time after which it would have been approved
    found = lookup(running, body["attempt_id"])
    assert (found["status"], found["decline_code"]) == ("declined", "authentication_canceled")
    assert found["effect"] == "voided"
    assert running.charges(body["payment_id"]) == []
    assert act(running, made, "cancel") == (402, "charge_already_canceled")
    assert running.call("POST", f"/sim/charges/{made['charge_id']}/complete", {})[0] == 409


def test_a_completed_charge_can_be_captured_and_an_abandoned_one_not(running: AcquirerProcess) -> None:
    done, left = (charged(running, "sim_action_required", capture=False) for _ in range(2))
    assert act(running, done, "capture", AMOUNT) == (402, "charge_not_authorized")
    running.call("POST", f"/sim/charges/{done['charge_id']}/complete", {})
    running.call("POST", f"/sim/charges/{left['charge_id']}/abandon", {})
    assert act(running, done, "capture", AMOUNT) == (200, None)
    assert act(running, left, "capture", AMOUNT) == (402, "charge_not_authorized")


def test_a_capture_in_the_acquirers_own_dashboard(running: AcquirerProcess) -> None:
    made = charged(running, capture=False)
    path = f"/sim/charges/{made['charge_id']}/dashboard-capture"
    assert running.call("POST", path, {})[1]["captured"] == AMOUNT
    assert running.call("POST", path, {})[0] == 409
    assert lookup(running, made["attempt_id"])["effect"] == "captured"
    assert act(running, made, "capture", AMOUNT) == (402, "charge_already_captured")
    assert act(running, made, "refunds", AMOUNT) == (200, None)


def test_the_dashboard_sees_that_a_pending_charge_was_approved(running: AcquirerProcess) -> None:
    made = charged(running, "sim_pending", capture=False)
    time.sleep(PENDING_MS / 1000)  # nobody looks meanwhile: the dashboard itself must see that it matured
    assert running.call("POST", f"/sim/charges/{made['charge_id']}/dashboard-capture", {})[0] == 200


def test_a_charge_lists_all_that_touched_it_and_what_is_left(running: AcquirerProcess) -> None:
    body, cancel = charge(capture=False), follow_up()
    made = running.call("POST", "/sim/charges", body, new_key())[1]
    running.call("POST", f"/sim/charges/{made['charge_id']}/cancel", cancel, new_key())
    assert running.charges(body["payment_id"]) == [
        {
            "id": made["charge_id"],
            "payment_id": body["payment_id"],
            "merchant_id": "m",
            "attempt_ids": [body["attempt_id"], cancel["attempt_id"]],
            "amount": AMOUNT,
            "currency": "EUR",
            "authorized": 0,
            "captured": 0,
            "refunded": 0,
            "disputed": 0,
            "disputed_withdrawn": 0,
        }
    ]
