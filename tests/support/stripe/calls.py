"""What these suites send through the connector, and the connector as the settings make it."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tallystick.kit.clock import monotonic_ms
from tallystick.kit.ids import new_id
from tallystick.providers.port import ProviderCall
from tallystick.providers.stripe.calls import StripeProvider
from tallystick.providers.stripe.setup import StripeSettings, connect
from tallystick.settings.load import Settings
from tests.support.stripe.localstripe import API_KEY, GOOD

AMOUNT = 1_000


@asynccontextmanager
async def connector(
    url: str, *, provider_request_timeout_ms: int = 20_000, **own: Any
) -> AsyncIterator[StripeProvider]:
    """A connector with these settings of its own, closed at the end."""
    settings = Settings(provider_request_timeout_ms=provider_request_timeout_ms)
    provider = connect(settings.with_connector(StripeSettings, api_url=url, **({"api_key": API_KEY} | own)))
    assert provider is not None
    try:
        yield provider
    finally:
        await provider.close()


def authorize(payment_method: str = GOOD, *, window_ms: int = 60_000, **fields: Any) -> ProviderCall:
    """A new attempt at a new payment."""
    values: dict[str, Any] = {
        "merchant_id": "m",
        "payment_id": new_id("pay"),
        "attempt_id": new_id("att"),
        "operation": "authorize",
        "amount": AMOUNT,
        "currency": "EUR",
        "payment_method": payment_method,
        "capture": True,
        "key": uuid.uuid4().hex,
        "parent_reference": None,
        "reference": None,
        "send_by_ms": monotonic_ms() + window_ms,
    }
    return ProviderCall(**(values | fields))


def follow_up(operation: str, of: str | None, amount: int = AMOUNT, **fields: Any) -> ProviderCall:
    """A new attempt at an existing payment."""
    return authorize(operation=operation, parent_reference=of, amount=amount, **fields)
