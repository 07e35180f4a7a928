"""Merchants' webhook endpoints over HTTP: registered, read, disabled, enabled, deleted, and given another secret."""

from __future__ import annotations

from typing import Annotated, Any, Final

from msgspec import Meta, Struct

from tallystick.decisions.messages import message_types
from tallystick.domain.api_versions import VERSIONS
from tallystick.domain.errors import ProblemField, problem
from tallystick.domain.json_types import CreatedAt, Time, WebhookEndpointId, described
from tallystick.domain.requests.fields import MAX_TEXT_CHARS, NO_CONTROLS_PATTERN
from tallystick.flows.runtime import Runtime
from tallystick.flows.webhooks.outbound.address_policy import MAX_URL_CHARS, UrlRefused
from tallystick.flows.webhooks.outbound.endpoints import (
    BY_REQUEST,
    DISABLED_REASONS,
    BacklogTooLong,
    EndpointRow,
    TooManyEndpoints,
    UrlTaken,
)
from tallystick.interfaces.api.authentication import Caller
from tallystick.interfaces.api.endpoint import ACT, KEYED, READ, Endpoint, Handle, read
from tallystick.interfaces.api.http import ApiRequest, HttpResponse, json_response
from tallystick.interfaces.api.parameters import Parameter, path_id
from tallystick.interfaces.api.problems import ProblemError, busy, invalid_fields, not_found
from tallystick.interfaces.api.rate_limit import Rate
from tallystick.interfaces.api.typed_body import read_typed
from tallystick.interfaces.api.versions import served

PATH: Final = "/v1/webhook-endpoints"

EVENT_TYPES: Final = message_types()

#: The longest overlap of two secrets: a month is as long as anybody's change window.
MAX_OVERLAP_MS: Final = 2_592_000_000

ENDPOINT_ID: Final = path_id("we", "webhook endpoint")

_Type = Annotated[str, described("A type of message.", "payment.captured", enum=EVENT_TYPES)]
_Types = Annotated[
    list[_Type],
    Meta(min_length=1, max_length=len(EVENT_TYPES), extra_json_schema={"uniqueItems": True}),
]
_Secret = Annotated[
    str,
    described(
        "The secret that messages are signed with (Standard Webhooks); it is shown this once.",
        "whsec_dGFsbHlzdGljay1leGFtcGxlLXNlY3JldA",
    ),
]


