"""The contract's chapters on webhooks: what providers' events come to, and what merchants may rely on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from tallystick.contract import markdown
from tallystick.decisions.messages import MessageBody
from tallystick.decisions.provider_events.dispositions import DISPOSITIONS
from tallystick.domain.kinds import KINDS
from tallystick.flows.webhooks.outbound.retries import JITTER, RETRY_AFTER_LIMIT_MS, SCHEDULE_MS
from tallystick.settings.load import describe_settings

#: The settings that govern events of providers, in the order in which an event meets them.
INBOX_SETTINGS: Final = (
    "request_body_timeout_ms",
    "webhook_queue_limit",
    "webhook_commit_timeout_ms",
    "webhook_interval_ms",
    "webhook_lease_ms",
    "webhook_tries_limit",
    "webhook_provider_tries",
    "webhook_backoff_base_ms",
    "webhook_backoff_cap_ms",
    "webhook_owner",
    "webhook_provider_owners",
    "webhook_dead_letter_alarm_age_ms",
)

#: The settings that govern messages to merchants.
OUTBOX_SETTINGS: Final = (
    "outbound_endpoints_limit",
    "outbound_timeout_ms",
    "outbound_secret_overlap_ms",
    "outbound_failing_limit_ms",
)

#: Units for the schedule, the longest first.
_UNITS: Final = ((3_600_000, "h"), (60_000, "min"), (1_000, "s"))

_ACCEPTED: Final = """
## Events of providers

`POST /v1/webhooks/{provider}/{account}` answers 2xx once everything in the delivery is durable, and decides nothing. A
redelivery is kept beside the first arrival and answered 2xx as well. A bad signature is 401, a stale timestamp or bytes
that cannot be read 400, an unknown provider or account 404, more than 1 MiB 413, a body that is too slow 408; none of
these is ever processed. Each is counted by provider, account, reason and hour: `tallystick webhook-refusals`, or `GET
/v1/webhook-refusals` with an operator's key, shows what was refused in the last 30 days. When the inbox cannot be
written the answer is 503 with `Retry-After`, and nothing that was acknowledged is lost.

A worker decides from what is stored, never from the order of arrival or from a clock. What an event comes to:
"""

_RULES: Final = """
1. The same bytes under the same event id are one event. Other bytes under the same id are kept, and alerted.
2. Two events that tell of one change are two events; the second is a `duplicate_effect`.
3. An event that contradicts the record is not believed at once: the provider is asked for its current word, and that
   decides. Where a provider has no lookup, the event is its current word.
4. Money that moved on a closed edge is posted to `suspense:<provider>` once, with a rejection and an alert.
5. Of a dispute every movement of money that the provider names is posted once, however often it is told, in whatever
   order, and however many there are: on the dispute's course, or to `suspense:<provider>` where the course does not
   account for it. A dispute that the provider calls won and lost keeps its first verdict, is alerted, and what is left
   of its amount waits in suspense. (Every connector here names its movements. An event of
   one that does not is compared with where the money is by our books.)
6. What cannot be decided yet, and what fails, is tried again with exponential backoff and full jitter. When the tries
   are used up it is a dead letter, which has an owner.
7. `tallystick dead-letters replay` runs the very same guards: replaying what was applied has no second effect.
8. `GET /v1/provider-events/{id}` shows every checkpoint of an event from durable rows.
"""

_PROMISES: Final = """
What a consumer may rely on:

1. **At least once.** A message may come twice, with the same `webhook-id`: that is what to deduplicate by.
2. **Written with the change.** A message exists exactly when its step of history does; nothing is told that was not
   committed.
3. **In order, payment by payment.** `version` is the payment's. To one endpoint, a message is first sent after every
   earlier one of its payment was delivered or given up. One that is sent again later can come after newer ones: keep
   the highest `version` seen, and treat a lower one as old news. Between payments there is no order.
4. **The state at that version.** `data` shows the subject as that version left it, never a newer or an older one, the
   same bytes at every try. A change that makes several versions tells of the last of each subject, so versions have
   gaps, and several subjects may share one version. Of a payer's `next_action` a message has the `type` alone, for
   the rest is secret: read the payment with `GET /v1/payments/{id}`.
