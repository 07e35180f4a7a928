"""Stripe's connector, from the settings."""

from __future__ import annotations

from tallystick.domain.traits import Traits
from tallystick.providers.http import ProviderHttp
from tallystick.providers.stripe.calls import StripeProvider
from tallystick.settings.load import Settings, comma_list


def stripe_provider(settings: Settings) -> StripeProvider | None:
    """Stripe, where there is a key to it. Its lists show a write at once."""
    if settings.stripe_api_key is None:
        return None
    traits = Traits(
        deduplicates=settings.stripe_deduplicates,
        lookup_is_consistent=True,
        key_lifetime_ms=settings.stripe_key_lifetime_ms,
        settling_time_ms=settings.settling_time_ms,
        max_delivery_delay_ms=settings.max_delivery_delay_ms,
        request_timeout_ms=settings.provider_request_timeout_ms,
        keeps_references=True,
    )
    http = ProviderHttp(
        settings.stripe_api_url,
        request_timeout_ms=settings.provider_request_timeout_ms,
        connect_timeout_ms=settings.provider_connect_timeout_ms,
        connections=settings.provider_connections,
    )
    return StripeProvider(
        http,
        traits,
        api_key=settings.stripe_api_key,
        api_url=settings.stripe_api_url,
        account=settings.stripe_account,
        payment_method_types=comma_list(settings.stripe_payment_method_types),
        return_url=settings.stripe_return_url,
    )
