"""The OpenAPI 3.1 document, assembled from the endpoint table, the bodies' types, the limits that the parsers apply,
the lifecycles and the error table: nothing in it is written twice."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from tallystick import __version__
from tallystick.domain.errors import ERRORS, Problem
from tallystick.domain.lifecycles.dispute import DisputeState
from tallystick.domain.lifecycles.payment import PaymentState
from tallystick.domain.lifecycles.refund import RefundState
from tallystick.domain.lifecycles.table import NEW
from tallystick.domain.money import EXPONENTS
from tallystick.domain.requests.commands import (
    CAPTURE_METHODS,
    DEFAULT_PAGE_SIZE,
    MAX_CURSOR_CHARS,
    MAX_PAGE_SIZE,
    MAX_REFERENCE_CHARS,
    SCHEMAS,
)
from tallystick.domain.requests.fields import NO_CONTROLS_PATTERN
from tallystick.domain.requests.idempotency_key import MAX_KEY_CHARS
from tallystick.interfaces.api.bodies import Health
from tallystick.interfaces.api.endpoint import Endpoint
from tallystick.interfaces.api.routes import provider_webhooks
from tallystick.interfaces.api.routes.refused_webhooks import HOURS
from tallystick.interfaces.api.routes.webhook_deliveries import DELIVERY_STATES
from tallystick.interfaces.api.routes.webhook_endpoint_table import NARROWED
from tallystick.interfaces.api.table import ENDPOINTS

Schema = dict[str, Any]

_PAYMENT_STATES: Final = [state.value for state in PaymentState]
_REFUND_STATES: Final = [state.value for state in RefundState]
_AMOUNT: Final[Schema] = {"type": "integer", "minimum": 0}
_CURRENCY: Final[Schema] = {"type": "string", "enum": sorted(EXPONENTS)}

#: What the bodies' types do not say by themselves.
_NARROWED: Final[dict[str, dict[str, Schema]]] = {
    "PaymentView": {
        "object": {"type": "string", "const": "payment"},
        "state": {"type": "string", "enum": _PAYMENT_STATES},
        "capture_method": {"type": "string", "enum": list(CAPTURE_METHODS)},
        "currency": _CURRENCY,
        "amount": {"type": "integer", "minimum": 1},
        "amount_authorized": _AMOUNT,
        "amount_captured": _AMOUNT,
        "amount_refunded": _AMOUNT,
        "amount_refund_pending": _AMOUNT,
        "amount_reversed": _AMOUNT,
    },
    "RefundView": {
        "object": {"type": "string", "const": "refund"},
        "state": {"type": "string", "enum": _REFUND_STATES},
        "currency": _CURRENCY,
        "amount": {"type": "integer", "minimum": 1},
    },
    "DisputeView": {
        "object": {"type": "string", "const": "dispute"},
        "state": {"type": "string", "enum": [state.value for state in DisputeState]},
        "currency": _CURRENCY,
        "amount": {"type": "integer", "minimum": 1},
    },
    "HistoryEntry": {
        "from": {"type": "string", "enum": [NEW, *_PAYMENT_STATES]},
        "to": {"type": "string", "enum": _PAYMENT_STATES},
    },
    "Account": {"currency": _CURRENCY, "debits": _AMOUNT, "credits": _AMOUNT},
    "TransferEntry": {"currency": _CURRENCY, "amount": {"type": "integer", "minimum": 1}},
    "Problem": {
        "code": {"type": "string", "enum": list(ERRORS)},
        "outcome": {"type": "string", "enum": sorted({kind.outcome for kind in ERRORS.values()})},
    },
}


def _parameter(where: str, name: str, schema: Schema, description: str, *, required: bool = False) -> Schema:
    return {"in": where, "name": name, "required": required, "schema": schema, "description": description}


def _id_parameter(prefix: str, where: str = "path", name: str = "id") -> Schema:
    schema = {"type": "string", "pattern": f"^{prefix}_[0-9a-f]{{32}}$"}
    return _parameter(where, name, schema, f"An id that starts with {prefix}_.", required=True)


#: A bare key, or a structured-field String (RFC 8941) whose value has 1 to 255 characters.
_KEY_PATTERN: Final = rf"^([!#-+\--~]{{1,{MAX_KEY_CHARS}}}|\"([ !#-\[\]-~]|\\[\"\\]){{1,{MAX_KEY_CHARS}}}\")$"

PARAMETERS: Final[dict[str, Schema]] = {
    "payment_id": _id_parameter("pay"),
    "refund_id": _id_parameter("re"),
    "dispute_id": _id_parameter("dp"),
    "payment": _id_parameter("pay", "query", "payment"),
    "event_id": _id_parameter("evt"),
    "webhook_endpoint_id": _id_parameter("we"),
    "message_id": _id_parameter("msg", name="message_id"),
    "delivery_state": _parameter(
        "query", "state", {"type": "string", "enum": list(DELIVERY_STATES)}, "Only deliveries in this state."
    ),
    "event_provider": _parameter("query", "provider", {"type": "string"}, "Only this provider's."),
    "event_type": _parameter("query", "type", {"type": "string"}, "Only events of this type, in the provider's words."),
    "event_merchant": _parameter("query", "merchant_id", {"type": "string"}, "Only this merchant's."),
    "refusal_hours": _parameter("query", "hours", HOURS, "Of the last so many hours."),
    "idempotency_key_header": _parameter(
        "header",
        "Idempotency-Key",
        {"type": "string", "pattern": _KEY_PATTERN},
        "One value per instruction, the same on every retry of it; bare or quoted. A key never expires.",
        required=True,
    ),
    "state": _parameter("query", "state", {"type": "string", "enum": _PAYMENT_STATES}, "Only this state."),
    "created_gte": _parameter(
        "query", "created_gte", {"type": "string", "format": "date-time"}, "Created at this RFC 3339 time or later."
    ),
    "idempotency_key": _parameter(
        "query",
        "idempotency_key",
        {"type": "string", "pattern": rf"^[ -~]{{1,{MAX_KEY_CHARS}}}$"},
        "The payment that the instruction with this key (without quotes) is about.",
    ),
    "provider_reference": _parameter(
        "query",
        "provider_reference",
        {"type": "string", "minLength": 1, "maxLength": MAX_REFERENCE_CHARS, "pattern": NO_CONTROLS_PATTERN},
        "The provider's own name for it.",
    ),
    "limit": _parameter(
        "query",
        "limit",
        {"type": "integer", "minimum": 1, "maximum": MAX_PAGE_SIZE, "default": DEFAULT_PAGE_SIZE},
        "Payments on a page.",
    ),
    "cursor": _parameter(
        "query",
        "cursor",
        {"type": "string", "minLength": 1, "maxLength": MAX_CURSOR_CHARS, "pattern": "^[A-Za-z0-9_-]+$"},
        "next_cursor of the page before.",
    ),
}

_TEXT: Final[Schema] = {"type": "string"}
_SECONDS: Final[Schema] = {"type": "integer", "minimum": 1}

HEADERS: Final[dict[str, Schema]] = {
    "Request-Id": {"required": True, "schema": _TEXT, "description": "Ours, for support: it is in the log."},
    "Idempotent-Replayed": {
        "schema": {"type": "string", "const": "true"},
        "description": "The answer was recorded by an earlier request with this key.",
    },
    "Location": {"required": True, "schema": _TEXT, "description": "Where the new thing is."},
    "Retry-After": {"schema": _SECONDS, "description": "Seconds to wait before the same request is sent again."},
    "WWW-Authenticate": {"required": True, "schema": _TEXT, "description": "RFC 6750."},
    "RateLimit-Policy": {"schema": _TEXT, "description": "The bucket, where a limit is set."},
    "RateLimit": {"schema": _TEXT, "description": "What is left in it."},
}


def openapi_document() -> bytes:
    """The document as JSON."""
    bodies = {body for endpoint in ENDPOINTS for body in (*endpoint.answers.values(), endpoint.body_type) if body}
    types = sorted(bodies, key=lambda t: t.__name__)
    _, schemas = msgspec.json.schema_components([*types, Health, Problem], ref_template="#/components/schemas/{name}")
    for name, fields in (_NARROWED | NARROWED).items():
        schemas[name]["properties"].update(fields)
    paths: dict[str, Schema] = {}
    for endpoint in ENDPOINTS:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint)
    document = {
        "openapi": "3.1.0",
        "info": {"title": "Tallystick", "version": __version__, "license": {"name": "Apache-2.0"}},
        "security": [{"api_key": []}],
        "paths": paths | _open_paths(),
        "components": {
            "schemas": schemas | {name: dict(schema) for name, schema in SCHEMAS.items()},
            "headers": HEADERS,
            "securitySchemes": {"api_key": {"type": "http", "scheme": "bearer"}},
        },
    }
    # Clients know a Payment; that it is a view of one is our own business.
    return re.sub(rb"\b(Payment|Refund|Dispute)View\b", rb"\1", msgspec.json.encode(document))


def _operation(endpoint: Endpoint) -> Schema:
    operation: Schema = {
        "operationId": endpoint.name,
        "summary": endpoint.summary,
        "parameters": [PARAMETERS[name] for name in endpoint.parameters],
        "responses": _responses(endpoint),
    }
    body = endpoint.body or (endpoint.body_type.__name__ if endpoint.body_type else None)
    if body is not None:
        operation["requestBody"] = {
            "required": endpoint.body_required,
            "content": {"application/json": {"schema": _reference(body)}},
        }
    return operation


def _responses(endpoint: Endpoint) -> Schema:
    responses: Schema = {}
    for status, body in endpoint.answers.items():
        headers = ["Idempotent-Replayed"] if "idempotency_key_header" in endpoint.parameters and status != 202 else []
        responses[str(status)] = {
            "description": "Final." if status in (200, 201) else "Not final yet: the current state.",
            "headers": _headers(*headers, *(["Location"] if endpoint.creates else [])),
            "content": {"application/json": {"schema": _reference(body.__name__)}},
        }
    for status in sorted({ERRORS[code].status for code in endpoint.codes}):
        responses[str(status)] = _refusal(status, [c for c in endpoint.codes if ERRORS[c].status == status])
    return responses


def _refusal(status: int, codes: list[str]) -> Schema:
    names: list[str] = []
    if status == 401:
        names.append("WWW-Authenticate")
    if status in (409, 429, 503):
        names.append("Retry-After")
    if "transition_rejected" in codes:
        names.append("Idempotent-Replayed")
    narrowed = {"status": {"const": status}, "code": {"enum": codes}}
    schema = {"allOf": [_reference("Problem"), {"properties": narrowed}]}
    return {
        "description": "; ".join(f"`{code}`: {ERRORS[code].title}" for code in codes),
        "headers": _headers(*names),
        "content": {"application/problem+json": {"schema": schema}},
    }


def _open_paths() -> dict[str, Schema]:
    """What needs no API key."""
    healthy = {
        "description": "Yes.",
        "headers": _headers(limited=False),
        "content": {"application/json": {"schema": _reference("Health")}},
    }
    document = {
        "description": "OpenAPI 3.1.",
        "headers": _headers(limited=False),
        "content": {"application/json": {"schema": {"type": "object"}}},
    }
    return {
        "/healthz": _probe("healthz", "Is the process up?", {"200": healthy}),
        "/readyz": _probe(
            "readyz", "Does the database answer, migrated?", {"200": healthy, "503": _refusal(503, ["not_ready"])}
        ),
        provider_webhooks.PATH: _webhook(),
        "/openapi.json": _probe("openapi", "This document", {"200": document}),
    }


def _webhook() -> dict[str, Schema]:
    """Where providers deliver; the body and its signature are theirs to define."""
    responses: Schema = {
        "200": {
            "description": "Durable. The body is what the provider wants to read.",
            "headers": _headers(limited=False),
            "content": {"application/json": {"schema": {}}, "text/plain": {"schema": {}}},
        }
    }
    for status in sorted({ERRORS[code].status for code in provider_webhooks.CODES}):
        responses[str(status)] = _refusal(status, [c for c in provider_webhooks.CODES if ERRORS[c].status == status])
        headers = responses[str(status)]["headers"]
        for name in ("RateLimit-Policy", "RateLimit", "WWW-Authenticate"):
            headers.pop(name, None)
    names = [_parameter("path", name, _TEXT, "As configured.", required=True) for name in ("provider", "account")]
    return {
        "post": {
            "operationId": "receiveWebhook",
            "summary": "A provider's webhook: verified by its signature, kept, acknowledged",
            "security": [],
            "parameters": names,
            "requestBody": {"required": True, "content": {"application/json": {"schema": {}}}},
            "responses": responses,
        }
    }


def _probe(name: str, summary: str, responses: Schema) -> dict[str, Schema]:
    return {"get": {"operationId": name, "summary": summary, "security": [], "responses": responses}}


def _headers(*names: str, limited: bool = True) -> Schema:
    always = ["Request-Id", *(["RateLimit-Policy", "RateLimit"] if limited else [])]
    return {name: {"$ref": f"#/components/headers/{name}"} for name in (*always, *names)}


def _reference(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}
