"""The contract's chapters on webhooks: events of providers, and messages to merchants."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from tallystick.contract import markdown
from tallystick.decisions.messages import MessageBody
from tallystick.decisions.provider_events.dispositions import DISPOSITIONS
from tallystick.domain.kinds import KINDS
from tallystick.flows.webhooks.outbound.retries import JITTER, RETRY_AFTER_LIMIT_MS, SCHEDULE_MS
from tallystick.flows.webhooks.outbound.try_results import TRY_RESULTS
from tallystick.providers.event_codes import MEANINGS, EventMeaning
from tallystick.providers.registry import PROVIDERS
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
redelivery is stored beside the first arrival and answered 2xx as well. A bad signature is 401, a stale timestamp or an
unreadable body 400, an unknown provider or account 404, more than 1 MiB 413, a body that is too slow 408. These are
never processed. Each is counted by provider, account, reason and hour: `tallystick webhook-refusals`, or `GET
/v1/webhook-refusals` with an operator's key, shows the counts of the last 30 days. When the inbox cannot be
written the answer is 503 with `Retry-After`, and no acknowledged event is lost.

A worker decides from the stored state, never from the order of arrival or from a clock. The dispositions of an event:
"""

_RULES: Final = """
1. The same bytes under the same event id are one event. Other bytes under the same id are stored, with an alert.
2. Two events that report one change are two events; the second is a `duplicate_effect`.
3. An event that contradicts the record is not believed at once: the provider is asked for its current state, and that
   decides. If a provider has no lookup, the event counts as its current answer.
4. Money that moved after a payment or refund was closed is posted to `suspense:<provider>` once, with a rejection and
   an alert.
5. Every movement of a dispute's money that the provider identifies is posted once, however often and in whatever order
   it is reported: on the dispute's course, or to `suspense:<provider>` if the course does not account for it. A dispute
   that the provider reports both won and lost keeps its first verdict, with an alert, and the rest of its amount waits
   in suspense. (Every connector here identifies movements. An event without them is compared with the dispute's
   position in our ledger.)
6. An event that cannot be decided yet, or whose handler fails, is tried again with exponential backoff and full jitter.
   When its tries are used up it is a dead letter, which has an owner.
7. `tallystick dead-letters replay` uses the same guards: replaying an applied event has no second effect.
8. `GET /v1/provider-events/{id}` shows every checkpoint of an event from durable rows.
"""

_CODES: Final = """
### Events by their codes

Every code that a provider sends has a row here. An event of another code is kept, counted (`tallystick contract-drift`)
and shown to a person: as a dead letter, or as a `conflict` with an alert where its signed fields say that money moved.
"""

_PROMISES: Final = """
Guarantees for consumers:

1. **At least once.** A message may come twice, with the same `webhook-id`: deduplicate by it.
2. **Written with the change.** A message exists exactly when its step of history does; no message reports an
   uncommitted step.
3. **In order, payment by payment.** `version` is the payment's. To one endpoint, a message is first sent after every
   earlier one of its payment was delivered or given up. A resent message can come after newer ones: keep the highest
   `version` seen, and ignore the state in a lower one. Between payments there is no order. A
   `reconciliation.exception` is in no payment's order: it has no `payment_id` beside its `version`, which is its own,
   and its `data` names the payment.
4. **The state at that version.** `data` shows the subject as that version left it, never a newer or an older one, the
   same bytes at every try. A change of several versions sends only the last message of each subject, so versions have
   gaps, and several subjects may share one version. A message has only the `type` of a payer's `next_action`, because
   the rest is secret: read the payment with `GET /v1/payments/{id}`.
5. **Signed** by Standard Webhooks 1.0.0: `webhook-id`, `webhook-timestamp` (of the try), `webhook-signature` over
   `id.timestamp.body`. While a secret is replaced, the old one signs too. Nothing unsigned is sent: where the platform
   cannot open an endpoint's secret, the try is `secret_unreadable`, and the endpoint does not count as failing. Rotate
   the secret; the tries go on.
   Where the request that led to a message had a `traceparent`, the body has it, and each try has one of its own as a
   header: a span of the same trace.
6. **2xx within the time-out is success**, everything else is a failure. Redirects are not followed. 410 disables the
   endpoint.
   Nothing is sent before the endpoint's certificate is verified for the URL's host (TLS 1.2 or newer). If it is not
   valid, the try is `tls_failed` and the log has the reason. The machine's certificate authorities are trusted, or
   those in the file named by the environment variable `SSL_CERT_FILE`.
7. **Nothing is lost.** A message that was given up, or came while the endpoint was disabled, is in the delivery log and
   can be resent. `POST …/deliveries/resend` with `since` sends all of them now that were dispatched since then, and
   those that wait for their next try, and answers how many.
8. **A test message is no message.** `POST /v1/webhook-endpoints/{id}/test` sends one at once, signed and by the same
   rules of addresses and time-outs, also to a disabled endpoint, and its answer says what came of it. Its type is
   `webhook_endpoint.test`, its id begins with `tst_`, and it has neither `payment_id` nor `version`. It is in no list,
   is not sent again, and changes nothing of the endpoint; who asked for it is kept.
9. **Settled once.** `payment.settled` comes once for each movement of a payment that a provider's settlement has and
   that was posted to the merchant, minutes after the file; `reconciliation` of a read of the payment says which batch,
   fee and net. Where an operator takes the file back, `payment.settlement_withdrawn` comes once for each movement that
   was told as settled, once it is posted back; `payment.settled` comes again when another file has the movement.
   `reconciliation.exception` comes once for each row that disagrees with the payment that it names. None of them says
   how often the file came, or who resolved the row.
10. New types and members may be added; existing ones keep their meaning.
"""

