"""Which providers take new payments by the settings, and with which settings no process starts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from unittest.mock import Mock

import pytest

from tallystick.flows.assembly import open_runtime
from tallystick.providers.adyen.setup import AdyenSettings
from tallystick.providers.assembly import (
    connected_providers,
    default_provider,
    receivers,
    require_sound_providers,
    switched_off,
)
from tallystick.providers.registry import CONNECTOR_SETTINGS
from tallystick.providers.simulator.setup import SimulatorSettings
from tallystick.providers.stripe.setup import StripeSettings
from tallystick.settings.load import Settings, SettingsError, load_settings
from tests.support.database import Database
from tests.support.runtime import SETTINGS, BookedProvider, Client, read, runtime_of, timed_out

TEST_KEY = {"STRIPE_API_KEY": "sk_test_1"}
LIVE_KEY = {"STRIPE_API_KEY": "sk_live_1"}


def loaded(**environ: str) -> Settings:
    return load_settings({f"TALLYSTICK_{name}": value for name, value in environ.items()}, CONNECTOR_SETTINGS)


@pytest.mark.parametrize(
    ("environ", "off", "default"),
    [
        ({}, set(), "simulator"),
        ({"SIMULATOR": "auto"}, set(), "simulator"),
        ({"SIMULATOR": "off"}, {"simulator"}, None),
        (TEST_KEY, {"simulator"}, None),
        (TEST_KEY | {"SIMULATOR": "off"}, {"simulator"}, None),
        (TEST_KEY | {"SIMULATOR": "on"}, set(), "simulator"),
        (TEST_KEY | {"DEFAULT_PROVIDER": "stripe"}, {"simulator"}, "stripe"),
        (TEST_KEY | {"DEFAULT_PROVIDER": "stripe", "SIMULATOR": "on"}, set(), "stripe"),
        ({"ADYEN_API_KEY": "k", "ADYEN_MERCHANT_ACCOUNT": "m"}, {"simulator"}, None),
        (LIVE_KEY, {"simulator"}, None),
        (LIVE_KEY | {"SIMULATOR": "on", "SIMULATOR_BESIDE_LIVE": "true"}, set(), "simulator"),
    ],
)
def test_what_takes_new_payments(environ: dict[str, str], off: set[str], default: str | None) -> None:
    settings = loaded(**environ)
    require_sound_providers(settings)
    assert switched_off(settings) == frozenset(off)
    assert default_provider(settings) == default


@pytest.mark.parametrize(
    ("environ", "fault"),
    [
        ({"DEFAULT_PROVIDER": "strpe"}, "TALLYSTICK_DEFAULT_PROVIDER: expected one of simulator, stripe, adyen"),
        ({"DEFAULT_PROVIDER": "stripe"}, "TALLYSTICK_DEFAULT_PROVIDER: it is not configured"),
        ({"DEFAULT_PROVIDER": "adyen"}, "TALLYSTICK_DEFAULT_PROVIDER: it is not configured"),
        ({"DEFAULT_PROVIDER": "simulator", "SIMULATOR": "off"}, "TALLYSTICK_DEFAULT_PROVIDER: it is off"),
        (TEST_KEY | {"DEFAULT_PROVIDER": "simulator"}, "TALLYSTICK_DEFAULT_PROVIDER: it is off"),
        (LIVE_KEY | {"SIMULATOR": "on"}, "TALLYSTICK_SIMULATOR: the test acquirer is on beside a live key"),
    ],
)
async def test_what_no_process_starts_with(environ: dict[str, str], fault: str) -> None:
    settings = loaded(**environ)
    with pytest.raises(SettingsError, match=fault):
        require_sound_providers(settings)
    with pytest.raises(SettingsError, match=fault):  # before anything is opened
        async with open_runtime(settings, "postgresql://nowhere.invalid/none"):
            pass


def test_the_switch_has_three_positions() -> None:
    with pytest.raises(SettingsError, match="TALLYSTICK_SIMULATOR: expected one of auto, on, off"):
        loaded(SIMULATOR="yes")


@pytest.mark.parametrize(
    ("own", "values", "live"),
    [
        (StripeSettings, {"api_key": "sk_live_x"}, True),
        (StripeSettings, {"api_key": "rk_live_x"}, True),
        (StripeSettings, {"api_key": "sk_test_x"}, False),
        (StripeSettings, {"api_key": "rk_test_x"}, False),
        (AdyenSettings, {"api_url": "https://1797a-Co-checkout-live.adyenpayments.com/checkout/v72"}, True),
        (AdyenSettings, {"api_url": "https://checkout-live.adyen.com/v72"}, True),
        (AdyenSettings, {"api_url": "https://checkout-test.adyen.com/v72"}, False),
        (AdyenSettings, {"api_url": "http://127.0.0.1:9/v72"}, False),
    ],
)
def test_a_live_key_is_known(own: type[Any], values: dict[str, str], live: bool) -> None:
    account = {"api_key": "k", "merchant_account": "m"} if own is AdyenSettings else {}
    settings = Settings(simulator="on").with_connector(own, **(account | values))
    if live:
        with pytest.raises(SettingsError, match="beside a live key"):
            require_sound_providers(settings)
    else:
        require_sound_providers(settings)
    require_sound_providers(settings.with_connector(SimulatorSettings, beside_live=True))


async def test_off_it_has_a_connector_and_no_door() -> None:
    own = Settings().with_connector(SimulatorSettings, webhook_secrets="whsec_own")
    cases = (("off", None, False), ("on", None, True), ("auto", "sk_test", False), ("on", "sk_test", True))
    for switch, key, door in cases:
        settings = Settings(simulator=switch, connectors=own.connectors).with_connector(StripeSettings, api_key=key)
        assert (("simulator", "main") in receivers(settings)) is door, (switch, key)
        providers = connected_providers(settings)
        assert "simulator" in providers, "what exists there is still captured, refunded and asked about"
        for provider in providers.values():
            await provider.close()


async def test_the_start_says_how_many_payments_are_open(
    database: Database, fresh_merchant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bank, said = BookedProvider(), Mock()
    monkeypatch.setattr("tallystick.flows.assembly.log", said)
    async with runtime_of(database.app_url, bank) as runtime:
        client = Client(runtime, fresh_merchant)
        await client.create("final")
        held = read(await client.create("held", manual=True))["id"]
        refunded = read(await client.create("refunded"))["id"]
        bank.before = timed_out
        await client.refund("refund", refunded)
        bank.before = None
    said.warning.assert_not_called()
    off = replace(SETTINGS, simulator="off")
    async with runtime_of(database.app_url, bank, settings=off) as runtime:
        # A hold, and a refund without an outcome; what is final is not counted.
        said.warning.assert_called_once_with("provider is switched off", provider="simulator", open_payments=2)
        assert (await Client(runtime, fresh_merchant).capture("capture", held)).status == 200
