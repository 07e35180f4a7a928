"""Merchants' webhook endpoints over HTTP: registered, read, disabled, enabled, deleted, and given another secret."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final

import asyncpg
from msgspec import Meta, Struct

from tallystick.decisions.messages import message_types
from tallystick.domain.errors import ProblemField, problem
from tallystick.domain.requests.fields import MAX_TEXT_CHARS, NO_CONTROLS_PATTERN
from tallystick.domain.views import encode
from tallystick.flows.runtime import Runtime
from tallystick.flows.webhooks.outbound.address_policy import MAX_URL_CHARS, Guard, UrlRefused
from tallystick.flows.webhooks.outbound.dispatch import Dispatch
from tallystick.flows.webhooks.outbound.endpoints import (
    BY_REQUEST,
    BacklogTooLong,
    Endpoints,
    TooManyEndpoints,
    UrlTaken,
    guard_of,
)
from tallystick.interfaces.api.authentication import Caller
from tallystick.interfaces.api.http import ApiRequest, HttpResponse
from tallystick.interfaces.api.problems import Refused, busy, not_found, refused_fields
from tallystick.interfaces.api.typed_body import read_typed
from tallystick.kit.card_data import looks_like_card_number
from tallystick.kit.ids import is_id
from tallystick.record.postgres.outbox import OutboundBook
from tallystick.record.postgres.webhook_endpoints import EndpointBook
from tallystick.record.sealing import sealer_of

PATH: Final = "/v1/webhook-endpoints"

EVENT_TYPES: Final = message_types()

#: The longest overlap of two secrets: a month is as long as anybody's change window.
MAX_OVERLAP_MS: Final = 2_592_000_000

_Types = Annotated[list[str], Meta(min_length=1, max_length=len(EVENT_TYPES))]


class CreateWebhookEndpoint(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where to send messages, and which: all types unless some are named."""

    url: Annotated[str, Meta(min_length=1, max_length=MAX_URL_CHARS)]
    event_types: _Types | None = None
    description: Annotated[str, Meta(max_length=MAX_TEXT_CHARS, pattern=NO_CONTROLS_PATTERN)] | None = None


