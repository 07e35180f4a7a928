"""What the settings make of the registered providers: connectors, their limits, receivers."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from tallystick.providers.circuit import BoundedProvider, Limits
from tallystick.providers.port import Provider
from tallystick.providers.receiver import Receiver
from tallystick.providers.registry import PROVIDERS
from tallystick.settings.load import Settings


def connected_providers(settings: Settings) -> dict[str, Provider]:
    """The connectors for which the settings have what they need, by name. Call it inside a running event loop."""
    connectors = {name: setup.connect(settings) for name, setup in PROVIDERS.items()}
    return {name: connector for name, connector in connectors.items() if connector is not None}


def bounded_providers(settings: Settings, providers: Mapping[str, Provider]) -> dict[str, Provider]:
    """Each behind its limits. Call it inside a running event loop."""
    return {name: BoundedProvider(provider, limits_of(settings, name)) for name, provider in providers.items()}


def limits_of(settings: Settings, name: str) -> Limits:
    """The limits by the settings, and by what the provider's connector can do."""
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
    most = PROVIDERS[name].calls_at_once_limit
    return limits if most is None else replace(limits, calls_at_once=min(limits.calls_at_once, most))


def receivers(settings: Settings) -> dict[tuple[str, str], Receiver]:
    """The receivers for which the settings have what they need, by provider and account."""
    real_money = any(setup.moves_money(settings) for setup in PROVIDERS.values())
    found = [setup.receiver(settings, real_money) for setup in PROVIDERS.values()]
    return {(receiver.name, receiver.account): receiver for receiver in found if receiver is not None}