5. **Signed** as Standard Webhooks 1.0.0 says: `webhook-id`, `webhook-timestamp` (of the try), `webhook-signature` over
   `id.timestamp.body`. While a secret is replaced, the old one signs too.
6. **2xx within the time-out is success**, anything else is not. Redirects are not followed. 410 disables the endpoint.
   Nothing is sent before the endpoint's certificate was verified, for the URL's host (TLS 1.2 or newer); where it is
   not valid, the try is `tls_failed` and the log says why. Trusted are the authorities of the machine, or those in the
   file that the process's variable `SSL_CERT_FILE` names.
7. **Nothing is lost for good.** What was given up, or came while the endpoint was disabled, is in the delivery log and
   can be sent again.
8. New types and new members may appear; those that are here keep their meaning.
"""

_AGAIN: Final = "Requests about endpoints take no `Idempotency-Key`. Where no answer came, ask again:"

_SECOND_TIME: Final = (
    (
        "`POST /v1/webhook-endpoints`",
        "409 `webhook_endpoint_exists` with `webhook_endpoint_id`: a merchant's URLs are unique, letter for"
        " letter, however many register at once. A secret that was never seen is replaced by `rotate-secret` with"
        " `overlap_ms` 0. A disabled endpoint keeps its URL; the URL of a deleted one is free.",
    ),
    (
        "`…/rotate-secret`",
        "Another new secret. The one that the receiver knows signs for as long as the first request gave it, however"
        " often it is repeated; those that nobody saw end by themselves.",
    ),
    ("`…/disable`, `…/enable`", "Changes nothing."),
    ("`DELETE …`", "404: it is gone."),
    ("`…/deliveries/{message_id}/resend`", "The message may come once more, with the same `webhook-id`."),
    ("`…/deliveries/resend`", "Only what is still unheard: nothing that the first request put on its way."),
)


def provider_events() -> str:
    """What providers' events come to, and how often they are tried."""
    rows = [(f"`{name}`", meaning) for name, meaning in DISPOSITIONS.items()]
    dispositions = markdown.table(("disposition", "meaning"), rows)
    return "\n\n".join((_ACCEPTED.strip("\n"), dispositions, _RULES.strip("\n"), settings_table(INBOX_SETTINGS)))


def merchant_messages() -> str:
    """What merchants are told, and what they may rely on."""
    steps: dict[str, list[str]] = {}
    for kind in KINDS.values():
        for _, event, edge in kind.machine.live_edges():
            step = f"{kind.name}: {event}"
            if edge.told is not None and step not in steps.setdefault(edge.told, []):
                steps[edge.told].append(step)
    types = [(f"`{told}`", markdown.code(events)) for told, events in steps.items()]
    waits = [(str(number), _duration(wait_ms)) for number, wait_ms in enumerate(SCHEDULE_MS, 1)]
    schedule = (
        f"Tries of one message, after the one before. Each wait is longer by a random part of itself, at most"
        f" {round(JITTER * 100)} %. A `Retry-After` is heeded up to {_duration(RETRY_AFTER_LIMIT_MS)}."
    )
    return "\n\n".join(
        (
            "## What merchants are told",
            "Each of these steps of history is one message to every endpoint that wants its type. Steps that only begin"
            " something are not told. Of several steps that one change makes of a subject, the last of these is told.",
            markdown.table(("type", "step"), types),
            f"A body has {markdown.code(MessageBody.__struct_fields__)}.",
            _PROMISES.strip("\n"),
            _AGAIN,
            markdown.table(("request", "a second time"), _SECOND_TIME),
            schedule,
            markdown.table(("try", "after"), waits),
            settings_table(OUTBOX_SETTINGS),
        )
    )


def settings_table(names: Iterable[str]) -> str:
    """Settings with their defaults, units and reasons; those of single connectors are no part of the contract."""
    described = {row.variable: row for row in describe_settings(connectors=())}
    rows = []
    for name in names:
        row = described[f"TALLYSTICK_{name.upper()}"]
        rows.append((f"`{row.variable}`", row.default, row.unit, row.reason))
    return markdown.table(("setting", "default", "unit", "why"), rows)


def _duration(ms: int) -> str:
    for unit_ms, unit in _UNITS:
        if ms >= unit_ms and ms % unit_ms == 0:
            return f"{ms // unit_ms} {unit}"
    return "at once" if ms == 0 else f"{ms} ms"
