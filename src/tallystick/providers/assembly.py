"""What the settings make of the registered providers: connectors, their limits, receivers."""

from __future__ import annotations

from collections.abc import Mapping

from tallystick.providers.circuit import BoundedProvider, Limits
from tallystick.providers.port import Provider
from tallystick.providers.receiver import Receiver
from tallystick.providers.registry import CONNECTOR_SETTINGS, PROVIDERS
from tallystick.providers.reports import ReportSource
from tallystick.providers.simulator.setup import SIMULATOR, SimulatorSettings
from tallystick.settings.fields import variable
from tallystick.settings.load import Settings, SettingsError


def connected_providers(settings: Settings) -> dict[str, Provider]:
    """The connectors for which the settings have what they need, by name. Call it inside a running event loop."""
    connectors = {name: setup.connect(settings) for name, setup in PROVIDERS.items()}
    return {name: connector for name, connector in connectors.items() if connector is not None}


def bounded_providers(settings: Settings, providers: Mapping[str, Provider]) -> dict[str, Provider]:
    """Each behind its limits. Call it inside a running event loop."""
    return {name: BoundedProvider(provider, limits_of(settings)) for name, provider in providers.items()}


def limits_of(settings: Settings) -> Limits:
    """The limits of each provider by the settings."""
    return Limits(
        calls_at_once=settings.provider_connections,
        wait_ms=settings.provider_wait_ms,
        failure_percent=settings.provider_circuit_failure_percent,
        calls=settings.provider_circuit_calls,
        window_ms=settings.provider_circuit_window_ms,
        open_ms=settings.provider_circuit_open_ms,
        open_limit_ms=settings.provider_circuit_open_limit_ms,
        probes=settings.provider_circuit_probes,
    )


def receivers(settings: Settings) -> dict[tuple[str, str], Receiver]:
    """The receivers for which the settings have what they need, by provider and account."""
    real_money = _real_money(settings)
    found = [setup.receiver(settings, real_money) for setup in PROVIDERS.values()]
    return {(receiver.name, receiver.account): receiver for receiver in found if receiver is not None}


def report_sources(settings: Settings) -> dict[tuple[str, str], ReportSource]:
    """Where settlement reports are fetched by the settings, by provider and account. Call it inside a running event
    loop."""
    found = [setup.reports(settings) for setup in PROVIDERS.values() if setup.reports is not None]
    return {(source.name, source.account): source for source in found if source is not None}


def switched_off(settings: Settings) -> frozenset[str]:
    """The providers that take no new payments by the settings. Their connectors stay for the payments that exist."""
    real_money = _real_money(settings)
    return frozenset(name for name, setup in PROVIDERS.items() if setup.is_switched_off(settings, real_money))


def default_provider(settings: Settings) -> str | None:
    """The provider of payments that name none: the one that is set, else the test acquirer while it is on."""
    if settings.default_provider is not None or SIMULATOR.name in switched_off(settings):
        return settings.default_provider
    return SIMULATOR.name


def require_sound_providers(settings: Settings) -> None:
    """Raises SettingsError for what no process may start with: a default provider that takes no payments, or the test
    acquirer beside a live key."""
    faults = []
    default = settings.default_provider
    if default is not None and default not in PROVIDERS:
        faults.append(f"{variable('default_provider')}: expected one of {', '.join(PROVIDERS)}")
    elif default is not None and default in switched_off(settings):
        faults.append(f"{variable('default_provider')}: it is off; {variable('simulator')}=on switches it on")
    elif default is not None and default != SIMULATOR.name and not PROVIDERS[default].moves_money(settings):
        faults.append(f"{variable('default_provider')}: it is not configured here: it has no key")
    live = any(setup.is_live(settings) for setup in PROVIDERS.values())
    allowed = settings.connector(SimulatorSettings).beside_live
    if live and not allowed and SIMULATOR.name not in switched_off(settings):
        allow = variable("simulator_beside_live")
        faults.append(f"{variable('simulator')}: the test acquirer is on beside a live key; {allow}=true allows it")
    if faults:
        raise SettingsError("; ".join(faults))


def secret_values(settings: Settings) -> dict[str, str]:
    """The secrets of the settings, by the names of their variables: what must never be kept elsewhere."""
    sections = [settings, *(settings.connector(own) for own in CONNECTOR_SETTINGS)]
    found = {
        variable(field.name): getattr(section, field.attribute)
        for section in sections
        for field in section.fields()
        if (field.meta.extra or {}).get("secret")
    }
    return {name: value for name, value in found.items() if isinstance(value, str)}


def open_values(settings: Settings) -> dict[str, object]:
    """The settings that are no secrets, by the names of their variables."""
    sections = [settings, *(settings.connector(own) for own in CONNECTOR_SETTINGS)]
    return {
        variable(field.name): getattr(section, field.attribute)
        for section in sections
        for field in section.fields()
        if not (field.meta.extra or {}).get("secret")
    }


def exponents_by_provider() -> dict[str, Mapping[str, int]]:
    """Of every registered provider, its decimals of the currencies where they differ from ISO 4217."""
    return {name: setup.exponents() for name, setup in PROVIDERS.items()}


def _real_money(settings: Settings) -> bool:
    return any(setup.moves_money(settings) for setup in PROVIDERS.values())
