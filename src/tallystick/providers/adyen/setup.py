"""Adyen's connector, from the settings."""

from __future__ import annotations

from tallystick.domain.traits import Traits
from tallystick.providers.adyen.calls import AdyenProvider
from tallystick.providers.http import ProviderHttp
from tallystick.settings.load import Settings

#: Adyen keeps idempotency keys for 31 days at least; a week is longer than anything here is in doubt unseen.
ADYEN_KEY_LIFETIME_MS = 604_800_000


def adyen_provider(settings: Settings) -> AdyenProvider | None:
    """Adyen, where there is a key to it. It has no lookup; its notifications name our own attempts. Call it inside a
    running event loop."""
    if settings.adyen_api_key is None or settings.adyen_merchant_account is None:
        return None
    traits = Traits(
        deduplicates=True,
        lookup_is_consistent=False,
        key_lifetime_ms=ADYEN_KEY_LIFETIME_MS,
        settling_time_ms=settings.settling_time_ms,
        max_delivery_delay_ms=settings.max_delivery_delay_ms,
        request_timeout_ms=settings.provider_request_timeout_ms,
        can_fetch=False,
    )
    http = ProviderHttp(
        settings.adyen_api_url,
        request_timeout_ms=settings.provider_request_timeout_ms,
        connect_timeout_ms=settings.provider_connect_timeout_ms,
        connections=settings.provider_connections,
    )
    return AdyenProvider(
        http,
        traits,
        api_key=settings.adyen_api_key,
        api_url=settings.adyen_api_url,
        merchant_account=settings.adyen_merchant_account,
        account=settings.adyen_account,
        return_url=settings.adyen_return_url,
    )
