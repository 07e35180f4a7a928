"""The OpenAPI 3.1 document, assembled from the rows of the endpoint table, the bodies' types, the lifecycles and the
error table: nothing in it is written twice."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from tallystick import __version__
from tallystick.decisions.messages import MessageBody, WebhookEndpointTestMessage
from tallystick.domain.api_versions import VERSIONS, ApiVersion
from tallystick.domain.errors import ERRORS, Problem, ProblemField, problem
from tallystick.domain.json_types import example_id
from tallystick.domain.views import encode
from tallystick.interfaces.api import openapi_texts
from tallystick.interfaces.api.endpoint import Endpoint
from tallystick.interfaces.api.health_report import Health
from tallystick.interfaces.api.openapi_schemas import (
    component_schemas,
    corrected,
    named_enumerations,
    reference,
    with_examples,
)
from tallystick.interfaces.api.openapi_webhooks import message_schemas, shown_in_messages, webhooks
from tallystick.interfaces.api.parameters import IDEMPOTENCY_KEY, TRACEPARENT, Parameter, Schema
from tallystick.interfaces.api.routes import provider_webhooks
from tallystick.interfaces.api.table import ENDPOINTS

_DOCUMENT: Final = msgspec.json.Decoder(dict[str, Any])

#: Headers of what is in a version.
_VERSIONED: Final = ("Tallystick-Version", "Deprecation", "Sunset")

#: Headers of every response to a request with a valid key.
_KEYED: Final = ("RateLimit-Policy", "RateLimit", *_VERSIONED)

_TEXT: Final[Schema] = {"type": "string"}
_SECONDS: Final[Schema] = {"type": "integer", "minimum": 1, "examples": [1]}


def _text(example: str) -> Schema:
    return {"type": "string", "examples": [example]}


HEADERS: Final[dict[str, Schema]] = {
    "Request-Id": {
        "required": True,
        "schema": _text(example_id("req")),
        "description": "The request id; quote it to support.",
    },
    "Idempotent-Replayed": {
        "schema": {"type": "string", "const": "true"},
        "description": "The response was recorded by an earlier request with this key.",
    },
    "Location": {
        "required": True,
        "schema": _text(f"/v1/payments/{example_id('pay')}"),
        "description": "URL of the new resource.",
    },
    "Retry-After": {"schema": _SECONDS, "description": "Seconds to wait before the same request is sent again."},
    "WWW-Authenticate": {
        "required": True,
        "schema": _text('Bearer realm="tallystick"'),
        "description": "RFC 6750.",
    },
    "RateLimit-Policy": {"schema": _text('"burst";q=100;w=10'), "description": "The rate limit, where one is set."},
    "RateLimit": {"schema": _text('"burst";r=99;t=1'), "description": "Tokens left in the bucket."},
    "Tallystick-Version": {
        "schema": {"type": "string", "format": "date", "examples": [VERSIONS.first.date]},
        "description": "The version that the answer is in; of a replay the one that it was recorded in.",
    },
    "Deprecation": {
        "schema": _text("@1796083200"),
        "description": "RFC 9745: since when the version or operation is deprecated.",
    },
    "Sunset": {
        "schema": _text("Wed, 01 Dec 2027 00:00:00 GMT"),
        "description": "RFC 8594: when the version or operation may be gone.",
    },
}


def openapi_document(version: ApiVersion | None = None) -> bytes:
    """The document of a version, as JSON; of the newest one by default."""
    version = version or VERSIONS.newest
    bodies = {
        body
        for endpoint in ENDPOINTS
        for body in (*endpoint.responses.values(), endpoint.operators_response, endpoint.body_type)
        if body
    }
    schemas = component_schemas(
        [*{*bodies, *shown_in_messages()}, Health, Problem, MessageBody, WebhookEndpointTestMessage]
    )
    schemas |= message_schemas(schemas.pop(MessageBody.__name__), schemas)
    paths: dict[str, Schema] = {}
    for endpoint in ENDPOINTS:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint)
    paths |= _open_paths()
    document = corrected(
        {
            "openapi": "3.1.0",
            "info": openapi_texts.INFO | {"version": __version__, "x-api-version": version.date},
            "servers": openapi_texts.SERVERS,
            "tags": openapi_texts.tags(),
            "security": [{"api_key": []}],
            "paths": paths,
            "webhooks": webhooks(),
            "components": {
                "schemas": schemas,
                "headers": HEADERS,
                "examples": _error_examples(),
                "securitySchemes": {"api_key": openapi_texts.API_KEY},
            },
        }
    )
    document["components"]["schemas"] |= named_enumerations()
    if version is not VERSIONS.newest:  # a copy: translations may change what they get
        document = VERSIONS.document(_DOCUMENT.decode(msgspec.json.encode(document)), version)
    schemas = with_examples(document["components"]["schemas"])
    document["components"]["schemas"] = dict(sorted(schemas.items()))
    return msgspec.json.encode(document)


def _error_examples() -> dict[str, Schema]:
    """A problem document for every code."""
    examples: dict[str, Schema] = {}
    for code, kind in ERRORS.items():
        errors = [ProblemField("amount", "out_of_range", "must be from 1 to 1000000000000")]
        document = problem(
            code,
            f"{kind.title}.",
            request_id=example_id("req"),
            payment_id=example_id("pay") if kind.outcome != "not_executed" and kind.status == 409 else None,
            webhook_endpoint_id=example_id("we") if code == "webhook_endpoint_exists" else None,
            errors=errors if code == "validation_failed" else None,
        )
        examples[code] = {"summary": kind.title, "value": msgspec.json.decode(encode(document))}
    return examples


def _operation(endpoint: Endpoint) -> Schema:
    operation: Schema = {
        "operationId": endpoint.name,
        "summary": endpoint.summary,
        "description": f"{endpoint.description} {openapi_texts.needs(endpoint.callers, endpoint.scope)}",
        "tags": [endpoint.tag or openapi_texts.tag_of(endpoint.path)],
        "parameters": [
            parameter.document()
            for parameter in (
                *endpoint.parameters,
                *([TRACEPARENT] if endpoint.is_instruction else []),
                _version_parameter(),
            )
        ],
        "responses": _responses(endpoint),
    }
    if endpoint.deprecation is not None:
        operation["deprecated"] = True
    body = endpoint.body or (endpoint.body_type.__name__ if endpoint.body_type else None)
    if body is not None:
        operation["requestBody"] = {
            "required": endpoint.body_required,
            "content": {"application/json": {"schema": reference(body)}},
        }
    if endpoint.file_body:
        content = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _responses(endpoint: Endpoint) -> Schema:
    responses: Schema = {}
    for status, body in endpoint.responses.items():
        headers = ["Retry-After"] if status == 202 else []
        if IDEMPOTENCY_KEY in endpoint.parameters and status != 202:
            headers.append("Idempotent-Replayed")
        responses[str(status)] = {
            "description": _success(endpoint, status),
            "headers": _headers(*headers, *(["Location"] if endpoint.creates else [])),
            "content": {"application/json": {"schema": _body(endpoint, body)}},
        }
    for status in sorted({ERRORS[code].status for code in endpoint.codes}):
        responses[str(status)] = _refusal(status, [c for c in endpoint.codes if ERRORS[c].status == status])
    return responses


def _body(endpoint: Endpoint, body: type[Any]) -> Schema:
    """Merchants and operators may get different ones."""
    to_operators = endpoint.operators_response
    if to_operators is None:
        return reference(body.__name__)
    return {"oneOf": [reference(body.__name__), reference(to_operators.__name__)]}


def _success(endpoint: Endpoint, status: int) -> str:
    """An answer to an instruction is final or not; what a read shows may change, however final its answer is."""
    if status == 202:
        return "Not final yet: the current state."
    if IDEMPOTENCY_KEY in endpoint.parameters:
        return "The final answer to this instruction, recorded under its key."
    return "As it is now." if endpoint.method == "GET" else "Done."


def _refusal(status: int, codes: list[str]) -> Schema:
    names: list[str] = []
    if status == 401:
        names.append("WWW-Authenticate")
    if status in (409, 429, 503):
        names.append("Retry-After")
    if "transition_rejected" in codes:
        names.append("Idempotent-Replayed")
    return {
        "description": "; ".join(f"`{code}`: {ERRORS[code].title}" for code in codes),
        "headers": _headers(*names),
        "content": {
            "application/problem+json": {
                "schema": reference("Problem"),
                "examples": {code: {"$ref": f"#/components/examples/{code}"} for code in codes},
            }
        },
    }


def _open_paths() -> dict[str, Schema]:
    """What needs no API key."""
    healthy = _shown("Yes.", "application/json", reference("Health"))
    return {
        "/healthz": _open("healthz", {"200": healthy}),
        "/readyz": _open("readyz", {"200": healthy, "503": _refusal(503, ["not_ready"])}),
        provider_webhooks.PATH: _provider_webhook(),
        "/openapi.json": _document(),
        "/docs": _open("docs", {"200": _shown("The page.", "text/html", _TEXT)}),
        "/docs/style.css": _open("docsStylesheet", {"200": _shown("The stylesheet.", "text/css", _TEXT)}),
    }


def _document() -> dict[str, Schema]:
    """This document, in the version that is asked for."""
    shown = _shown("OpenAPI 3.1.", "application/json", {"type": "object"})
    shown["headers"] |= _headers(*_VERSIONED, limited=False)
    item = _open("openapi", {"200": shown}, "version_unknown")
    item["get"]["parameters"] = [_version_parameter("The version to show; the newest one by default.").document()]
    return item


def _shown(description: str, media_type: str, schema: Schema) -> Schema:
    """A response without a rate limit."""
    return {
        "description": description,
        "headers": _headers(limited=False),
        "content": {media_type: {"schema": schema}},
    }


def _provider_webhook() -> dict[str, Schema]:
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
        for name in (*_KEYED, "WWW-Authenticate"):
            headers.pop(name, None)
    names = [
        Parameter(
            where="path",
            name=name,
            schema=_text(example),
            description=f"The {name}'s name, as configured.",
            required=True,
        ).document()
        for name, example in (("provider", "simulator"), ("account", "default"))
    ]
    return {
        "post": {
            **_texts("receiveWebhook"),
            "security": [],
            "parameters": names,
            "requestBody": {
                "required": True,
                "description": "As the provider defines it, signed in its way.",
                "content": {"application/json": {"schema": {}}},
            },
            "responses": responses,
        }
    }


def _open(name: str, responses: Schema, *codes: str) -> dict[str, Schema]:
    malformed = _refusal(400, ["request_malformed", *codes])
    malformed["headers"] = _headers(limited=False)
    responses = {"200": responses.pop("200"), "400": malformed} | responses
    return {"get": {**_texts(name), "security": [], "responses": responses}}


def _texts(name: str) -> Schema:
    summary, description, tag = openapi_texts.OPEN[name]
    return {"operationId": name, "summary": summary, "description": description, "tags": [tag]}


def _headers(*names: str, limited: bool = True) -> Schema:
    always = ["Request-Id", *(_KEYED if limited else [])]
    return {name: {"$ref": f"#/components/headers/{name}"} for name in (*always, *names)}


def _version_parameter(
    description: str = "The version of this request. Without it, the version that the API key is pinned to.",
) -> Parameter:
    """Which version a request is in. It is read for every operation, before the others."""
    return Parameter(
        where="header",
        name="Tallystick-Version",
        schema={
            "type": "string",
            "enum": [version.date for version in VERSIONS.rows],
            "examples": [VERSIONS.newest.date],
        },
        description=description,
    )
