"""What the settings make of the providers: each behind its limits."""

from __future__ import annotations

import asyncio

import pytest

from tallystick.domain.verdicts import NotSent, Verdict
from tallystick.flows.assembly import open_runtime
from tallystick.providers.adyen.setup import AdyenSettings
from tallystick.providers.assembly import bounded_providers, connected_providers
from tallystick.providers.circuit import Guarded
from tallystick.providers.port import ProviderCall
from tallystick.providers.registry import CONNECTOR_SETTINGS
from tallystick.providers.stripe.setup import StripeSettings
from tallystick.settings.load import Settings, SettingsError, load_settings
from tests.support.circuit import APPROVED, call
from tests.support.database import Database


async def test_every_provider_is_behind_limits(database: Database) -> None:
    settings = (
        Settings(provider_connections=65)
        .with_connector(StripeSettings, api_key="sk_test_none")
        .with_connector(AdyenSettings, api_key="none", merchant_account="none")
    )
    async with open_runtime(settings, database.app_url) as runtime:
        assert runtime.providers.keys() == {"simulator", "stripe", "adyen"}
        assert all(isinstance(provider, Guarded) for provider in runtime.providers.values())


async def test_adyen_s_limit_is_its_threads() -> None:
    settings = Settings(provider_connections=1_000, provider_wait_ms=0)
    settings = settings.with_connector(AdyenSettings, api_key="none", merchant_account="none")
    raw = connected_providers(settings)
    gate = asyncio.Event()

    async def held(_: ProviderCall) -> Verdict:
        await gate.wait()
        return APPROVED

    for provider in raw.values():
        provider.authorize = held  # type: ignore[method-assign, assignment]  # nothing is to leave this process
    for name, together in (("adyen", 64), ("simulator", 1_000)):
        provider = bounded_providers(settings, raw)[name]
        under_way = [asyncio.create_task(provider.authorize(call())) for _ in range(together)]
        await asyncio.sleep(0)
        assert isinstance(await provider.authorize(call()), NotSent), name
        gate.set()
        assert await asyncio.gather(*under_way) == [APPROVED] * together
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
