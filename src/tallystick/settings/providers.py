"""Settings of the providers: where they are, who we are to them, and how much of them we ask at once."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from tallystick.settings.fields import count, ms, port, text


class ProviderSettings(Struct, frozen=True, kw_only=True):
    """The part of ``Settings`` that is about providers."""

    simulator_url: Annotated[str, text("Where the connector finds the test acquirer.")] = "http://127.0.0.1:8401"
    simulator_port: Annotated[int, port("Where the test acquirer listens.")] = 8401
    simulator_forgetful: Annotated[
        bool,
        Meta(
            description="The test acquirer ignores idempotency keys: send again only on negative evidence.",
            extra={"unit": "flag"},
        ),
    ] = False
    simulator_late_ms: Annotated[
        int,
        ms("Before each step that comes by itself at the test acquirer: disputes, late failures, held-back events."),
    ] = 3_000
    simulator_account: Annotated[str, text("Our account at the test acquirer; webhook paths name it.")] = "main"
    simulator_webhook_secrets: Annotated[
        str,
        text(
            "What the test acquirer signs with, the first, and what is accepted, any: comma-separated. It moves no real"
            " money, so the default is no secret; have your own wherever strangers can reach the API."
        ),
    ] = "whsec_simulator"
    stripe_api_key: Annotated[str | None, text("A secret or restricted key; the connector exists only with it.")] = None
    stripe_api_url: Annotated[str, text("Where Stripe's API is; another one is for tests.")] = "https://api.stripe.com"
    stripe_account: Annotated[str, text("Our name for the Stripe account; webhook paths name it.")] = "main"
    stripe_webhook_secrets: Annotated[
        str | None,
        text(
            "The endpoint's signing secrets (whsec_…), comma-separated: two while one is replaced. Unset: no webhooks."
        ),
    ] = None
    stripe_payment_method_types: Annotated[
        str, text("What a payment may be paid with, comma-separated; each must be active in the Stripe account.")
    ] = "card"
    stripe_return_url: Annotated[
        str | None, text("Where customers come back to from a bank's page; methods that redirect need it.")
    ] = None
    stripe_deduplicates: Annotated[
        bool,
        Meta(
            description="Trust its idempotency keys. Off: nothing is sent again before a list shows that it is absent.",
            extra={"unit": "flag"},
        ),
    ] = False
    stripe_key_lifetime_ms: Annotated[
        int, ms("Stripe forgets an idempotency key after 24 hours; only of use where it deduplicates.", ge=1)
    ] = 86_400_000
    adyen_api_key: Annotated[str | None, text("An API key; the connector exists only with it.")] = None
    adyen_api_url: Annotated[
        str, text("Where the Checkout API is, with its version; the live one has a prefix of your own.")
    ] = "https://checkout-test.adyen.com/v72"
    adyen_merchant_account: Annotated[
        str | None, text("The merchant account at Adyen: calls are made for it, and only its webhooks are taken.")
    ] = None
    adyen_account: Annotated[str, text("Our name for the Adyen account; webhook paths name it.")] = "main"
    adyen_hmac_keys: Annotated[
        str | None,
        text("HMAC keys of the standard webhook (hex), comma-separated: two while one is replaced. Unset: none."),
    ] = None
    adyen_return_url: Annotated[
        str | None, text("Where customers come back to from a bank's page; payments that redirect need it.")
    ] = None
    provider_request_timeout_ms: Annotated[
        int, ms("Most answers come in 3 s; at 10 s an answer is unlikely enough to call it unknown.", ge=50)
    ] = 10_000
    provider_connect_timeout_ms: Annotated[
        int, ms("A connection that is not there in 2 s is NotSent, which is safe to retry.", ge=10)
    ] = 2_000
    provider_connections: Annotated[
        int, count("Connections to one provider; each carries one call at a time.", le=100_000)
    ] = 1_024
    provider_wait_ms: Annotated[
        int, ms("A call that finds no free connection for a second is NotSent: a longer queue only sends it later.")
    ] = 1_000
    provider_circuit_failure_percent: Annotated[
        int,
        Meta(
            description="A circuit opens when this part of the calls got no answer. Below it, the answers earn more.",
            ge=1,
            le=100,
            extra={"unit": "percent"},
        ),
    ] = 80
    provider_circuit_calls: Annotated[
        int, count("Calls that the window must hold before that counts: a few bad ones are no outage.")
    ] = 20
    provider_circuit_window_ms: Annotated[
        int, ms("How far back it counts, in whole seconds: three request time-outs, so that an outage fills it.", ge=1)
    ] = 30_000
    provider_circuit_open_ms: Annotated[
        int, ms("How long an open circuit sends nothing, before it tries; doubled each time that fails.", ge=1)
    ] = 5_000
    provider_circuit_open_limit_ms: Annotated[
        int, ms("Longest such pause: a provider that is back is used within a minute.", ge=1)
    ] = 60_000
    provider_circuit_patience_ms: Annotated[
        int,
        ms(
            "Nothing is sent again into an open circuit for so long; then its customer has left, and its tries run out."
        ),
    ] = 120_000
    provider_circuit_probes: Annotated[
        int, count("Single calls that must mostly be answered before a circuit closes; one may be luck.", le=1_000)
    ] = 3
