"""The published contract, rendered from the tables that the code runs on (``tallystick contract``).

There are no rules here: state graphs, the attempt matrix, defaults, error codes and postings are read from the code
that enforces them. Only the sentences between them are written here, and the fault table is written by hand.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import NODEFAULT

from tallystick.contract import markdown
from tallystick.contract.acquirer import acquirer_controls, acquirer_scripts
from tallystick.contract.api_keys import api_keys
from tallystick.contract.capabilities import capabilities
from tallystick.contract.failure_codes import failure_codes
from tallystick.contract.failures import fault_table
from tallystick.contract.freshness import freshness
from tallystick.contract.ledger import ledger_chapter
from tallystick.contract.lists import lists
from tallystick.contract.opening import opening
from tallystick.contract.versions import versions_chapter
from tallystick.contract.webhooks import merchant_messages, provider_events, settings_table
from tallystick.domain.errors import ERRORS
from tallystick.domain.kinds import KINDS
from tallystick.domain.lifecycles.attempt import ATTEMPT
from tallystick.domain.lifecycles.machines import MACHINES
from tallystick.domain.lifecycles.payment import CREATE_OPEN
from tallystick.domain.lifecycles.refund import REFUND
from tallystick.domain.lifecycles.table import NEW, Machine
from tallystick.domain.lifecycles.verdict_matrix import VERDICTS, meaning_of
from tallystick.domain.personal import ERASED, ERASED_METADATA
from tallystick.domain.requests.fingerprint import FINGERPRINT_VERSION
from tallystick.domain.requests.idempotency_key import MAX_KEY_CHARS

#: The settings that govern recovery, in the order in which an attempt meets them.
RECOVERY_SETTINGS: Final = (
    "send_window_ms",
    "provider_connect_timeout_ms",
    "provider_request_timeout_ms",
    "settling_time_ms",
    "max_delivery_delay_ms",
    "clock_margin_ms",
    "resubmit_limit",
    "provider_circuit_patience_ms",
    "recovery_interval_ms",
    "recovery_lease_ms",
    "recovery_backoff_base_ms",
    "recovery_backoff_cap_ms",
    "recovery_checks_limit",
    "pending_poll_ms",
    "pending_deadline_ms",
    "action_deadline_ms",
    "authorization_deadline_ms",
    "in_doubt_owner",
    "in_doubt_alarm_age_ms",
    "in_doubt_hasten_interval_ms",
)


def render_contract() -> str:
    """The contract as markdown: the same bytes on every machine."""
    sections = (
        _HEAD,
        opening(),
        _lifecycles(),
        _history(),
        _matrix(),
        _recovery(),
        provider_events(),
        _finality(),
        failure_codes(),
        _IDENTITY,
        freshness(),
        _errors(),
        api_keys(),
        versions_chapter(),
        fault_table(),
        ledger_chapter(),
        merchant_messages(),
        lists(),
        capabilities(),
        acquirer_scripts(),
        acquirer_controls(),
    )
    return "\n\n".join(section.strip("\n") for section in sections) + "\n"


_HEAD: Final = """
# The contract

