"""The OpenAPI 3.1 document, assembled from the rows of the endpoint table, the bodies' types and the error table:
nothing in it is written twice."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from tallystick import __version__
from tallystick.domain.errors import ERRORS, Problem
from tallystick.domain.requests.commands import SCHEMAS
from tallystick.interfaces.api.endpoint import Endpoint, Narrowed
from tallystick.interfaces.api.health import Health
from tallystick.interfaces.api.parameters import IDEMPOTENCY_KEY, Parameter, Schema
from tallystick.interfaces.api.routes import provider_webhooks
from tallystick.interfaces.api.table import ENDPOINTS

#: What the type of a problem document does not say by itself.
_PROBLEM: Final[Narrowed] = {
    "Problem": {
        "code": {"type": "string", "enum": list(ERRORS)},
        "outcome": {"type": "string", "enum": sorted({kind.outcome for kind in ERRORS.values()})},
    },
}

_TEXT: Final[Schema] = {"type": "string"}
_SECONDS: Final[Schema] = {"type": "integer", "minimum": 1}

HEADERS: Final[dict[str, Schema]] = {
    "Request-Id": {"required": True, "schema": _TEXT, "description": "The request id; quote it to support."},
    "Idempotent-Replayed": {
        "schema": {"type": "string", "const": "true"},
        "description": "The response was recorded by an earlier request with this key.",
    },
    "Location": {"required": True, "schema": _TEXT, "description": "URL of the new resource."},
    "Retry-After": {"schema": _SECONDS, "description": "Seconds to wait before the same request is sent again."},
    "WWW-Authenticate": {"required": True, "schema": _TEXT, "description": "RFC 6750."},
    "RateLimit-Policy": {"schema": _TEXT, "description": "The rate limit, where one is set."},
    "RateLimit": {"schema": _TEXT, "description": "Tokens left in the bucket."},
}


def openapi_document() -> bytes:
    """The document as JSON."""
    bodies = {body for endpoint in ENDPOINTS for body in (*endpoint.responses.values(), endpoint.body_type) if body}
    types = sorted(bodies, key=lambda t: t.__name__)
    _, schemas = msgspec.json.schema_components([*types, Health, Problem], ref_template="#/components/schemas/{name}")
    for narrowed in (_PROBLEM, *(endpoint.narrowed for endpoint in ENDPOINTS)):
        for name, fields in narrowed.items():
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
    # Clients know a Payment; the name PaymentView is internal.
    return re.sub(rb"\b(Payment|Refund|Dispute)View\b", rb"\1", msgspec.json.encode(document))


def _operation(endpoint: Endpoint) -> Schema:
    operation: Schema = {
        "operationId": endpoint.name,
        "summary": endpoint.summary,
        "parameters": [parameter.document() for parameter in endpoint.parameters],
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
    for status, body in endpoint.responses.items():
        headers = ["Idempotent-Replayed"] if IDEMPOTENCY_KEY in endpoint.parameters and status != 202 else []
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
        "/healthz": _probe("healthz", "Whether the process is up", {"200": healthy}),
        "/readyz": _probe(
            "readyz",
            "Whether the database answers, can write, and its schema fits",
            {"200": healthy, "503": _refusal(503, ["not_ready"])},
        ),
        provider_webhooks.PATH: _webhook(),
        "/openapi.json": _probe("openapi", "This document", {"200": document}),
    }


def _webhook() -> dict[str, Schema]:
    """The endpoint of providers; they define the body and its signature."""
    responses: Schema = {
        "200": {
            "description": "Durable. The body is the one that the provider expects.",
            "headers": _headers(limited=False),
            "content": {"application/json": {"schema": {}}, "text/plain": {"schema": {}}},
        }
    }
    for status in sorted({ERRORS[code].status for code in provider_webhooks.CODES}):
        responses[str(status)] = _refusal(status, [c for c in provider_webhooks.CODES if ERRORS[c].status == status])
        headers = responses[str(status)]["headers"]
        for name in ("RateLimit-Policy", "RateLimit", "WWW-Authenticate"):
            headers.pop(name, None)
    names = [
        Parameter(where="path", name=name, schema=_TEXT, description="As configured.", required=True).document()
        for name in ("provider", "account")
    ]
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
    malformed = _refusal(400, ["request_malformed"])
    malformed["headers"] = _headers(limited=False)
    responses = {"200": responses.pop("200"), "400": malformed} | responses
    return {"get": {"operationId": name, "summary": summary, "security": [], "responses": responses}}


def _headers(*names: str, limited: bool = True) -> Schema:
    always = ["Request-Id", *(["RateLimit-Policy", "RateLimit"] if limited else [])]
    return {name: {"$ref": f"#/components/headers/{name}"} for name in (*always, *names)}


def _reference(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}
