"""Payments by every script of the acquirer, each script with a merchant of its own, through the HTTP API."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import httpx

from tallystick.access.key_store import create_key
from tallystick.lab.acquirer.scripts import AFTERWARDS, METHODS
from tests.support.commands import Up
from tests.support.database import DEEP
from tests.support.polling import PATIENCE_S, eventually

#: The demonstration's times: recovery's work fits into seconds.
SETTINGS: Final = {
    "provider_request_timeout_ms": "1500",
    "send_window_ms": "1000",
    "settling_time_ms": "500",
    "recovery_interval_ms": "100",
    "recovery_backoff_base_ms": "200",
    "recovery_backoff_cap_ms": "1000",
    "pending_poll_ms": "300",
    "resubmit_limit": "1",
    "webhook_backoff_base_ms": "100",
    "webhook_backoff_cap_ms": "400",
    "provider_circuit_calls": "1000000",  # the scripts of faults are about single calls
    "simulator_late_ms": "300",
    "log_level": "error",
}

#: Payments at once; most of their time they wait for an answer.
CLIENTS: Final = 48

#: An instruction is final by then, however busy the machine is: what never happened takes recovery about 8 s here.
FINAL_WITHIN_S: Final = 180

#: All clients together ask a hundred times a second while they wait: it leaves the machine to recovery.
ASKED_EVERY_S: Final = 0.4

#: What a script does by itself in the end, on at least so many of its subjects.
LAST_STEPS: Final = {
    "sim_refund_fails_late": ("refund", "failed", 1),
    "sim_capture_fails_late": ("payment", "capture_reversed", 2),
    "sim_dispute_won": ("dispute", "won", 2),
    "sim_dispute_lost": ("dispute", "lost", 2),
    "sim_dispute_second": ("dispute", "late_movement", 2),
    "sim_dispute_third": ("dispute", "late_movement", 4),
    "sim_expires": ("payment", "expired", 1),
    "sim_dashboard_capture": ("payment", "captured", 2),
    "sim_dashboard_refund": ("refund", "succeeded", 2),
    "sim_late_capture": ("payment", "late_capture", 6),
}
assert LAST_STEPS.keys() == AFTERWARDS.keys(), "a script that does something by itself is waited for"


def merchant_of_script(method: str) -> str:
    """The merchant of one script."""
    return method.replace("_", "-")


class Client:
    """A client of one script's merchant: it asks until the answer is final."""

    def __init__(self, up: Up, method: str, key: str) -> None:
        self.method = method
        self._acquirer = f"http://127.0.0.1:{up.simulator_port}"
        self._http = httpx.Client(
            base_url=up.address, headers={"Authorization": f"Bearer {key}"}, timeout=PATIENCE_S, trust_env=False
        )

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def paid(self) -> None:
        """One call."""
        self._create("paid", 1_200)

    def refunded(self) -> None:
        """In two refunds."""
        payment = self._create("refunded", 900)
        self._send(f"/v1/payments/{payment}/refunds", "refund-part", {"amount": 400})
        self._send(f"/v1/payments/{payment}/refunds", "refund-rest", {})

    def captured(self) -> None:
        """Authorized first."""
        payment = self._create("captured", 700, capture_method="manual")
        self._send(f"/v1/payments/{payment}/capture", "captured-capture", {})

    def captured_in_part(self) -> None:
        """The rest of the hold is released."""
        payment = self._create("captured-in-part", 700, capture_method="manual")
        self._send(f"/v1/payments/{payment}/capture", "captured-in-part-capture", {"amount": 300})

    def canceled(self) -> None:
        """Authorized first; a payer who has to act walks away."""
        payment = self._create("canceled", 600, capture_method="manual", payer="abandon")
        self._send(f"/v1/payments/{payment}/cancel", "canceled-cancel", {})

    def held(self) -> None:
        """Authorized, and nothing else; a payer who has to act does not come back."""
        self._create("held", 500, capture_method="manual", payer="")

    def _create(self, key: str, amount: int, *, capture_method: str = "automatic", payer: str = "complete") -> str:
        body = {
            "amount": amount,
            "currency": "EUR",
            "payment_method": self.method,
            "capture_method": capture_method,
        }
        payment = self._send("/v1/payments", key, body)
        if payment["state"] == "requires_action" and payer:
            act = f"{self._acquirer}/sim/charges/{payment['provider_reference']}/{payer}"
            httpx.post(act, json={}, timeout=PATIENCE_S, trust_env=False).raise_for_status()
            payment = self._send("/v1/payments", key, body, payer_may_act=False)
        return str(payment["id"])

    def _send(self, path: str, key: str, body: dict[str, Any], *, payer_may_act: bool = True) -> dict[str, Any]:
        def ask() -> httpx.Response:
            return self._http.post(path, json=body, headers={"Idempotency-Key": key})

        def is_enough(answer: httpx.Response) -> bool:
            found = answer.json()
            if answer.status_code == 202:
                return payer_may_act and found.get("state") == "requires_action"
            return answer.status_code != 503 and found.get("code") != "instruction_in_flight"

        answer = eventually(ask, until=is_enough, within_s=FINAL_WITHIN_S, interval_s=ASKED_EVERY_S)
        assert answer.status_code in (200, 201, 202) or answer.json()["code"] == "transition_rejected", answer.text
        found: dict[str, Any] = answer.json()
        return found


#: What a client of each script does, one payment each.
LIVES: Final = (
    Client.paid,
    Client.refunded,
    Client.captured,
    Client.captured_in_part,
    Client.canceled,
    Client.held,
)


def lives_of(method: str) -> tuple[Callable[[Client], None], ...]:
    """What a script's payments live. At full depth all lives; else of scripts that do nothing by themselves in the end
    every second life, and of the next such script the others."""
    if DEEP or method in LAST_STEPS:
        return LIVES
    return LIVES[sorted(METHODS - LAST_STEPS.keys()).index(method) % 2 :: 2]


def live_all(up: Up, app_url: str, methods: Iterable[str]) -> None:
    """All lives of all scripts, side by side. Raises AssertionError for an answer that none may get."""
    made = [
        Client(up, method, asyncio.run(create_key(app_url, merchant_of_script(method)))) for method in sorted(methods)
    ]
    try:
        with ThreadPoolExecutor(CLIENTS) as threads:
            for life in [threads.submit(live, client) for client in made for live in lives_of(client.method)]:
                life.result()
    finally:
        for client in made:
            client.close()