Printed by `tallystick contract` from the tables that the code runs on; the fault table alone is written by hand, and a
test compares each cell. Another test checks that this page is that output.
"""


def _lifecycles() -> str:
    parts = [
        "## Lifecycles",
        "These are all edges; a step without an edge cannot happen. An edge from a state to itself adds a version and"
        " keeps the state. *message*: the message to the merchant, if the edge has one. Old history also has"
        " `late_effect`, the former name of late captures, holds, releases, refunds and movements, and"
        " `late_money_counted`, by which migration 0013 gave such money its amount.",
    ]
    for name, machine in MACHINES.items():
        parts += [f"### {name.replace('_', ' ').capitalize()}", _diagram(machine)]
        parts.append(markdown.table(("from", "event", "to", "message"), _edges(machine)))
        final = markdown.code(sorted(machine.final))
        parts.append(f"Final: {final}." if final else "No state is final.")
    return "\n\n".join(parts)


def _edges(machine: Machine) -> list[tuple[str, str, str, str]]:
    return [
        (f"`{state}`", f"`{event}`", f"`{edge.to}`", f"`{edge.told}`" if edge.told else "")
        for state, event, edge in machine.live_edges()
    ]


def _diagram(machine: Machine) -> str:
    lines = ["```mermaid", "stateDiagram-v2"]
    for state, event, edge in machine.live_edges():
        lines.append(f"    {'[*]' if state == NEW else state} --> {edge.to}: {event}")
    lines += [f"    {state} --> [*]" for state in machine.states if state in machine.final]
    return "\n".join([*lines, "```"])


_HISTORY: Final = """
## History

One row of the view `history` is one step of one subject. States, amounts and ledger follow from these rows alone.

- `subject` is the kind, `subject_id` the subject, `stream_id` its payment. `version` counts a subject's steps from 1,
  without gaps.
- `from_state`, `event` and `to_state` are an edge of the tables above. `from_state` is the `to_state` of the version
  before; of version 1 it is `new`.
- `change` has the fields that the step set, as JSON. Of version 1 it has what differs from the defaults below. A field
  that a later step does not name keeps its value. Lists are set whole.
- `change_id` is the same for all steps that were committed together.
- `created_at` is left out of version 1 where it is the step's `at`.
- The `provider_key` of an attempt with an `idempotency_key` is left out where it is the SHA-256, in hexadecimal, of
  `merchant_id`, `idempotency_key`, `operation` and `1`, each on a line of its own.

A payment's `amount_refunded` is the sum of its `succeeded` refunds, and `amount_refund_pending` the sum of those that
are `submitting` or `pending`.

| subject | before version 1 |
| --- | --- |
"""


def _history() -> str:
    rows = []
    for kind in KINDS.values():
        known = [(name, default) for name, default in kind.opened_with if default is not NODEFAULT]
        said = ", ".join(f"`{name}` {msgspec.json.encode(default).decode()}" for name, default in known)
        rows.append(f"| `{kind.name}` | {said} |")
    return "\n".join([_HISTORY.rstrip(), *rows, ""])


def _matrix() -> str:
    rows = [[f"`{state}`", *(meaning_of(state, verdict).value for verdict in VERDICTS)] for state in ATTEMPT.states]
    return "\n\n".join(
        (
            "## Verdicts on a stored attempt",
            "What a provider's verdict means for an attempt, from any source and in any order. *apply*: a legal edge,"
            " committed. *same*: nothing new. *conflict*: it contradicts the record; a rejection is kept, with an"
            " alert. *late_effect*: an effect on a closed attempt; the payment follows if it still can, otherwise the"
            " money is posted to `suspense:<provider>`, with a rejection and an alert. An approval of another amount,"
            " currency or effect than requested is a conflict in every state; but money captured on a charge that is"
            " closed here goes to suspense whatever its amount.",
            markdown.table(("attempt", *(f"`{verdict}`" for verdict in VERDICTS)), rows),
        )
    )


_RECOVERY_RULES: Final = """
1. A sender may start to write for `send_window_ms` after its commit. It checks the clock right before the first
   byte; if it is too late, the attempt is `not_sent`.
2. Its deadline is `send_window_ms` plus `provider_request_timeout_ms` after the commit. From then on recovery
   may look it up.
3. A time-out, a reset, a 5xx or an unreadable answer is `unknown`. A refused connection, a 401, 403 or 429
   is `not_sent`. Neither is a decline.
   A 429 or 503 with `Retry-After` stops every call of that account, look-ups too, for the wait that it asks for, at
   most `provider_retry_after_limit_ms`: in the process that was told at once, in the others within a second. Calls
   that were not made are `not_sent`. Recovery spends no submission and no look-up meanwhile. An attempt that provably
   did nothing waits for `provider_circuit_patience_ms`; then it and its instruction are `failed`, retryable. One in
   doubt waits on. After the wait one attempt at a time finds out whether calls are taken again.
