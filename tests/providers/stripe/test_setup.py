"""The connector and the receiver exist where the settings have what they need, and no secret gets out."""

from __future__ import annotations

import structlog

from tallystick.kit.logs import Redactor
from tallystick.providers.assembly import connected_providers, receivers
from tallystick.providers.registry import CONNECTOR_SETTINGS
from tallystick.providers.stripe.calls import StripeProvider
from tallystick.providers.stripe.receiver import StripeReceiver
from tallystick.providers.stripe.setup import StripeSettings, connect
from tallystick.settings.load import Settings, SettingsError, describe_settings, load_settings, secret_names

KEY, SECRETS = "sk_test_wiring", "whsec_new, whsec_old"


async def test_without_a_key_there_is_no_stripe() -> None:
    assert connect(Settings()) is None
    assert receivers(Settings()).keys() == {("simulator", "main")}
    providers = connected_providers(Settings())
    assert providers.keys() == {"simulator"}
    await providers["simulator"].close()


async def test_configured() -> None:
    environ = {
        "TALLYSTICK_STRIPE_API_KEY": KEY,
        "TALLYSTICK_STRIPE_ACCOUNT": "eu",
        "TALLYSTICK_STRIPE_WEBHOOK_SECRETS": SECRETS,
        "TALLYSTICK_STRIPE_DEDUPLICATES": "true",
    }
    settings = load_settings(environ, CONNECTOR_SETTINGS)
    providers = connected_providers(settings)
    stripe = providers["stripe"]
    assert isinstance(stripe, StripeProvider)
    assert (stripe.name, stripe.account) == ("stripe", "eu")
    assert stripe.traits.deduplicates
    assert stripe.traits.key_lifetime_ms == 86_400_000
    assert stripe.traits.keeps_references
    assert isinstance(receivers(settings)["stripe", "eu"], StripeReceiver)
    for provider in providers.values():
        await provider.close()


async def test_until_someone_says_otherwise_keys_are_not_trusted() -> None:
    provider = connect(Settings().with_connector(StripeSettings, api_key=KEY))
    assert provider is not None
    assert not provider.traits.deduplicates
    await provider.close()


def test_settings_that_cannot_be() -> None:
    for name, value in (("API_URL", "api.stripe.com"), ("WEBHOOK_SECRETS", "whsec_1,"), ("PAYMENT_METHOD_TYPES", ",")):
        try:
            load_settings({f"TALLYSTICK_STRIPE_{name}": value}, CONNECTOR_SETTINGS)
        except SettingsError as error:
            assert name in str(error)
            assert "whsec" not in str(error)
        else:
            raise AssertionError(name)


def test_secrets_stay_here() -> None:
    settings = Settings().with_connector(StripeSettings, api_key=KEY, webhook_secrets=SECRETS)
    assert KEY not in repr(settings) + repr(settings.connector(StripeSettings))
    assert all(
        row.default == ""
        for row in describe_settings(CONNECTOR_SETTINGS)
        if row.variable.endswith(("STRIPE_API_KEY", "STRIPE_WEBHOOK_SECRETS"))
    )
    event = {"stripe_api_key": KEY, "stripe_webhook_secrets": SECRETS, "next_action": {"client_secret": "pi_secret"}}
    logged = str(Redactor(secret_names(CONNECTOR_SETTINGS))(structlog.get_logger(), "info", event))
    assert not any(secret in logged for secret in (KEY, "whsec", "pi_secret"))