class RotateSecret(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long the secret before signs too; 0 for one that has leaked. Without it, as configured."""

    overlap_ms: Annotated[int, Meta(ge=0, le=MAX_OVERLAP_MS)] | None = None


class WebhookEndpoint(Struct, frozen=True, kw_only=True):
    """A merchant's endpoint. ``event_types`` null: all. ``failing_since``: no success since then; null while it answers
    well."""

    id: str
    object: str
    url: str
    event_types: list[str] | None
    description: str | None
    state: str
    disabled_reason: str | None
    disabled_at: datetime | None
    failing_since: datetime | None
    created_at: datetime


class NewWebhookEndpoint(Struct, frozen=True, kw_only=True):
    """An endpoint just registered, with the secret that its messages are signed with: it is shown this once."""

    secret: str
    endpoint: WebhookEndpoint


class WebhookEndpointList(Struct, frozen=True, kw_only=True):
    """All of a merchant's, oldest first."""

    data: list[WebhookEndpoint]


class DeletedWebhookEndpoint(Struct, frozen=True, kw_only=True):
    """It is gone."""

    id: str
    deleted: bool


class NewSecret(Struct, frozen=True, kw_only=True):
    """The secret from now on, shown this once; those before it sign too until ``previous_until``."""

    secret: str
    previous_until: datetime


async def create_endpoint(runtime: Runtime, exchange: ApiRequest, caller: Caller) -> HttpResponse:
    """Register an endpoint. Where it leads is looked up and checked, now and on every try."""
    body = await read_typed(exchange, CreateWebhookEndpoint)
    if body.event_types is not None and not _distinct_types(body.event_types):
        wrong = ProblemField("event_types", "unknown_value", f"must be some of: {', '.join(EVENT_TYPES)}")
        raise refused_fields([wrong], exchange.request_id)
    try:
        made = await endpoints_of(runtime).register(
            caller.merchant_id,
            url=body.url,
            event_types=body.event_types,
            description=body.description,
            actor=actor_of(caller),
        )
    except UrlRefused as error:
        raise refused_fields([ProblemField("url", error.code, str(error))], exchange.request_id) from None
    except UrlTaken as error:
        detail = "An endpoint has this URL. Where its secret was never seen, rotate it; or delete the endpoint first."
        taken_by = error.endpoint_id
        exists = problem(
            "webhook_endpoint_exists", detail, request_id=exchange.request_id, webhook_endpoint_id=taken_by
        )
        raise Refused(exists) from None
    except TooManyEndpoints as error:
        detail = f"{str(error).capitalize()}: delete one first."
        raise Refused(problem("webhook_endpoint_limit", detail, request_id=exchange.request_id)) from None
    except BacklogTooLong:
        raise busy("overloaded", "Messages of before are still being dispatched.", exchange.request_id) from None
    view = _view(await existing(runtime, exchange, caller, made.endpoint_id))
    headers = (*exchange.answer_headers, (b"location", f"{PATH}/{made.endpoint_id}".encode()))
    return HttpResponse(201, encode(NewWebhookEndpoint(secret=made.secret, endpoint=view)), headers=headers)


async def list_endpoints(runtime: Runtime, exchange: ApiRequest, caller: Caller) -> object:
    """All of the merchant's."""
    no_query(exchange)
    return WebhookEndpointList(data=[_view(record) for record in await book_of(runtime).endpoints(caller.merchant_id)])


async def get_endpoint(runtime: Runtime, exchange: ApiRequest, caller: Caller) -> object:
    """One of them."""
    endpoint_id = path_endpoint(exchange)
    no_query(exchange)
    return _view(await existing(runtime, exchange, caller, endpoint_id))


async def delete_endpoint(runtime: Runtime, exchange: ApiRequest, caller: Caller) -> HttpResponse:
    """Nothing is sent there any more; what was on its way is given up."""
    endpoint_id = path_endpoint(exchange)
    no_query(exchange)
    if not await book_of(runtime).delete(caller.merchant_id, endpoint_id, actor=actor_of(caller)):
        raise not_found(exchange.request_id, "webhook endpoint")
    return answer(exchange, DeletedWebhookEndpoint(id=endpoint_id, deleted=True))


async def disable_endpoint(runtime: Runtime, exchange: ApiRequest, caller: Caller) -> HttpResponse:
    """Send nothing there until it is enabled; what comes meanwhile can be asked for afterwards."""
    endpoint_id = path_endpoint(exchange)
    no_query(exchange)
    await book_of(runtime).disable(caller.merchant_id, endpoint_id, BY_REQUEST, actor=actor_of(caller))
    return answer(exchange, _view(await existing(runtime, exchange, caller, endpoint_id)))


async def enable_endpoint(runtime: Runtime, exchange: ApiRequest, caller: Caller) -> HttpResponse:
    """Send what comes from now on. What it missed is sent when it is asked for."""
    endpoint_id = path_endpoint(exchange)
    no_query(exchange)
    await book_of(runtime).enable(caller.merchant_id, endpoint_id, actor=actor_of(caller))
    return answer(exchange, _view(await existing(runtime, exchange, caller, endpoint_id)))


async def rotate_secret(runtime: Runtime, exchange: ApiRequest, caller: Caller) -> HttpResponse:
    """Another secret; for a while messages are signed with both."""
    endpoint_id = path_endpoint(exchange)
    body = await read_typed(exchange, RotateSecret, may_be_empty=True)
    await existing(runtime, exchange, caller, endpoint_id)
    rotated = await endpoints_of(runtime).rotate(
        caller.merchant_id, endpoint_id, body.overlap_ms, actor=actor_of(caller)
    )
    return answer(exchange, NewSecret(secret=rotated.secret, previous_until=rotated.previous_until))


def endpoints_of(runtime: Runtime, guard: Guard | None = None) -> Endpoints:
    """The rules, on this process's pool; URLs as the settings let them through, unless another guard is given."""
    settings = runtime.settings
    dispatch = Dispatch(OutboundBook(runtime.pool, clock_shift_ms=settings.clock_shift_ms), settings.outbound_batch)
    return Endpoints(book_of(runtime), dispatch, sealer_of(settings), guard or guard_of(settings), settings)


def book_of(runtime: Runtime) -> EndpointBook:
    """The record of endpoints, on this process's pool."""
    return EndpointBook(runtime.pool, clock_shift_ms=runtime.settings.clock_shift_ms)


async def existing(runtime: Runtime, exchange: ApiRequest, caller: Caller, endpoint_id: str) -> asyncpg.Record:
    """The endpoint, where it is this merchant's. Raises Refused."""
    found = await book_of(runtime).endpoints(caller.merchant_id, endpoint_id)
    if not found:
        raise not_found(exchange.request_id, "webhook endpoint")
    return found[0]


def path_endpoint(exchange: ApiRequest) -> str:
    """The endpoint's id in the path. Raises Refused."""
    endpoint_id = exchange.path_id or ""
    if not is_id("we", endpoint_id):
        if looks_like_card_number(endpoint_id):
            raise exchange.card_data("path")
        raise not_found(exchange.request_id, "webhook endpoint")
    return endpoint_id


def actor_of(caller: Caller) -> str:
    """Who did it, for the record."""
    return f"key:{caller.key_id}"


def answer(exchange: ApiRequest, view: Any) -> HttpResponse:
    """200 with a body."""
    return HttpResponse(200, encode(view), headers=tuple(exchange.answer_headers))


def no_query(exchange: ApiRequest) -> None:
    """Raises Refused for a request with a query."""
    if exchange.has_query():
        exchange.parameters()
        refused = ProblemField("query", "unknown_field", "this request takes no query parameters")
        raise refused_fields([refused], exchange.request_id)


def _distinct_types(named: list[str]) -> bool:
    return len(set(named)) == len(named) and set(named) <= set(EVENT_TYPES)


def _view(record: asyncpg.Record) -> WebhookEndpoint:
    return WebhookEndpoint(
        id=record["endpoint_id"],
        object="webhook_endpoint",
        **{name: record[name] for name in WebhookEndpoint.__struct_fields__ if name not in ("id", "object")},
    )
