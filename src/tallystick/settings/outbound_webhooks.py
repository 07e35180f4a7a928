"""Settings of messages to merchants: endpoints, how many at once, how long to wait."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

from tallystick.settings.fields import count, flag, ms, variable
from tallystick.settings.sections import Section


@dataclass(frozen=True, kw_only=True, repr=False)
class OutboundWebhookSettings(Section):
    """From the outbox to merchants' endpoints."""

    title: ClassVar[str] = "Webhooks to merchants"

    webhook_allow_private_addresses: Annotated[
        bool, flag("For development: merchants' endpoints may be http, and on loopback or private addresses.")
    ] = False
    outbound_endpoints_limit: Annotated[
        int, count("Endpoints of one merchant; each message is sent to each of them.", le=1_000)
    ] = 20
    outbound_interval_ms: Annotated[int, ms("Pause between two reads of an empty outbox.", ge=10)] = 200
    outbound_batch: Annotated[int, count("Messages dispatched in one transaction.", le=10_000)] = 1_000
    outbound_concurrency: Annotated[
        int,
        count(
            "Messages in transit from one worker at once; merchants share them, and nearly all only wait.", le=100_000
        ),
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

    def faults(self) -> Iterator[str]:
        if self.outbound_lease_ms <= 2 * self.outbound_timeout_ms:
            timeout = variable("outbound_timeout_ms")
            yield f"{variable('outbound_lease_ms')}: it must be more than twice {timeout}"
