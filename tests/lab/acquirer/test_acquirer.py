"""The test acquirer keeps its word: scripts, keys, books that survive it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tallystick.lab.acquirer.scripts import AFTERWARDS, DEPARTURES, EVERY, PLAIN, SCRIPTS, behaviour
from tests.support.acquirer import AcquirerProcess, acquirer
from tests.support.acquirer_calls import act, charge, charged, lookup, new_key
from tests.support.polling import eventually

ANSWERS = {
    "sim_ok": (200, "approved"),
    "sim_slow": (200, "approved"),
    "sim_declined": (402, "declined"),
    "sim_insufficient_funds": (402, "declined"),
    "sim_pending": (200, "pending"),
    "sim_action_required": (200, "requires_action"),
}


@pytest.mark.parametrize("method", ANSWERS)
def test_answered_scripts(running: AcquirerProcess, method: str) -> None:
    body = charge(method)
    status, answer = running.call("POST", "/sim/charges", body, new_key())
    assert (status, answer["status"]) == ANSWERS[method]
    if method != "sim_pending":  # which may have been approved since, on a busy machine
        assert lookup(running, body["attempt_id"]) == answer


FAULTS = {
    "sim_error_charged": 1,
    "sim_error_not_charged": 0,
    "sim_timeout_charged": 1,
    "sim_timeout_not_charged": 0,
    "sim_reset_charged": 1,
}


@pytest.mark.parametrize("method", FAULTS)
def test_faults_apply_to_every_call_and_charge_at_most_once(running: AcquirerProcess, method: str) -> None:
    body, key = charge(method), new_key()
    for _ in range(2):
        if "error" in method:
            assert running.call("POST", "/sim/charges", body, key)[0] == 500
        else:
            with pytest.raises(ConnectionResetError if "reset" in method else TimeoutError):
                running.call("POST", "/sim/charges", body, key, timeout_s=30 if "reset" in method else 1.5)
    assert len(running.charges(body["payment_id"])) == FAULTS[method]
    assert running.call("GET", f"/sim/operations/{body['attempt_id']}")[0] == (200 if FAULTS[method] else 404)


def test_a_key_is_honoured_for_ever(running: AcquirerProcess) -> None:
    body, key = charge(), new_key()
    first = running.call("POST", "/sim/charges", body, key)
    assert running.call("POST", "/sim/charges", body, key) == first
    assert running.call("POST", "/sim/charges", body | {"amount": 5}, key)[0] == 409
    assert len(running.charges(body["payment_id"])) == 1


@pytest.fixture(scope="module")
def forgetful(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AcquirerProcess]:
    with acquirer(tmp_path_factory.mktemp("forgetful") / "books.sqlite", forgetful=True) as process:
        yield process


def test_a_forgetful_acquirer_charges_twice(forgetful: AcquirerProcess) -> None:
    body, key = charge(), new_key()
    for _ in range(2):
        assert forgetful.call("POST", "/sim/charges", body, key)[0] == 200
    assert len(forgetful.charges(body["payment_id"])) == 2


def test_a_key_stands_for_one_operation(running: AcquirerProcess) -> None:
    made = charged(running)
    path, body, key = f"/sim/charges/{made['charge_id']}/refunds", {"attempt_id": new_key(), "amount": 400}, new_key()
    first = running.call("POST", path, body, key)
    assert running.call("POST", path, body, key) == first
    assert running.call("POST", path, body | {"attempt_id": new_key()}, key)[0] == 409
    assert running.call("POST", "/sim/charges", charge(), key)[0] == 409


def test_a_forgetful_acquirer_refunds_twice_and_remembers_the_first(forgetful: AcquirerProcess) -> None:
    body = charge()
    made = forgetful.call("POST", "/sim/charges", body, new_key())[1]
    refund, key = {"attempt_id": "att_refund", "amount": 400}, new_key()
    path = f"/sim/charges/{made['charge_id']}/refunds"
    first, second = (forgetful.call("POST", path, refund, key)[1] for _ in range(2))
    assert first["reference"] != second["reference"]
    assert lookup(forgetful, "att_refund") == first
    assert forgetful.charges(body["payment_id"])[0]["refunded"] == 800


def test_follow_ups_and_their_limits(running: AcquirerProcess) -> None:
    made = charged(running, capture=False)
    assert act(running, made, "refunds", 1) == (402, "charge_not_captured")
    assert act(running, made, "capture", 1_001) == (402, "amount_too_large")
    assert act(running, made, "capture", 600) == (200, None)
    assert act(running, made, "capture", 600) == (402, "charge_already_captured")
    assert act(running, made, "cancel") == (402, "charge_already_captured")
    assert act(running, made, "refunds", 601) == (402, "amount_too_large")
    assert act(running, made, "refunds", 600) == (200, None)
    assert lookup(running, made["attempt_id"])["effect"] == "authorized"
    other = charged(running, capture=False)
    assert act(running, other, "cancel") == (200, None)
    assert act(running, other, "capture", 1) == (402, "charge_already_canceled")
    assert lookup(running, other["attempt_id"])["effect"] == "voided"


def test_pending_matures_and_customers_act(running: AcquirerProcess) -> None:
    pending = charge("sim_pending")
    running.call("POST", "/sim/charges", pending, new_key())
    for ending, status, code in (
        ("complete", "approved", None),
        ("abandon", "declined", "authentication_abandoned"),
    ):
        body = charge("sim_action_required")
        waiting = running.call("POST", "/sim/charges", body, new_key())[1]
        assert waiting["next_action"]
        assert running.call("POST", f"/sim/charges/{waiting['charge_id']}/{ending}", {})[0] == 200
        assert running.call("POST", f"/sim/charges/{waiting['charge_id']}/{ending}", {})[0] == 409
        found = running.call("GET", f"/sim/operations/{body['attempt_id']}")[1]
        assert (found["status"], found["decline_code"]) == (status, code)
    status = eventually(
        lambda: str(running.call("GET", f"/sim/operations/{pending['attempt_id']}")[1]["status"]),
        until=lambda found: found != "pending",
    )
    assert status == "approved"


def test_pages(tmp_path: Path) -> None:
    with acquirer(tmp_path / "books.sqlite") as running:
        bodies = [charge(amount=100 + n) for n in range(7)]
        for body in bodies:
            running.call("POST", "/sim/charges", body, new_key())
        running.call("POST", "/sim/charges", charge("sim_declined"), new_key())
        seen: list[dict[str, Any]] = []
        cursor = "0"
        while cursor is not None:
            page = running.call("GET", f"/sim/charges?limit=3&cursor={cursor}")[1]
            seen += page["data"]
            cursor = page["next_cursor"]
    assert [row["payment_id"] for row in seen] == [body["payment_id"] for body in bodies]
    assert {(row["authorized"], row["captured"]) for row in seen} == {(100 + n, 100 + n) for n in range(7)}


def test_a_script_of_one_operation_touches_no_other() -> None:
    for method, (operation, what) in SCRIPTS.items():
        scripted = {op for op in ("authorize", "capture", "cancel", "refund") if behaviour(method, op) != PLAIN}
        expected = {operation} if operation != EVERY else {"authorize", "capture", "cancel", "refund"}
        assert scripted == (expected if what != PLAIN else set())


def test_a_script_is_of_one_kind() -> None:
    plain = {method for method, (_, what) in SCRIPTS.items() if what == PLAIN}
    assert plain == {"sim_ok", *DEPARTURES, *AFTERWARDS} - {"sim_late_capture"}
    assert not set(DEPARTURES) & set(AFTERWARDS)


@pytest.mark.parametrize("since", ["nan", "inf", "-inf", "1e300", "-1e15", "9" * 5_000, "yesterday", ""])
def test_a_malformed_time_is_refused(running: AcquirerProcess, since: str) -> None:
    status, said = running.call("GET", f"/sim/operations?since={since}")
    assert (status, said) == (400, {"error": "since is a number of seconds since 1970"})