4. "No such charge" is evidence only `settling_time_ms` after the deadline (`max_delivery_delay_ms`, if that is
   longer and the provider does not deduplicate), and only from a consistent lookup. Before that it is no evidence;
   nor is it while this host's clock and the database's or the provider's differ by more than `clock_margin_ms`, or
   if a list was cut off.
5. An attempt is sent again only if it was `not_sent`, with such evidence, or if the provider deduplicates and its
   key has a tenth of its lifetime left. The resubmission is committed before it is sent.
   If the provider says that its key was used for another request (`key_taken`, most likely after a restore), it is
   never sent again and never given up: absence proves nothing, and it is parked. Its own effect, the charge's state,
   an event or an operator with a reference resolves it.
   While `record_was_restored` is set, nothing is given up: a forgotten attempt may have carried out the instruction.
6. After `resubmit_limit` more submissions an attempt that provably did nothing is `failed`, and so is its
   instruction. An attempt without that proof goes to the in-doubt list.
   While the provider's circuit is open no submissions are used: the attempt waits, until it is
   `provider_circuit_patience_ms` old.
7. An `unknown` attempt is looked up with exponential backoff and jitter. After `recovery_checks_limit` lookups
   without a result it is parked on the in-doubt list; a `pending` one after `pending_deadline_ms`.
8. The in-doubt list belongs to `in_doubt_owner`. An attempt on it for longer than `in_doubt_alarm_age_ms` is a
   violation. With `tallystick in-doubt resolve` an operator decides it; evidence, actor and reason are kept in the
   history.
9. A payment that waits for its customer is released at the provider and expires after `action_deadline_ms`; an
   authorization that was not captured, after `authorization_deadline_ms`.
10. Reading a payment in doubt brings the next lookup forward, at most every `in_doubt_hasten_interval_ms`.
"""


def _recovery() -> str:
    return "\n\n".join(("## Retries and recovery", _RECOVERY_RULES.strip("\n"), settings_table(RECOVERY_SETTINGS)))


def _finality() -> str:
    waiting = sorted(CREATE_OPEN)
    rows = (
        (
            "`POST /v1/payments`",
            "201",
            f"its authorization closed: the payment has left {markdown.code(waiting)}. Under manual capture"
            " `authorized` is final for this instruction, whatever a capture or cancel does later",
        ),
        (
            "`POST /v1/payments/{id}/capture`",
            "200",
            "`captured`; or refused: the payment is `authorized` again and `failure` says why; or the payment had moved"
            " on, and is shown as it is",
        ),
        (
            "`POST /v1/payments/{id}/cancel`",
            "200",
            "`canceled`; or refused: the payment is back where it was, with `failure`; or the payment had moved on, and"
            " is shown as it is: `captured` where the payer was faster",
        ),
        (
            "`POST /v1/payments/{id}/refunds`",
            "201",
            f"the refund is {markdown.code(sorted(REFUND.final))}; a `pending` one is not final",
        ),
        (
            "any of them",
            str(ERRORS["transition_rejected"].status),
            "refused by the payment's state or amounts (`transition_rejected`): final at once",
        ),
    )
    return "\n\n".join(
        (
            "## When an instruction is final",
            "Finality belongs to the instruction, not to the payment. The change that finalises it, from the"
            " sender's answer, recovery or an operator, records status and body in the same transaction. Until then"
            " the answer is 202 with the current state, and a 202 is never recorded.",
            markdown.table(("instruction", "status", "final when"), rows),
            _NEXT_ACTION.strip("\n"),
        )
    )


_NEXT_ACTION: Final = """
A payer's `next_action` may contain secrets of the payer, such as Stripe's `client_secret`. So it is complete in two
places only, both answers to the merchant's own authenticated request, and only while the payment is `requires_action`:
the 202 to `POST /v1/payments` (and to the same request again), and
`GET /v1/payments/{id}`. Lists, recorded answers and webhook messages have only its `type`; history and evidence never
show the rest; in every other state it is null. It is stored encrypted, bound to its payment. If its key is lost or
unusable, the answer is the same with only the `type`. Pass it to the payer; do not store it, log it or put it into a
URL.
"""


#: Metadata after an erasure, as JSON.
ERASED_MEMBER: Final = msgspec.json.encode(ERASED_METADATA).decode()

_IDENTITY: Final = f"""
## Identity

