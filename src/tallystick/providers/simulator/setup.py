"""The test acquirer's connector, from the settings."""

from __future__ import annotations

from tallystick.domain.traits import Traits
from tallystick.providers.http import ProviderHttp
from tallystick.providers.simulator.calls import SimulatorProvider
from tallystick.settings.load import Settings


def simulator_provider(settings: Settings) -> SimulatorProvider:
    """The test acquirer, under the settings' time-outs. Its lookup reads its own books: consistent at once."""
    forgetful = settings.simulator_forgetful
    traits = Traits(
        deduplicates=not forgetful,
        lookup_is_consistent=True,
        key_lifetime_ms=None,
        settling_time_ms=settings.settling_time_ms,
        max_delivery_delay_ms=settings.max_delivery_delay_ms,
        request_timeout_ms=settings.provider_request_timeout_ms,
    )
    http = ProviderHttp(
        settings.simulator_url,
        request_timeout_ms=settings.provider_request_timeout_ms,
        connect_timeout_ms=settings.provider_connect_timeout_ms,
        connections=settings.provider_connections,
    )
    return SimulatorProvider(http, traits, settings.simulator_account)
