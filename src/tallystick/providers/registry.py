"""Every provider there is, one line each; what the settings make of them."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from tallystick.providers.adyen.calls import THREADS as ADYEN_THREADS
from tallystick.providers.adyen.calls import AdyenProvider
from tallystick.providers.adyen.receiver import AdyenReceiver
from tallystick.providers.adyen.setup import adyen_provider
from tallystick.providers.circuit import BoundedProvider, Limits
from tallystick.providers.port import Provider
from tallystick.providers.receiver import Receiver
from tallystick.providers.simulator.receiver import SimulatorReceiver
from tallystick.providers.simulator.setup import simulator_provider
from tallystick.providers.stripe.receiver import StripeReceiver
from tallystick.providers.stripe.setup import stripe_provider
from tallystick.settings.load import Settings, comma_list
from tallystick.settings.providers import ProviderSettings


def configured_providers(settings: Settings) -> dict[str, Provider]:
    """The connectors that the settings have what they need for, by name. Call it inside a running event loop."""
    found: list[Provider | None] = [
        simulator_provider(settings),
        stripe_provider(settings),
        adyen_provider(settings),
    ]
    return {provider.name: provider for provider in found if provider is not None}


def bounded(settings: Settings, providers: Mapping[str, Provider]) -> dict[str, Provider]:
    """Each behind its limits. Call it inside a running event loop."""
    limits = Limits(
        calls_at_once=settings.provider_connections,
        wait_ms=settings.provider_wait_ms,
        failure_percent=settings.provider_circuit_failure_percent,
        calls=settings.provider_circuit_calls,
        window_ms=settings.provider_circuit_window_ms,
        open_ms=settings.provider_circuit_open_ms,
        open_limit_ms=settings.provider_circuit_open_limit_ms,
        probes=settings.provider_circuit_probes,
    )
    adyen = replace(limits, calls_at_once=min(limits.calls_at_once, ADYEN_THREADS))
    return {
        name: BoundedProvider(provider, adyen if isinstance(provider, AdyenProvider) else limits)
        for name, provider in providers.items()
    }


def receivers(settings: Settings) -> dict[tuple[str, str], Receiver]:
    """Who reads whose webhooks, by provider and account. The test acquirer's published secret opens no door beside a
    real provider: whoever knows it could fill the inbox."""
    found: list[Receiver] = []
    published = ProviderSettings().simulator_webhook_secrets
    real = settings.stripe_api_key or settings.adyen_api_key
    if settings.simulator_webhook_secrets != published or not real:
        secrets = settings.simulator_webhook_secrets.split(",")
        found.append(SimulatorReceiver(settings.simulator_account, secrets))
    if settings.stripe_webhook_secrets is not None:
        found.append(StripeReceiver(settings.stripe_account, comma_list(settings.stripe_webhook_secrets)))
    if settings.adyen_hmac_keys is not None and settings.adyen_merchant_account is not None:
        keys = comma_list(settings.adyen_hmac_keys)
        found.append(AdyenReceiver(settings.adyen_account, settings.adyen_merchant_account, keys))
    return {(receiver.name, receiver.account): receiver for receiver in found}
