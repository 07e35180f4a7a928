"""What the settings make of the registered providers: connectors, each behind its limits, and receivers."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tallystick import providers
from tallystick.domain.verdicts import NotSent, Verdict
from tallystick.flows.assembly import open_runtime
from tallystick.flows.screened_provider import ScreenedProvider
from tallystick.providers.adyen.setup import AdyenSettings
from tallystick.providers.assembly import bounded_providers, connected_providers, receivers
from tallystick.providers.circuit import BoundedProvider
from tallystick.providers.port import ProviderCall
from tallystick.providers.registry import CONNECTOR_SETTINGS, PROVIDERS
from tallystick.providers.simulator.setup import SimulatorSettings
from tallystick.providers.stripe.setup import StripeSettings
from tallystick.settings.load import Settings, SettingsError, load_settings
from tests.support.circuit import APPROVED, call
from tests.support.database import Database
from tests.support.polling import one_turn
from tests.support.runtime import SETTINGS

#: Reads every setting, as each command does, and prints which large libraries that took.
LIGHT = """
import sys
from tallystick.providers.registry import CONNECTOR_SETTINGS
from tallystick.settings.load import load_settings
load_settings({}, CONNECTOR_SETTINGS)
print([name for name in ("Adyen", "aiohttp", "interlock", "stripe") if name in sys.modules])
"""


def test_every_provider_is_registered() -> None:
    folders = {folder.parent.name for folder in Path(providers.__path__[0]).glob("*/setup.py")}
    assert folders == PROVIDERS.keys()
    for name, setup in PROVIDERS.items():
        assert (setup.name, setup.settings.prefix) == (name, f"{name}_")


def test_settings_are_read_without_the_providers_sdks() -> None:
    assert subprocess.run([sys.executable, "-c", LIGHT], check=True, capture_output=True, text=True).stdout == "[]\n"


@pytest.mark.parametrize(
    ("own", "key"),
    [(StripeSettings, {"api_key": "sk_live"}), (AdyenSettings, {"api_key": "k", "merchant_account": "m"})],
)
def test_the_published_secret_is_not_accepted_beside_real_money(own: Any, key: dict[str, str]) -> None:
    settings = Settings(simulator="on").with_connector(own, **key)
    assert ("simulator", "main") in receivers(Settings())
    assert ("simulator", "main") not in receivers(settings)
    assert ("simulator", "main") in receivers(settings.with_connector(SimulatorSettings, webhook_secrets="whsec_own"))


async def test_every_provider_is_behind_limits(database: Database) -> None:
    settings = (
        Settings(provider_connections=65, sealing_keys=SETTINGS.sealing_keys)
        .with_connector(StripeSettings, api_key="sk_test_none")
        .with_connector(AdyenSettings, api_key="none", merchant_account="none")
    )
    async with open_runtime(settings, database.app_url) as runtime:
        assert runtime.providers.keys() == {"simulator", "stripe", "adyen"}
        for provider in runtime.providers.values():
            assert isinstance(provider, ScreenedProvider) and isinstance(provider.behind, BoundedProvider)


async def test_every_provider_has_as_many_calls_as_connections() -> None:
    settings = Settings(provider_connections=1_000, provider_wait_ms=0)
    settings = settings.with_connector(AdyenSettings, api_key="none", merchant_account="none")
    settings = settings.with_connector(StripeSettings, api_key="sk_test_none")
    raw = connected_providers(settings)
    gate = asyncio.Event()

    async def held(_: ProviderCall) -> Verdict:
        await gate.wait()
        return APPROVED

    for provider in raw.values():
        provider.authorize = held  # type: ignore[method-assign, assignment]  # nothing is to leave this process
    for name, provider in bounded_providers(settings, raw).items():
        # One merchant alone may not have them all (kit.fair_shares).
        calls = [call(merchant_id=f"shop-{number}") for number in range(1_000)]
        under_way = [asyncio.create_task(provider.authorize(each)) for each in calls]
        await one_turn()
        assert isinstance(await provider.authorize(call()), NotSent), name
        gate.set()
        assert await asyncio.gather(*under_way) == [APPROVED] * 1_000
        gate.clear()
        await provider.close()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PROVIDER_CIRCUIT_FAILURE_PERCENT", "0"),
        ("PROVIDER_CIRCUIT_FAILURE_PERCENT", "101"),
        ("PROVIDER_CIRCUIT_WINDOW_MS", "999"),
        ("PROVIDER_CIRCUIT_OPEN_LIMIT_MS", "4999"),
        ("PROVIDER_CIRCUIT_PROBES", "0"),
    ],
)
def test_limits_that_cannot_be(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"TALLYSTICK_{name}: "):
        load_settings({f"TALLYSTICK_{name}": value}, CONNECTOR_SETTINGS)
