"""What the OpenAPI document says about the API as a whole, and about its groups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from tallystick.interfaces.api import openapi_webhooks
from tallystick.interfaces.api.parameters import Schema
from tallystick.settings.api import ApiSettings

INFO: Final[Schema] = {
    "title": "Tallystick",
    "summary": "Payments with one financial outcome for each instruction",
    "description": (
        "Amounts are integers in the minor unit of their currency: 1250 in EUR is 12.50 EUR. Times are RFC 3339 with an"
        " offset. Every instruction has an `Idempotency-Key`: whatever happens to the connection, send the same request"
        " with the same key again, and it is carried out once. Every error is a problem document with a stable `code`"
        " and an `outcome`, which says what the request did. The contract, `tallystick contract`, has every state, edge"
        " and promise."
    ),
    "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
}

SERVERS: Final[list[Schema]] = [
    {"url": "/", "description": "The server that this document was read from."},
    {
        "url": f"http://127.0.0.1:{ApiSettings.port}",
        "description": "`tallystick up` on this machine, with the default settings.",
    },
]

API_KEY: Final[Schema] = {
    "type": "http",
    "scheme": "bearer",
    "description": "An API key of a merchant or of an operator: `Authorization: Bearer <key>`.",
}

#: Whose keys an operation takes.
CALLERS: Final[Mapping[Literal["merchant", "operator", "either"], str]] = {
    "merchant": "",
    "operator": "Takes an operator's API key.",
    "either": "Takes a merchant's or an operator's API key.",
}


def needs(callers: Literal["merchant", "operator", "either"], scope: str) -> str:
    """What an operation asks of an API key."""
    return f"{CALLERS[callers]} Needs the scope `{scope}`.".strip()


PROBES: Final = "Probes"
DOCUMENTATION: Final = "Documentation"

#: The groups of operations, in the order of the document. Each is named after the first part of its paths.
_TAGS: Final[Mapping[str, str]] = {
    "Capabilities": "What each provider can do here, and what may still happen after a final state.",
    "Payments": "Charged or held, captured, canceled, read and listed.",
    "Refunds": "Money of a payment paid back.",
    "Disputes": "Payments that a payer's bank contests.",
    "Ledger": "The merchant's book: accounts, and what moved between them.",
    "Messages": "What was sent to the merchant, to be read again.",
    "Webhook endpoints": "Where messages to a merchant are sent, and what became of each.",
    openapi_webhooks.TAG: "What is sent to webhook endpoints.",
    "Provider events": "What providers reported, and what it did.",
    "Webhooks": "What providers send here.",
    "Dead letters": "Events that bounded retries could not process: an operator decides.",
    "Webhook refusals": "Deliveries of providers that were rejected.",
    "Contract drift": "What providers sent that this release does not read as it was sent.",
    "In doubt": "Calls to providers of which nobody knows what became of them.",
    "Late money": "Money that came after its payment's end and waits for a decision.",
    "Alerts": "Conditions of the platform that a person has to know of.",
    "Rejections": "Refused transitions that somebody has to look at.",
    "Rejection groups": "Refused transitions that wait, by their cause.",
    "Event results": "How often events of providers were stale or repeated an effect.",
    "Settlement files": "What providers and banks report, and what it comes to.",
    "Reconciliation": "How the record and providers' files compare, and what somebody has to look at.",
    "Erasures": "Personal fields that are to be erased for good, and how far that is.",
    "Acts": "What operators did, and why.",
    "Audit": "Proof that nobody rewrote the record: how far it is sealed, signed heads, and proofs.",
    "Deployments": "Releases and changes of the configuration, which trends show.",
    "Provider pauses": "Accounts of providers that an operator paused.",
    PROBES: "For supervisors and load balancers.",
    DOCUMENTATION: "This document, for programs and for people.",
}

#: Summary, description and group of what needs no API key.
OPEN: Final[Mapping[str, tuple[str, str, str]]] = {
    "healthz": ("Whether the process is up", "Answers 200 as soon as it can answer at all.", PROBES),
    "readyz": (
        "Whether the process can serve",
        "Whether the database answers, can write, and its schema fits. Send requests only to processes that are ready.",
        PROBES,
    ),
    "receiveWebhook": (
        "A provider's webhook: verified, kept, acknowledged",
        "Verified by its signature. It is answered 2xx once everything in it is durable, and decided later.",
        "Webhooks",
    ),
    "openapi": ("This document", "The same for every caller. It changes with the release.", DOCUMENTATION),
    "docs": ("This document as a page", "For people: no script, and nothing from elsewhere.", DOCUMENTATION),
    "docsStylesheet": ("The stylesheet of the page", "The only thing that the page loads.", DOCUMENTATION),
}


def tags() -> list[Schema]:
    """The groups with their descriptions."""
    return [{"name": name, "description": description} for name, description in _TAGS.items()]


def tag_of(path: str) -> str:
    """The group of a path: ``/v1/webhook-endpoints/{id}`` is one of the webhook endpoints."""
    return path.split("/")[2].replace("-", " ").capitalize()
