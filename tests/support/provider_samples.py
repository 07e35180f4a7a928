"""Genuine events of every provider, and the places in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from tallystick.providers.adyen.event_codes import READ
from tallystick.providers.simulator.event_codes import EVENT_CODES
from tests.support.provider_doubles import LETTERS
from tests.support.stripe.events import EVENTS, read

#: When they are signed, and read.
NOW: Final = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)

#: A member of an event: the names and numbers on the way to it.
Path = tuple[str | int, ...]

LETTERS_OF: Final = {letters.name: letters for letters in LETTERS}


def places(said: Any, path: Path = ()) -> Iterator[Path]:
    """Every member of every object in it."""
    parts = said.items() if isinstance(said, Mapping) else enumerate(said) if isinstance(said, list) else ()
    for name, value in parts:
        if isinstance(said, Mapping):
            yield (*path, name)
        yield from places(value, (*path, name))


def samples(provider: str) -> list[tuple[str, dict[str, Any]]]:
    """Of one provider: what each is called, and the event."""
    if provider == "stripe":
        return [(path.stem, read(path.stem)) for path in sorted(EVENTS.glob("*.json"))]
    return list(adyen_samples() if provider == "adyen" else simulator_samples())


def adyen_samples() -> Iterator[tuple[str, dict[str, Any]]]:
    """An item of each code that is read; and what a dashboard did, of a payment that is not ours."""
    base = LETTERS_OF["adyen"].event(1) | {"reason": ""}
    for code in sorted(READ):
        original = {} if code == "AUTHORISATION" else {"originalReference": "PSP0"}
        yield code, base | {"eventCode": code} | original
    yield "AUTHORISATION false", base | {"success": "false", "reason": "05 : Refused"}
    theirs = base | {"merchantReference": "theirs", "originalReference": "PSP0"}
    for code in ("CAPTURE", "REFUND", "CANCELLATION"):
        yield f"{code} dashboard", theirs | {"eventCode": code}


def simulator_samples() -> Iterator[tuple[str, dict[str, Any]]]:
    """An event of each code of the test acquirer."""
    at = "2026-05-04T03:02:00Z"
    names = {"merchant_id": "m", "payment_id": "pay_1", "charge_id": "ch_1"}
    money = {"amount": 1_000, "currency": "EUR", "occurred_at": at}
    operation = names | money | {"attempt_id": "att_1", "operation": "authorize", "status": "approved"}
    operation |= {"effect": "captured", "reference": "ch_1", "decline_code": None, "decline_message": None}
    declined = {"status": "declined", "effect": None, "decline_code": "card_declined", "decline_message": "No."}
    late = {"operation": "refund", "status": "failed", "effect": None, "decline_code": "refund_failed"}
    objects: dict[str, dict[str, Any]] = {
        "charge.captured": operation,
        "charge.declined": operation | declined,
        "charge.action_required": operation
        | {"status": "requires_action", "effect": None, "next_action": {"url": "/"}},
        "refund.succeeded": operation | {"operation": "refund", "effect": "refunded"},
        "refund.failed": operation | late | {"decline_message": "No."},
        "dashboard.captured": names | money | {"effect": "captured", "reference": "ch_1"},
        "charge.expired": names | money | {"effect": "voided", "reference": "ch_1"},
        "dashboard.refunded": names | money | {"reference": "re_1"},
    }
    dispute = names | money | {"reference": "dp_1", "status": "opened", "reason": "fraudulent"}
    for kind in sorted(code for code in EVENT_CODES if code.startswith("dispute.")):
        moved = {"funds": "withdrawn", "movement": "mv_1"} if "funds" in kind else {"funds": None, "movement": None}
        objects[kind] = dispute | moved
    for kind, data in objects.items():
        yield kind, {"id": "evt_1", "type": kind, "api_version": "1", "created": at, "data": data}
