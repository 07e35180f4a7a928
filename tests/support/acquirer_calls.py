"""What these suites send to the acquirer."""

from __future__ import annotations

import uuid
from typing import Any

from tests.support.acquirer import AcquirerProcess

#: What every charge below is about, in minor units.
AMOUNT = 1_000


def charge(method: str = "sim_ok", *, capture: bool = True, amount: int = AMOUNT) -> dict[str, Any]:
    """A new payment's first request."""
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


def follow_up(amount: int | None = None) -> dict[str, Any]:
    """A new attempt on an existing charge."""
    return {"attempt_id": f"att_{new_key()}"} | ({} if amount is None else {"amount": amount})


def new_key() -> str:
    return uuid.uuid4().hex


def charged(running: AcquirerProcess, method: str = "sim_ok", *, capture: bool = True) -> dict[str, Any]:
    """The acquirer's answer to a new charge."""
    return running.call("POST", "/sim/charges", charge(method, capture=capture), new_key())[1]


def act(running: AcquirerProcess, made: dict[str, Any], action: str, amount: int | None = None) -> tuple[int, Any]:
    """One later call on a charge: the HTTP status and the decline code."""
    path = f"/sim/charges/{made['charge_id']}/{action}"
    status, answer = running.call("POST", path, follow_up(amount), new_key())
    return status, answer["decline_code"]


def lookup(running: AcquirerProcess, attempt_id: str) -> dict[str, Any]:
    """What the books say of an attempt now."""
    return running.call("GET", f"/sim/operations/{attempt_id}")[1]
