"""The connector and the receiver exist where the settings have what they need, and no secret gets out."""

from __future__ import annotations

import pytest
import structlog

from tallystick.kit.logs import Redactor
from tallystick.providers.adyen.calls import AdyenProvider
from tallystick.providers.adyen.receiver import AdyenReceiver
from tallystick.providers.adyen.setup import AdyenSettings, connect
from tallystick.providers.assembly import connected_providers, receivers
from tallystick.providers.registry import CONNECTOR_SETTINGS
from tallystick.settings.load import Settings, SettingsError, describe_settings, load_settings, secret_names

KEY, HMAC_KEYS = "AQEwiring", "00AAbb, 11CCdd"


async def test_without_a_key_there_is_no_adyen() -> None:
    assert connect(Settings()) is None
    assert ("adyen", "main") not in receivers(Settings())


async def test_configured() -> None:
    environ = {
        "TALLYSTICK_ADYEN_API_KEY": KEY,
        "TALLYSTICK_ADYEN_ACCOUNT": "eu",
        "TALLYSTICK_ADYEN_MERCHANT_ACCOUNT": "ShopEU",
        "TALLYSTICK_ADYEN_HMAC_KEYS": HMAC_KEYS,
    }
    settings = load_settings(environ, CONNECTOR_SETTINGS)
    providers = connected_providers(settings)
    adyen = providers["adyen"]
    assert isinstance(adyen, AdyenProvider)
    assert (adyen.name, adyen.account) == ("adyen", "eu")
    traits = adyen.traits
    assert (traits.can_fetch, traits.lookup_is_consistent, traits.keeps_references) == (False, False, False)
    assert (traits.deduplicates, traits.key_lifetime_ms) == (True, 604_800_000)
    assert isinstance(receivers(settings)["adyen", "eu"], AdyenReceiver)
    for provider in providers.values():
        await provider.close()


@pytest.mark.parametrize(
    ("name", "value"),
    [("API_URL", "checkout-test.adyen.com"), ("HMAC_KEYS", "00AA,"), ("HMAC_KEYS", "sesame"), ("HMAC_KEYS", "00A")],
)
def test_settings_that_cannot_be(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name) as caught:
        load_settings(
            {f"TALLYSTICK_ADYEN_{name}": value, "TALLYSTICK_ADYEN_MERCHANT_ACCOUNT": "ShopEU"}, CONNECTOR_SETTINGS
        )
    assert value not in str(caught.value)


@pytest.mark.parametrize("name", ["API_KEY", "HMAC_KEYS"])
def test_a_key_needs_its_merchant_account(name: str) -> None:
    with pytest.raises(SettingsError, match="MERCHANT_ACCOUNT"):
        load_settings({f"TALLYSTICK_ADYEN_{name}": "00AA"}, CONNECTOR_SETTINGS)


def test_secrets_stay_here() -> None:
    settings = Settings().with_connector(AdyenSettings, api_key=KEY, hmac_keys=HMAC_KEYS)
    assert KEY not in repr(settings) + repr(settings.connector(AdyenSettings))
    rows = [
        row
        for row in describe_settings(CONNECTOR_SETTINGS)
        if row.variable.endswith(("ADYEN_API_KEY", "ADYEN_HMAC_KEYS"))
    ]
    assert [row.default for row in rows] == ["", ""]
    logged = str(
        Redactor(secret_names(CONNECTOR_SETTINGS))(
            structlog.get_logger(), "info", {"adyen_api_key": KEY, "adyen_hmac_keys": HMAC_KEYS}
        )
    )
    assert not any(secret in logged for secret in (KEY, "00AAbb"))