- Every POST that moves money carries `Idempotency-Key`: 1 to {MAX_KEY_CHARS} printable ASCII characters, quoted or
  bare; both spellings are one key. A key never expires.
- The fingerprint (version {FINGERPRINT_VERSION}) is SHA-256 over method, path and the JSON as it was sent, with
  sorted keys and without defaults. A release that reads requests differently gets another version, and keeps
  this one for keys that were made with it.
- The same key with another payload, path or operation is 422 `idempotency_key_reused`, which names the field that
  differs.
- While the newest attempt is being sent and before its deadline: 409 `instruction_in_flight` with `Retry-After`.
- Not final otherwise: 202 with the current state, `Retry-After`, and no replay header.
- Final: the recorded status and body, byte for byte, with `Idempotent-Replayed: true`; declines and
  `transition_rejected` too, whatever has happened to the payment since. There is one exception, an erasure: then it is
  the recorded status and body with each erased value replaced by `"{ERASED}"`. Of a `description` that is the text, of
  `metadata` one member, `{ERASED_MEMBER}`. Of a request whose values are erased everything else is compared. What is
  shown, listed and sent of the payment has the same in their place from then on.
- The scope of a key is the merchant: each of its API keys finds it, on every path. Headers are no part of a request, so
  that a rotated API key finds what the old one sent. No body is `{{}}`. A member that is null makes another request
  than one that is absent.
- A client that got no answer, a 409 `instruction_in_flight`, a 202 or a 503 sends the same request with the same key
  again. One with `retryable: false` has to change the request. Its key is free, but for `transition_rejected` and
  `idempotency_key_reused`, which need another.
- [Retries](../guides/retries.md) has each answer, what a client does next, and a client.
"""


def _errors() -> str:
    rows = [
        (
            f"`{code}`",
            str(kind.status),
            kind.title,
            "yes" if kind.retryable else "no",
            f"`{kind.outcome}`",
            "yes" if kind.uses_key else "no",
        )
        for code, kind in ERRORS.items()
    ]
    return "\n\n".join(
        (
            "## Errors",
            "RFC 9457 problem documents. The order of the table is the order of the checks: authentication, rate,"
            " key syntax, JSON, **the existing key**, then validation, so that a stricter release cannot turn a"
            " replay into an error. For an instruction `version_unknown` and `scope_missing` come after the existing"
            " key too."
            " `outcome`: *not_executed* promises that nothing was written under the key and no"
            " money moved; *executed* that the refusal itself is recorded and will be replayed; *unknown* that the"
            " same request must be sent again to learn what happened. *takes the key*: whether this answer is the"
            " reason that the key is taken afterwards.",
            "A body that is not complete after `TALLYSTICK_REQUEST_BODY_TIMEOUT_MS` is `request_timeout`. If the"
            " connection ended first it is `body_incomplete`. Both close the connection. A connection that has not"
            " sent the whole head of a request for `TALLYSTICK_REQUEST_HEAD_TIMEOUT_MS` is closed"
            " without an answer. The API speaks HTTP/1.1.",
            markdown.table(("code", "status", "title", "retryable", "outcome", "takes the key"), rows),
        )
    )
