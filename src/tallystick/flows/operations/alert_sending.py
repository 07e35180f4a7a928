"""Alerts on their way to operators' webhooks: signed as Standard Webhooks says, or as a text for a chat.

What is sent is the alert as it stands, once for each step that a webhook has not heard of; the newest step is enough. A
webhook that fails is tried again for as long as there is something that it has not heard of.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final

import msgspec
from msgspec import Struct

from tallystick.domain.alert import Alert
from tallystick.domain.operator_views import alert_view
from tallystick.flows.runtime import Runtime
from tallystick.flows.webhooks.outbound.address_policy import AddressPolicy
from tallystick.flows.webhooks.outbound.client import NEVER_TOO_LATE, EndpointClient
from tallystick.flows.webhooks.outbound.signing import signed_headers
from tallystick.flows.webhooks.outbound.try_results import DELIVERED
from tallystick.kit.ids import derived_id
from tallystick.kit.log_sampling import SampledLines
from tallystick.kit.logs import get_logger
from tallystick.record.postgres.alerts import Sending
from tallystick.settings.fields import comma_list
from tallystick.settings.load import Settings

log = get_logger("tallystick.flows.operations.alert_sending")

#: Waits after failed tries: an alert that is an hour late is of little use, so they stay short.
WAITS_MS: Final = (5_000, 15_000, 60_000, 300_000)

#: How long a webhook may take.
TIMEOUT_MS: Final = 10_000

#: Webhooks are few.
CONNECTIONS: Final = 4

#: Digits of a target's digest: enough to tell a few apart.
DIGEST_CHARS: Final = 16

#: What an alert in a state is sent as.
TYPES: Final[Mapping[str, str]] = {
    "open": "alert.opened",
    "acknowledged": "alert.acknowledged",
    "resolved": "alert.resolved",
}


class Target(Struct, frozen=True):
    """A webhook. ``name`` is a digest of its address, which may be a secret. ``secret`` None: it takes a text, and is
    not signed."""

    name: str
    url: str
    secret: str | None


def targets_of(settings: Settings) -> list[Target]:
    """Those of the settings."""
    signed = [Target(_digest(url), url, settings.alert_secret) for url in comma_list(settings.alert_urls or "")]
    return signed + [Target(_digest(url), url, None) for url in comma_list(settings.alert_slack_urls or "")]


def _digest(url: str) -> str:
    return hashlib.sha256(url.encode()).hexdigest()[:DIGEST_CHARS]


class AlertSender:
    """Sends for the one worker that has the watch. Make it inside a running event loop."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._targets = targets_of(runtime.settings)
        self._failures = SampledLines()
        # The addresses are the operator's own: inside the platform's network, most likely.
        policy = AddressPolicy(allow_private=True)
        self._client = EndpointClient(policy, timeout_ms=TIMEOUT_MS, connections=CONNECTIONS) if self._targets else None

    async def send(self, alerts: Sequence[Alert]) -> None:
        """Send each webhook what it has not heard of yet. Raises what the database raises."""
        if self._client is None:
            return
        now = self._runtime.clock.now()
        known = await self._runtime.stores.alerts.sendings([each.name for each in self._targets])
        for target in self._targets:
            for alert in alerts:
                last = known.get((alert.alert_id, target.name))
                if last is None and alert.state == "resolved":
                    continue  # it was over before this webhook was there to hear of it
                if last is None or (last.version < alert.version and last.next_try_at <= now):
                    await self._try(self._client, target, alert, last)

    async def close(self) -> None:
        """Close every connection, and log what is still counted."""
        self._failures.flush()
        if self._client is not None:
            await self._client.close()

    async def _try(self, client: EndpointClient, target: Target, alert: Alert, last: Sending | None) -> None:
        now = self._runtime.clock.now()
        message_id = derived_id("msg", alert.alert_id, str(alert.version), target.name)  # the same over all tries
        body = body_of(alert) if target.secret is not None else chat_text(alert)
        headers = {} if target.secret is None else signed_headers(message_id, now, body, [target.secret])
        result = await client.send(target.url, headers, body, write_by_ms=NEVER_TOO_LATE, now=now)
        taken, failed = result.result == DELIVERED, 0 if last is None else last.failed
        wait_ms = 0 if taken else max(WAITS_MS[min(failed, len(WAITS_MS) - 1)], result.retry_after_ms or 0)
        await self._runtime.stores.alerts.note(
            Sending(
                alert_id=alert.alert_id,
                target=target.name,
                version=alert.version if taken else 0 if last is None else last.version,
                failed=0 if taken else failed + 1,
                next_try_at=now + timedelta(milliseconds=wait_ms),
            )
        )
        if not taken:
            self._say(target, alert, result.detail or result.result)

    def _say(self, target: Target, alert: Alert, why: str) -> None:
        def say(since_last_line: int) -> None:
            log.warning(
                "alert not sent yet",
                target=target.name,
                alert_id=alert.alert_id,
                name=alert.name,
                about=alert.about,
                reason=why,
                since_last_line=since_last_line,
                next=f"tallystick alerts show {alert.alert_id}",
            )

        self._failures.line(target.name, say)


class AlertMessage(Struct, frozen=True, kw_only=True):
    """What a webhook is sent, as Standard Webhooks has it."""

    type: str
    timestamp: str
    data: object


def body_of(alert: Alert) -> bytes:
    """The signed body."""
    timestamp = alert.updated_at.isoformat().replace("+00:00", "Z")
    return msgspec.json.encode(AlertMessage(type=TYPES[alert.state], timestamp=timestamp, data=alert_view(alert)))


def chat_text(alert: Alert) -> bytes:
    """A text in the form of Slack's incoming webhooks."""
    who = alert.resolved_by if alert.state == "resolved" else alert.acknowledged_by
    by = f" by {who}" if who else ""
    lines = (
        f"[{alert.severity}] {alert.name} ({alert.about}): {alert.state}{by}",
        alert.summary,
        f"{alert.runbook}: tallystick alerts show {alert.alert_id}",
    )
    return msgspec.json.encode({"text": "\n".join(lines)})