class CreateWebhookEndpoint(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where messages are sent to, and which."""

    url: Annotated[
        str,
        Meta(min_length=1, max_length=MAX_URL_CHARS),
        described("An absolute URL with https, whose host has public addresses.", "https://shop.example/webhooks"),
    ]
    event_types: Annotated[_Types | None, described("Only these types; null for all.", ["payment.captured"])] = None
    description: Annotated[
        Annotated[str, Meta(max_length=MAX_TEXT_CHARS, pattern=NO_CONTROLS_PATTERN)] | None,
        described("Yours.", "The shop"),
    ] = None
    api_version: Annotated[
        str | None,
        described(
            "The version of the API that its messages are sent in; null for the version of this request.",
            VERSIONS.newest.date,
        ),
    ] = None


class RotateSecret(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the secret is replaced."""

    overlap_ms: Annotated[
        Annotated[int, Meta(ge=0, le=MAX_OVERLAP_MS)] | None,
        described(
            "How long the previous secret signs too, in milliseconds: 0 for a leaked one, null for the setting's time.",
            86_400_000,
        ),
    ] = None


class WebhookEndpoint(Struct, frozen=True, kw_only=True):
    """A merchant's endpoint for messages."""

    id: WebhookEndpointId
    object: Annotated[str, described("The kind of object.", const="webhook_endpoint")]
    url: Annotated[str, described("Where messages are sent to.", "https://shop.example/webhooks")]
    event_types: Annotated[list[_Type] | None, described("Only these types; null for all.", None)]
    description: Annotated[str | None, described("Yours, as it was sent.", "The shop")]
    state: Annotated[str, described("Whether messages are sent to it.", "enabled", enum=("enabled", "disabled"))]
    disabled_reason: Annotated[
        Annotated[str, described("Why.", enum=DISABLED_REASONS)] | None,
        described("Why it is disabled; null while it is enabled.", None),
    ]
    disabled_at: Annotated[Time | None, described("Since when it is disabled; null while it is enabled.", None)]
    failing_since: Annotated[
        Time | None, described("No delivery succeeded since then; null while deliveries succeed.", None)
    ]
    created_at: CreatedAt
    api_version: Annotated[
        str, described("The version of the API that its messages are sent in.", VERSIONS.newest.date, format="date")
    ]


class NewWebhookEndpoint(Struct, frozen=True, kw_only=True):
    """An endpoint just registered, with its secret."""

    secret: _Secret
    endpoint: Annotated[WebhookEndpoint, described("The endpoint.")]


class WebhookEndpointList(Struct, frozen=True, kw_only=True):
    """All of a merchant's endpoints."""

    data: Annotated[list[WebhookEndpoint], described("All of them, oldest first.")]


class DeletedWebhookEndpoint(Struct, frozen=True, kw_only=True):
    """The endpoint that was deleted."""

    id: WebhookEndpointId
    deleted: Annotated[bool, described("That it is deleted.", const=True)]


class NewSecret(Struct, frozen=True, kw_only=True):
    """The secret from now on."""

    secret: _Secret
    previous_until: Annotated[Time, described("Until when those before it sign too.", "2026-11-27T09:30:00Z")]


async def create_endpoint(runtime: Runtime, request: ApiRequest, caller: Caller) -> HttpResponse:
    """Register an endpoint. The addresses of its host are resolved and checked, now and on every try."""
    body = await read_typed(request, CreateWebhookEndpoint)
    if body.event_types is not None and not _distinct_types(body.event_types):
        wrong = ProblemField("event_types", "unknown_value", f"must be some of: {', '.join(EVENT_TYPES)}")
        raise invalid_fields([wrong], request.request_id)
    version = request.version if body.api_version is None else VERSIONS.find(body.api_version)
    if version is None:
        wrong = ProblemField("api_version", "unknown_value", f"must be one of: {served()}")
        raise invalid_fields([wrong], request.request_id)
    try:
        made = await runtime.stores.endpoints.register(
            caller.merchant_id,
            url=body.url,
            event_types=body.event_types,
            description=body.description,
            api_version=VERSIONS.stored(version),
            actor=actor_of(caller),
        )
    except UrlRefused as error:
        raise invalid_fields([ProblemField("url", error.code, str(error))], request.request_id) from None
    except UrlTaken as error:
        detail = (
            "An endpoint with this URL exists. If you do not have its secret, rotate it, or delete the endpoint first."
        )
        taken_by = error.endpoint_id
        exists = problem("webhook_endpoint_exists", detail, request_id=request.request_id, webhook_endpoint_id=taken_by)
        raise ProblemError(exists) from None
    except TooManyEndpoints as error:
        detail = f"{str(error).capitalize()}. Delete one first."
        raise ProblemError(problem("webhook_endpoint_limit", detail, request_id=request.request_id)) from None
    except BacklogTooLong:
        raise busy("overloaded", "Earlier messages are still being dispatched.", request.request_id) from None
    view = endpoint_view(await existing(runtime, request, caller, made.endpoint_id))
    location = (b"location", f"{PATH}/{made.endpoint_id}".encode())
    return json_response(request, NewWebhookEndpoint(secret=made.secret, endpoint=view), 201, location)


async def list_endpoints(runtime: Runtime, request: ApiRequest, caller: Caller) -> object:
    """All of the merchant's."""
    rows = await runtime.stores.endpoint_book.endpoints(caller.merchant_id)
    return WebhookEndpointList(data=[endpoint_view(row) for row in rows])


async def get_endpoint(runtime: Runtime, request: ApiRequest, caller: Caller) -> object:
    """One of them."""
    return endpoint_view(await existing(runtime, request, caller, request.id_in_path()))


async def delete_endpoint(runtime: Runtime, request: ApiRequest, caller: Caller) -> HttpResponse:
    """Delete the endpoint. Open messages are given up."""
    endpoint_id = request.id_in_path()
    request.require_no_query()
    if not await runtime.stores.endpoint_book.delete(caller.merchant_id, endpoint_id, actor=actor_of(caller)):
        raise not_found(request.request_id, "webhook endpoint")
    return json_response(request, DeletedWebhookEndpoint(id=endpoint_id, deleted=True))


async def disable_endpoint(runtime: Runtime, request: ApiRequest, caller: Caller) -> HttpResponse:
    """Disable the endpoint. Messages that come meanwhile can be sent again later."""
    endpoint_id = request.id_in_path()
    request.require_no_query()
    await runtime.stores.endpoint_book.disable(caller.merchant_id, endpoint_id, BY_REQUEST, actor=actor_of(caller))
    return json_response(request, endpoint_view(await existing(runtime, request, caller, endpoint_id)))


async def enable_endpoint(runtime: Runtime, request: ApiRequest, caller: Caller) -> HttpResponse:
    """Enable the endpoint. Messages it missed are sent only on request."""
    endpoint_id = request.id_in_path()
    request.require_no_query()
    await runtime.stores.endpoint_book.enable(caller.merchant_id, endpoint_id, actor=actor_of(caller))
    return json_response(request, endpoint_view(await existing(runtime, request, caller, endpoint_id)))


async def rotate_secret(runtime: Runtime, request: ApiRequest, caller: Caller) -> HttpResponse:
    """Rotate the secret; for a while messages are signed with both."""
    endpoint_id = request.id_in_path()
    body = await read_typed(request, RotateSecret, may_be_empty=True)
    await existing(runtime, request, caller, endpoint_id)
    rotated = await runtime.stores.endpoints.rotate(
        caller.merchant_id, endpoint_id, body.overlap_ms, actor=actor_of(caller)
    )
    return json_response(request, NewSecret(secret=rotated.secret, previous_until=rotated.previous_until))


async def existing(runtime: Runtime, request: ApiRequest, caller: Caller, endpoint_id: str) -> EndpointRow:
    """The endpoint, where it is this merchant's. Raises ProblemError."""
    found = await runtime.stores.endpoint_book.endpoints(caller.merchant_id, endpoint_id)
    if not found:
        raise not_found(request.request_id, "webhook endpoint")
    return found[0]


def actor_of(caller: Caller) -> str:
    """The actor, for the audit rows."""
    return f"key:{caller.key_id}"


def _distinct_types(named: list[str]) -> bool:
    return len(set(named)) == len(named) and set(named) <= set(EVENT_TYPES)


#: What a view does not have from its row as it is.
_OF_VIEW: Final = ("id", "object", "api_version")


def endpoint_view(row: EndpointRow) -> WebhookEndpoint:
    """An endpoint as its merchant sees it."""
    return WebhookEndpoint(
        id=row.endpoint_id,
        object="webhook_endpoint",
        api_version=VERSIONS.date_of(row.api_version),
        **{name: getattr(row, name) for name in WebhookEndpoint.__struct_fields__ if name not in _OF_VIEW},
    )


#: Of those without a body.
_BARE: Final = (*KEYED, "card_data_refused", "validation_failed", "not_ready", "internal_error")


def on_endpoint(
    method: str,
    path: str,
    name: str,
    summary: str,
    description: str,
    handle: Handle,
    response: type[Any],
    *,
    body_type: type[Any] | None = None,
    body_required: bool = False,
    parameters: tuple[Parameter, ...] = (),
    codes: tuple[str, ...] = (),
    rate: Rate | None = None,
) -> Endpoint:
    """What a merchant does with one of its webhook endpoints."""
    return Endpoint(
        method=method,
        path=f"{PATH}/{{id}}{path}",
        name=name,
        summary=summary,
        description=description,
        handle=handle,
        scope="webhooks:read" if method == "GET" else "webhooks:write",
        responses={200: response},
        codes=(*(ACT if body_type else _BARE), "not_found", *codes),
        body_type=body_type,
        body_required=body_required,
        parameters=(ENDPOINT_ID, *parameters),
        rate=rate,
    )


ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    Endpoint(
        method="POST",
        path=PATH,
        name="createWebhookEndpoint",
        summary="Register an endpoint; its secret is shown in this response alone",
        description=(
            "The addresses of its host are resolved and checked, now and on every try. If no answer came, "
            "send it again: the error `webhook_endpoint_exists` then names the endpoint."
        ),
        handle=create_endpoint,
        scope="webhooks:write",
        responses={201: NewWebhookEndpoint},
        codes=(*ACT, "webhook_endpoint_exists", "webhook_endpoint_limit", "overloaded"),
        body_type=CreateWebhookEndpoint,
        body_required=True,
        creates=True,
    ),
    Endpoint(
        method="GET",
        path=PATH,
        name="listWebhookEndpoints",
        summary="All webhook endpoints, oldest first",
        description="All endpoints of the merchant, enabled or not.",
        handle=read(list_endpoints),
        scope="webhooks:read",
        responses={200: WebhookEndpointList},
        codes=READ,
    ),
    on_endpoint(
        "GET",
        "",
        "getWebhookEndpoint",
        "One webhook endpoint",
        "The endpoint as it is now, without its secret.",
        read(get_endpoint),
        WebhookEndpoint,
        codes=("overloaded",),
    ),
    on_endpoint(
        "DELETE",
        "",
        "deleteWebhookEndpoint",
        "Delete a webhook endpoint",
        "Messages that are still open are given up. Its URL is free again.",
        delete_endpoint,
        DeletedWebhookEndpoint,
    ),
    on_endpoint(
        "POST",
        "/disable",
        "disableWebhookEndpoint",
        "Disable a webhook endpoint",
        "Open messages are canceled. They, and those that come meanwhile, can be sent again later.",
        disable_endpoint,
        WebhookEndpoint,
    ),
    on_endpoint(
        "POST",
        "/enable",
        "enableWebhookEndpoint",
        "Enable a webhook endpoint",
        "Messages that it missed are sent only on request.",
        enable_endpoint,
        WebhookEndpoint,
    ),
    on_endpoint(
        "POST",
        "/rotate-secret",
        "rotateWebhookSecret",
        "Rotate the secret; for a while the old one signs too",
        "The new secret is shown in this response alone.",
        rotate_secret,
        NewSecret,
        body_type=RotateSecret,
    ),
)
