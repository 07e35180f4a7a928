"""The contract's chapter on how fresh reads are: every endpoint that reads, and what else shows the record.

Written by hand; the times are those that the code runs on. Tests check that each endpoint has its row, and that what is
*at once* is read back through another process.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from tallystick.contract import markdown
from tallystick.flows.circuits import LOOK_EVERY_MS as CIRCUITS_EVERY_MS
from tallystick.flows.compliance.erasure import EVERY_MS as ERASE_EVERY_MS
from tallystick.flows.compliance.erasure import LOOKED_AT, PAGE_PAYMENTS, SINCE_EVERY_MS
from tallystick.flows.hourly_counts import BEHIND_MS
from tallystick.flows.reconciliation.fetching import EVERY_MS as FETCH_EVERY_MS
from tallystick.flows.reconciliation.telling import EVERY_MS as TELL_EVERY_MS
from tallystick.flows.reconciliation.waiting import EVERY_MS as WAITING_EVERY_MS
from tallystick.flows.reconciliation.worker import EVERY_MS as RECONCILE_EVERY_MS
from tallystick.interfaces.api.table import ENDPOINTS
from tallystick.oversight.tail import LOOK_EVERY_MS
from tallystick.record.postgres.provider_circuits import GONE_AFTER_MS
from tallystick.run.relay import POLL_S
from tallystick.settings.load import Settings

_DEFAULTS: Final = Settings()

#: How an operation is called, by its name.
_REQUESTS: Final = {endpoint.name: f"{endpoint.method} {endpoint.path}" for endpoint in ENDPOINTS}


class Fresh(NamedTuple):
    """One row. ``reads``: operations of the API, by their names in OpenAPI. ``what``: what is read where that is no
    operation. ``after``: from when it counts. ``behind_ms``: 0 is *at once*."""

    reads: tuple[str, ...]
    what: str
    after: str
    behind_ms: int
    late: str


_NOTHING: Final = "nothing: the database answers, or the answer is 503"
_ERASED: Final = "`[erased]` in an erased payment, wherever it is shown, listed, sent or replayed"

FRESH: Final = (
    Fresh(
        (
            "getPayment",
            "listPayments",
            "getHistory",
            "getTrace",
            "getRefund",
            "listRefunds",
            "listTransfers",
            "listAccounts",
        ),
        "",
        "the answer to the instruction, whatever its status",
        0,
        _NOTHING,
    ),
    Fresh((), "the replay of an answer", "the answer to the first request", 0, _NOTHING),
    Fresh(
        ("getWebhookEndpoint", "listWebhookEndpoints"), "", "the answer to the request about the endpoint", 0, _NOTHING
    ),
    Fresh(("getEvent",), "", "the 200 to the provider", 0, _NOTHING),
    Fresh(
        (),
        "`tallystick provider-events tail`",
        "the 200 to the provider",
        LOOK_EVERY_MS,
        "the database is away, and the command ends; many events arrive",
    ),
    Fresh(
        (),
        "`tallystick listen`",
        "`GET /v1/messages` lists the message",
        round(POLL_S * 1_000),
        "the API is away, or your server is slow: messages are forwarded one after the other",
    ),
    Fresh(("getCapabilities",), "", "the start of the process with its settings", 0, _NOTHING),
    Fresh((), "a new API key", "`tallystick keys create` has ended", 0, _NOTHING),
    Fresh(
        (),
        "a key that was revoked, and the providers of a merchant",
        "the command has ended",
        _DEFAULTS.api_key_cache_ms,
        "nothing: each API process remembers a key for `TALLYSTICK_API_KEY_CACHE_MS`",
    ),
    Fresh(
        ("listEvents", "getDispute", "listDisputes"),
        "what an event does to payments and refunds",
        "the 200 to the provider",
        _DEFAULTS.webhook_interval_ms,
        "no worker runs, or many events wait; an event that cannot be decided yet is tried again. Lists have `as_of`",
    ),
    Fresh(
        ("listDeadLetters",),
        "",
        "the event's last try, or the 200 for an item that cannot be read",
        _DEFAULTS.webhook_interval_ms,
        "no worker runs. The answer has `as_of`",
    ),
    Fresh(
        ("listMessages",),
        "",
        "the step of history",
        _DEFAULTS.outbound_interval_ms,
        "no worker runs, or many messages wait. The answer has `as_of`",
    ),
    Fresh(
        ("listWebhookDeliveries",),
        "the first try of a message, which has `version` and `timestamp`",
        "the step of history",
        _DEFAULTS.outbound_interval_ms,
        "no worker runs, many messages wait, or an earlier message of the payment is not delivered yet. The answer has"
        " `as_of`",
    ),
    Fresh(
        (),
        "how often a request was repeated, in a trace",
        "the answer to the repetition",
        BEHIND_MS,
        "the database is away. Of a killed process the last seconds are lost",
    ),
    Fresh(
        ("listActs", "getAct", "listDeployments", "listProviderPauses"),
        "",
        "the answer to the act",
        0,
        _NOTHING,
    ),
    Fresh(
        ("listRejections", "listRejectionGroups", "getRejection"),
        "",
        "the answer to the act on the case",
        0,
        _NOTHING,
    ),
    Fresh(("listInDoubt",), "", "the answer to the act on the attempt", 0, _NOTHING),
    Fresh(("listLateMoney",), "", "the answer to the act on the payment", 0, _NOTHING),
    Fresh(("listAlerts", "getAlert"), "", "the answer to the act on the alert", 0, _NOTHING),
    Fresh(
        ("listSettlementFiles", "getSettlementFile", "listSettlementRows"), "", "the answer to the import", 0, _NOTHING
    ),
    Fresh(
        ("getAudit", "getAuditHeads", "getAuditProofs", "getAuditConsistency", "verifyAudit"),
        "",
        "the step of history",
        _DEFAULTS.audit_sealing_interval_ms,
        "sealing is off, no worker runs, or much waits to be sealed. The answer has `as_of`",
    ),
    Fresh(("getReconciliation",), "", "the comparison of the file has ended", 0, _NOTHING),
    Fresh(
        (),
        "what an act did to a dead letter, to refused webhooks, or to a settlement file or row, in its list",
        "the answer to the act",
        0,
        _NOTHING,
    ),
    Fresh(
        (),
        "`reconciliation` of a payment, what a settlement file posts, and the evidence in operators' traces",
        "the answer to the import",
        RECONCILE_EVERY_MS,
        "no worker runs, or there are many rows; the batch does not add up yet. A row that came before what it is about"
        f" is compared again every {WAITING_EVERY_MS / 60_000:g} min",
    ),
    Fresh(
        (),
        "the step of history of `payment.settled`, `payment.settlement_withdrawn` and `reconciliation.exception`",
        "what the file comes to, or its withdrawal, is posted",
        TELL_EVERY_MS,
        "no worker runs, or there is much to tell",
    ),
    Fresh(
        (),
        "a file in `TALLYSTICK_SETTLEMENT_FOLDER`, in the lists of files",
        "it is whole in its folder, by its last change of size",
        _DEFAULTS.settlement_interval_ms + _DEFAULTS.settlement_rest_ms,
        "no worker watches the folder, or the file is large",
    ),
    Fresh(
        (),
        "a report that a provider offers, in the lists of files",
        "its event is applied",
        FETCH_EVERY_MS,
        "no worker runs, the report is large, or the provider does not give it yet",
    ),
    Fresh(("listErasures", "getErasure"), "", "the answer to the request for an erasure", 0, _NOTHING),
    Fresh((), _ERASED, "the second person has approved its erasure", 0, _NOTHING),
    Fresh(
        (),
        "`[erased]` in the payments of a merchant whose data are erased",
        "the second person has approved the erasure",
        ERASE_EVERY_MS,
        f"no worker runs, or there are many payments: a worker erases {PAGE_PAYMENTS} at a time",
    ),
    Fresh(
        (),
        "erasure of a webhook that comes about an erased payment",
        "the 200 to the provider",
        SINCE_EVERY_MS,
        f"no worker runs, or more than {LOOKED_AT:,} payments are erased: they are looked at in turns",
    ),
    Fresh(
        (),
        "an alert of a condition",
        "the condition begins to hold",
        _DEFAULTS.numbers_interval_ms + _DEFAULTS.alert_interval_ms,
        "no worker runs, or the one that watched ended less than 15 s ago",
    ),
    Fresh(
        (),
        "a case that a provider's event opens",
        "the 200 to the provider",
        _DEFAULTS.webhook_interval_ms,
        "no worker runs, or many events wait",
    ),
    Fresh(
        ("listEventResults",),
        "`tallystick rejections events`",
        "the try at the event",
        BEHIND_MS,
        "the database is away. Of a killed process the last seconds are lost. The answer has `as_of`",
    ),
    Fresh(
        ("listWebhookRefusals", "listContractDrift"),
        "`tallystick webhook-refusals`, `tallystick contract-drift`",
        "the answer to the provider, or the provider's to us",
        BEHIND_MS,
        "the database is away. Of a killed process the last seconds are lost. The answers of the API have `as_of`: what"
        " came until then is counted",
    ),
    Fresh(
        (),
        "requests in older versions, in `tallystick versions`",
        "the answer",
        BEHIND_MS,
        "the database is away. Of a killed process the last seconds are lost",
    ),
    Fresh(
        (),
        "circuits, in `tallystick status`",
        "the change in some process",
        CIRCUITS_EVERY_MS,
        f"the database is away. A killed process counts for {GONE_AFTER_MS / 1_000:g} s more. The age of the reports is"
        " shown",
    ),
)

_HEAD: Final = """
## How fresh reads are

All reads go to the primary, so another process never shows less than the one that wrote. With the default settings,
*at once* is: in every answer whose request was sent after that moment, from whatever process.
"""

_TAIL: Final = """
Commands read the record themselves: lists and traces as it is at that moment, `tallystick verify` as it was
when it began, in one snapshot.
"""


def freshness() -> str:
    """The chapter."""
    rows = [(_said(row), row.after, _behind(row.behind_ms), row.late) for row in FRESH]
    table = markdown.table(("what is read", "counted from", "shown", "what makes it late"), rows)
    return "\n\n".join((_HEAD.strip("\n"), table, _TAIL.strip("\n")))


def _said(row: Fresh) -> str:
    return ", ".join(part for part in (markdown.code(_REQUESTS[name] for name in row.reads), row.what) if part)


def _behind(behind_ms: int) -> str:
    return "*at once*" if behind_ms == 0 else f"at most {behind_ms / 1_000:g} s behind"
