"""Settings of webhooks, in and out: bounds, retries, owners."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from tallystick.settings.fields import count, ms, text
from tallystick.settings.providers import ProviderSettings


class WebhookSettings(ProviderSettings, frozen=True, kw_only=True):
    """The part of ``Settings`` that is about webhooks; those of the providers come before it."""

    webhook_queue_limit: Annotated[
        int,
        count("Deliveries waiting for a batch of the inbox: a second's work; past it 503 and the provider retries."),
    ] = 5_000
    webhook_commit_timeout_ms: Annotated[
        int, ms("After this a delivery is answered 503. Adyen waits for 10 s, others for less.", ge=100)
    ] = 5_000
    webhook_interval_ms: Annotated[int, ms("Pause between two looks at an empty inbox.", ge=10)] = 200
    webhook_batch: Annotated[int, count("Events claimed at once; a lease must outlast the batch.", le=10_000)] = 200
    webhook_lease_ms: Annotated[
        int, ms("A worker that died frees its events after this; a slow one renews at a third of it.", ge=100)
    ] = 30_000
    webhook_tries_limit: Annotated[
        int, count("Tries at one event before it is a dead letter: about 10 minutes with the waits below.", le=100)
    ] = 12
    webhook_provider_tries: Annotated[str | None, text("Other limits by provider, as in stripe=20,adyen=30.")] = None
    webhook_backoff_base_ms: Annotated[
        int, ms("First wait is random below this: an event often overtakes our own commit by milliseconds.", ge=10)
    ] = 500
    webhook_backoff_cap_ms: Annotated[int, ms("Waits are random below at most this.", ge=10)] = 900_000
    webhook_owner: Annotated[str, text("Who looks after dead letters.")] = "payments-oncall"
    webhook_provider_owners: Annotated[
        str | None, text("Other owners by provider, as in stripe=cards-team,adyen=eu-team.")
    ] = None
    webhook_dead_letter_alarm_age_ms: Annotated[
        int, ms("A dead letter older than this has been overlooked; verify reports it.")
    ] = 86_400_000
    webhook_allow_private_addresses: Annotated[
        bool,
        Meta(
            description="For development: merchants' endpoints may be http, and on loopback or private addresses.",
            extra={"unit": "flag"},
        ),
    ] = False
    outbound_endpoints_limit: Annotated[
        int, count("Endpoints of one merchant; each message is sent to each of them.", le=1_000)
    ] = 20
    outbound_interval_ms: Annotated[int, ms("Pause between two looks at an empty outbox.", ge=10)] = 200
    outbound_batch: Annotated[int, count("Messages dispatched in one transaction.", le=10_000)] = 1_000
    outbound_concurrency: Annotated[
        int, count("Messages on their way from one worker at once; nearly all of them only wait.", le=100_000)
    ] = 500
    outbound_endpoint_concurrency: Annotated[
        int, count("Of those to one endpoint, so that a slow one leaves room; one that fails gets 1.", le=10_000)
    ] = 8
    outbound_timeout_ms: Annotated[
        int, ms("How long an endpoint may take to answer; Standard Webhooks says 15 to 30 s.", ge=50)
    ] = 20_000
    outbound_lease_ms: Annotated[
        int, ms("A worker that died frees its messages after this; more than two time-outs.", ge=100)
    ] = 60_000
    outbound_secret_overlap_ms: Annotated[
        int, ms("After a rotation the old secret signs too for this long, so that receivers can change over.")
    ] = 86_400_000
    outbound_failing_limit_ms: Annotated[
        int, ms("An endpoint that failed for 5 days without one success is disabled: longer than all retries take.")
    ] = 432_000_000
