"""All providers. A new one needs its folder, its import and its line here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tallystick.providers.adyen.setup import ADYEN
from tallystick.providers.setup import ProviderSetup
from tallystick.providers.simulator.setup import SIMULATOR
from tallystick.providers.stripe.setup import STRIPE
from tallystick.settings.sections import ConnectorSettings

_SETUPS: Final[tuple[ProviderSetup, ...]] = (
    SIMULATOR,
    STRIPE,
    ADYEN,
)

#: By name.
PROVIDERS: Final[Mapping[str, ProviderSetup]] = {setup.name: setup for setup in _SETUPS}

#: The settings sections of connectors, for ``load_settings``.
CONNECTOR_SETTINGS: Final[tuple[type[ConnectorSettings], ...]] = tuple(setup.settings for setup in _SETUPS)
