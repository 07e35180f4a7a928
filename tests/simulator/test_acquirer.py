"""The test acquirer keeps its word: scripts, keys, books that survive it."""

from __future__ import annotations

import http.client
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tallystick.simulator.scripts import METHODS, PLAIN, behaviour
from tests.acquirer import PENDING_MS, AcquirerProcess, acquirer


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AcquirerProcess]:
    with acquirer(tmp_path_factory.mktemp("acquirer") / "books.sqlite") as process:
        yield process


def charge(method: str = "sim_ok", *, capture: bool = True, amount: int = 1_000) -> dict[str, Any]:
    name = uuid.uuid4().hex
    return {
        "payment_id": f"pay_{name}",
        "attempt_id": f"att_{name}",
        "merchant_id": "m",
        "amount": amount,
        "currency": "EUR",
        "payment_method": method,
        "capture": capture,
    }


def new_key() -> str:
    return uuid.uuid4().hex


def authorized(running: AcquirerProcess, method: str = "sim_ok") -> dict[str, Any]:
    return running.call("POST", "/sim/charges", charge(method, capture=False), new_key())[1]


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
    assert running.call("GET", f"/sim/operations/{body['attempt_id']}")[1] == answer


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
            with pytest.raises((TimeoutError, ConnectionResetError, http.client.RemoteDisconnected)):
                running.call("POST", "/sim/charges", body, key, timeout_s=0.3)
    assert len(running.charges(body["payment_id"])) == FAULTS[method]
    assert running.call("GET", f"/sim/operations/{body['attempt_id']}")[0] == (200 if FAULTS[method] else 404)


def test_a_key_is_honoured_for_ever(running: AcquirerProcess) -> None:
    body, key = charge(), new_key()
    first = running.call("POST", "/sim/charges", body, key)
    assert running.call("POST", "/sim/charges", body, key) == first
    assert running.call("POST", "/sim/charges", body | {"amount": 5}, key)[0] == 409
    assert len(running.charges(body["payment_id"])) == 1


def test_a_forgetful_acquirer_charges_twice(tmp_path: Path) -> None:
    with acquirer(tmp_path / "books.sqlite", forgetful=True) as running:
        body, key = charge(), new_key()
        for _ in range(2):
            assert running.call("POST", "/sim/charges", body, key)[0] == 200
        assert len(running.charges(body["payment_id"])) == 2


def test_follow_ups_and_their_limits(running: AcquirerProcess) -> None:
    made = authorized(running)
    path = f"/sim/charges/{made['charge_id']}"

    def act(action: str, amount: int | None = None) -> tuple[int, str | None]:
        body: dict[str, Any] = {"attempt_id": f"att_{new_key()}"}
        body |= {} if amount is None else {"amount": amount}
        status, answer = running.call("POST", f"{path}/{action}", body, new_key())
        return status, answer["decline_code"]

    assert act("refunds", 1) == (402, "charge_not_captured")
    assert act("capture", 1_001) == (402, "amount_too_large")
    assert act("capture", 600) == (200, None)
    assert act("capture", 600) == (402, "charge_already_captured")
    assert act("cancel") == (402, "charge_already_captured")
    assert act("refunds", 601) == (402, "amount_too_large")
    assert act("refunds", 600) == (200, None)
    other = authorized(running)
    path = f"/sim/charges/{other['charge_id']}"
    assert act("cancel") == (200, None)
    assert act("capture", 1) == (402, "charge_already_canceled")
    assert running.call("GET", f"/sim/operations/{other['attempt_id']}")[1]["effect"] == "voided"


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
    time.sleep(PENDING_MS / 1000)
    assert running.call("GET", f"/sim/operations/{pending['attempt_id']}")[1]["status"] == "approved"


def test_books_survive_a_kill(tmp_path: Path) -> None:
    running = AcquirerProcess(tmp_path / "books.sqlite")
    bodies = [charge() for _ in range(20)]
    for body in bodies:
        assert running.call("POST", "/sim/charges", body, new_key())[0] == 200
    running.kill()
    with acquirer(tmp_path / "books.sqlite") as again:
        assert all(len(again.charges(body["payment_id"])) == 1 for body in bodies)


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


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/sim/charges", {"amount": 1}, 400),
        ("POST", "/sim/charges", charge("sim_nonsense"), 400),
        ("POST", "/sim/charges", charge(amount=0), 400),
        ("POST", "/sim/charges", charge() | {"amount": "1"}, 400),
        ("POST", "/sim/charges/ch_none/capture", {"attempt_id": "a", "amount": 1}, 404),
        ("POST", "/sim/charges/ch_none/complete", {}, 404),
        ("GET", "/sim/charges?limit=0", None, 400),
        ("GET", "/sim/charges?cursor=x", None, 400),
    ],
)
def test_bad_input(running: AcquirerProcess, method: str, path: str, body: dict[str, Any] | None, status: int) -> None:
    assert running.call(method, path, body, new_key())[0] == status


def test_scripts_touch_only_their_operation() -> None:
    for method in METHODS:
        scripted = [op for op in ("authorize", "capture", "cancel", "refund") if behaviour(method, op) != PLAIN]
        assert len(scripted) == (0 if method == "sim_ok" else 1)
