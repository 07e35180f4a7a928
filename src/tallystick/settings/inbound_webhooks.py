"""Settings of providers' webhooks: the queue before the inbox, retries, dead letters and their owners."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

from tallystick.settings.fields import by_provider, count, ms, provider_map, text, variable
from tallystick.settings.sections import Section


@dataclass(frozen=True, kw_only=True, repr=False)
class InboundWebhookSettings(Section):
    """From a delivery to its decision."""

    title: ClassVar[str] = "Webhooks from providers"

    webhook_queue_limit: Annotated[
        int,
        count(
            "Deliveries waiting for the inbox: a second's work; above it the answer is 503, and the provider retries."
        ),
    ] = 5_000
    webhook_commit_timeout_ms: Annotated[
        int, ms("After this a delivery is answered 503. Adyen waits for 10 s, others for less.", ge=100)
    ] = 5_000
    webhook_interval_ms: Annotated[int, ms("Pause between two reads of an empty inbox.", ge=10)] = 200
    webhook_batch: Annotated[int, count("Events leased at once; a lease must outlast the batch.", le=10_000)] = 200
    webhook_lease_ms: Annotated[
        int, ms("A worker that died frees its events after this; a slow one renews at a third of it.", ge=100)
    ] = 30_000
    webhook_tries_limit: Annotated[
        int, count("Tries at one event before it is a dead letter: about 10 minutes with the waits below.", le=100)
    ] = 12
    webhook_provider_tries: Annotated[
        str | None, provider_map("Other limits by provider, as in stripe=20,adyen=30.")
    ] = None
    webhook_backoff_base_ms: Annotated[
        int, ms("First wait is random below this: an event often overtakes our own commit by milliseconds.", ge=10)
    ] = 500
    webhook_backoff_cap_ms: Annotated[int, ms("Waits are random below at most this.", ge=10)] = 900_000
    webhook_owner: Annotated[str, text("The owner of dead letters.")] = "payments-oncall"
    webhook_provider_owners: Annotated[
        str | None, provider_map("Other owners by provider, as in stripe=cards-team,adyen=eu-team.")
    ] = None
    webhook_dead_letter_alarm_age_ms: Annotated[
        int, ms("Verify reports a dead letter older than this as overlooked.")
    ] = 86_400_000

    def faults(self) -> Iterator[str]:
        for name in ("webhook_provider_tries", "webhook_provider_owners"):
            try:
                values = by_provider(getattr(self, name)).values()
            except ValueError as error:
                yield f"{variable(name)}: {error}"
                continue
            if name == "webhook_provider_tries" and not all(each.isdecimal() and int(each) for each in values):
                yield f"{variable(name)}: every value must be a count of 1 or more"