_RESULTS: Final = (
    "What came of a try is in the delivery log by a stable code, and in words beside it: `failure` of a delivery is its"
    " latest try that failed. The list is open."
)

_AGAIN: Final = "Requests about endpoints take no `Idempotency-Key`. If no answer came, repeat the request:"

_SECOND_TIME: Final = (
    (
        "`POST /v1/webhook-endpoints`",
        "409 `webhook_endpoint_exists` with `webhook_endpoint_id`: a merchant's URLs are unique, compared"
        " exactly, also between concurrent requests. A secret that was never received is replaced by `rotate-secret`"
        " with `overlap_ms` 0. A disabled endpoint keeps its URL; the URL of a deleted one is free.",
    ),
    (
        "`…/rotate-secret`",
        "Another new secret. The secret that the receiver knows still signs until the end that the first request set,"
        " however often it is repeated; unused ones end by themselves.",
    ),
    ("`…/test`", "Another test message."),
    ("`…/disable`, `…/enable`", "Changes nothing."),
    ("`DELETE …`", "404: it is deleted."),
    ("`…/deliveries/{message_id}/resend`", "The message may come once more, with the same `webhook-id`."),
    ("`…/deliveries/resend`", "Only messages that are still not accepted; none that is due already."),
)


def provider_events() -> str:
    """Dispositions of providers' events, and how often they are tried."""
    rows = [(f"`{name}`", meaning) for name, meaning in DISPOSITIONS.items()]
    dispositions = markdown.table(("disposition", "meaning"), rows)
    return "\n\n".join(
        (
            _ACCEPTED.strip("\n"),
            dispositions,
            _RULES.strip("\n"),
            *_event_codes(),
            settings_table(INBOX_SETTINGS),
        )
    )


def _event_codes() -> Iterator[str]:
    """What is done with each event of each provider, by its code."""
    yield _CODES.strip("\n")
    yield markdown.table(
        ("meaning", "what is done with such an event"), [(_spoken(meaning), said) for meaning, said in MEANINGS.items()]
    )
    for name, setup in PROVIDERS.items():
        table = setup.event_codes()
        rows = [
            (_spoken(meaning), markdown.code(codes))
            for meaning in MEANINGS
            if (codes := sorted(code for code, found in table.items() if found == meaning))
        ]
        yield f"#### {name}"
        yield markdown.table(("meaning", "codes"), rows)


def _spoken(meaning: EventMeaning) -> str:
    return f"*{meaning.replace('_', ' ')}*"


def merchant_messages() -> str:
    """Messages to merchants, and their guarantees."""
    steps: dict[str, list[str]] = {}
    for kind in KINDS.values():
        for _, event, edge in kind.machine.live_edges():
            step = f"{kind.name}: {event}"
            if edge.told is not None and step not in steps.setdefault(edge.told, []):
                steps[edge.told].append(step)
    types = [(f"`{told}`", markdown.code(events)) for told, events in steps.items()]
    waits = [(str(number), _duration(wait_ms)) for number, wait_ms in enumerate(SCHEDULE_MS, 1)]
    results = [(f"`{code}`", result.meaning, result.advice) for code, result in TRY_RESULTS.items()]
    schedule = (
        f"Tries of one message, each after the previous one. Each wait is extended by a random part of itself, at most"
        f" {round(JITTER * 100)} %. A `Retry-After` is respected up to {_duration(RETRY_AFTER_LIMIT_MS)}."
    )
    return "\n\n".join(
        (
            "## Messages to merchants",
            "Each of these steps of history is one message to every endpoint that subscribes to its type. Steps that"
            " only begin something have no message. If one change makes several of these steps of a subject, only the"
            " last one has a message.",
            markdown.table(("type", "step"), types),
            f"A body has {markdown.code(MessageBody.__struct_fields__)}.",
            _PROMISES.strip("\n"),
            _AGAIN,
            markdown.table(("request", "a second time"), _SECOND_TIME),
            schedule,
            markdown.table(("try", "after"), waits),
            _RESULTS,
            markdown.table(("result", "what came of the try", "what to do"), results),
            settings_table(OUTBOX_SETTINGS),
        )
    )


def settings_table(names: Iterable[str]) -> str:
    """Settings with their defaults, units and reasons; those of connectors are not part of the contract."""
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
