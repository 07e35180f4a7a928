"""What a connector declares of late reports is what its receiver reads out of its provider's events."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from tallystick.domain.notices import AttemptNotice, CancelOrRefundNotice, CaptureNotice, StoredNotice
from tallystick.domain.traits import LateReport
from tallystick.domain.verdicts import Reversed
from tallystick.providers.registry import CONNECTOR_SETTINGS, PROVIDERS
from tallystick.providers.stripe.objects import ATTEMPT, MERCHANT, PAYMENT
from tallystick.settings.load import load_settings
from tests.support.connector_suite import Letters
from tests.support.provider_doubles import LETTERS

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)

SETTINGS = load_settings(
    {
        "TALLYSTICK_STRIPE_API_KEY": "sk_test_1",
        "TALLYSTICK_ADYEN_API_KEY": "k",
        "TALLYSTICK_ADYEN_MERCHANT_ACCOUNT": "Shop",
    },
    connectors=CONNECTOR_SETTINGS,
)

#: Our names on a Stripe object.
_OURS = {
    "balance_transaction": "txn_1",
    "reason": "duplicate",
    "metadata": {MERCHANT: "m-1", PAYMENT: "pay_" + "0" * 31 + "1", ATTEMPT: "att_" + "0" * 31 + "2"},
}

#: What tells one state of a charge or refund from another in each provider's events.
STATES: dict[str, list[dict[str, Any]]] = {
    "stripe": [
        {"data": {"object": {"status": status, "object": kind, "payment_intent": "pi_1"} | _OURS}}
        for status in ("succeeded", "requires_capture", "requires_payment_method", "canceled", "failed", "pending")
        for kind in ("payment_intent", "refund")
    ],
    "adyen": [{"success": success, "originalReference": "PSP0"} for success in ("true", "false")],
    "simulator": [
        {"data": {"status": status, "effect": effect, "operation": operation, "attempt_id": "att_1"}}
        for status in ("approved", "declined", "failed", "pending")
        for operation, effect in (("authorize", "authorized"), ("capture", "captured"), ("refund", "refunded"))
    ],
}


def laid_over(event: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    nested = {name: laid_over(event.get(name) or {}, new) for name, new in changes.items() if isinstance(new, dict)}
    return event | changes | nested


def read(letters: Letters) -> Iterator[StoredNotice | None]:
    """Of every code in every state, whether a provider sends it so or not."""
    name = "eventCode" if letters.name == "adyen" else "type"
    receiver = letters.receiver(letters.secrets[:1])
    for code in PROVIDERS[letters.name].event_codes():
        for state in STATES[letters.name]:
            delivery = letters.sign(laid_over(letters.event(1), state | {name: code}), letters.secrets[0], NOW)
            yield from (found.notice for found in receiver.receive(delivery.body, delivery.headers, NOW))


def reported(notice: StoredNotice | None) -> LateReport | None:
    match notice:
        case AttemptNotice(operation="authorize" | "capture", verdict=Reversed()):
            return "capture_failed"
        case CaptureNotice():
            return "further_capture"
        case CancelOrRefundNotice():
            return "canceled_or_refunded"
    return None


@pytest.mark.exhaustive
@pytest.mark.parametrize("letters", LETTERS, ids=lambda letters: letters.name)
async def test_what_is_declared_is_what_is_read(letters: Letters) -> None:
    provider = PROVIDERS[letters.name].connect(SETTINGS)
    assert provider is not None
    try:
        notices = list(read(letters))
        assert any(isinstance(each, AttemptNotice) and isinstance(each.verdict, Reversed) for each in notices)
        assert {reported(notice) for notice in notices} - {None} == provider.traits.late_reports
    finally:
        await provider.close()
