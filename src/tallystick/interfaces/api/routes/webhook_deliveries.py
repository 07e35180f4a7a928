"""What was sent to a merchant's endpoint, and sending it again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final

from msgspec import Meta, Struct

from tallystick.domain.errors import problem
from tallystick.flows.runtime import Runtime
from tallystick.flows.webhooks.outbound.endpoints import DeliveryRow, DeliveryTry
from tallystick.interfaces.api.authentication import Caller
from tallystick.interfaces.api.endpoint import Endpoint, Narrowed, read
from tallystick.interfaces.api.http import ApiRequest, HttpResponse, json_response
from tallystick.interfaces.api.paging import WEBHOOK_DELIVERIES, split_page, write_cursor
from tallystick.interfaces.api.parameters import one_of, page_of, path_id
from tallystick.interfaces.api.problems import ProblemError, not_found
from tallystick.interfaces.api.routes.webhook_endpoints import EVENT_TYPES, actor_of, existing, on_endpoint
from tallystick.interfaces.api.typed_body import read_typed

#: open: on its way, or its next try is due at a time that is shown. canceled: given up because the endpoint was
#: disabled, or came while it was. exhausted: every try failed.
DELIVERY_STATES: Final = ("open", "delivered", "exhausted", "canceled")

#: Tries that are shown of a message: every one of two rounds, and more than anybody reads.
SHOWN_TRIES: Final = 25


class WebhookAttempt(Struct, frozen=True, kw_only=True):
    """One try: ``result`` delivered, refused, redirected, gone, timed_out, unreachable, tls_failed, broken,
    address_refused or secret_unreadable (nothing was sent); or ``resend_requested``, by ``actor``."""

    number: int
    at: datetime
    result: str
    status: int | None
    duration_ms: int
    error: str | None
    actor: str | None


class WebhookDelivery(Struct, frozen=True, kw_only=True):
    """One message on its way to one endpoint. ``attempts``: the latest, oldest first. ``version`` is the payment's."""

    message_id: str
    type: str
    payment_id: str
    version: int
    state: str
    resends: int
    dispatched_at: datetime
    closed_at: datetime | None
    next_attempt_at: datetime | None
    attempts: list[WebhookAttempt]


class WebhookDeliveryPage(Struct, frozen=True, kw_only=True):
    """Deliveries, newest first. ``next_cursor`` is set exactly when ``has_more``."""

    data: list[WebhookDelivery]
    has_more: bool
    next_cursor: str | None


class ResendSince(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Since when: messages dispatched then or later."""

    since: Annotated[datetime, Meta(tz=True)]


class Resent(Struct, frozen=True, kw_only=True):
    """How many messages will be sent again. ``has_more``: the same request again does the rest."""

    count: int
    has_more: bool


async def list_deliveries(runtime: Runtime, request: ApiRequest, caller: Caller) -> object:
    """A page of the log, newest first."""
    endpoint_id, query, limit = request.id_in_path(), request.query, request.query["limit"]
    await existing(runtime, request, caller, endpoint_id)
    rows = await runtime.stores.endpoint_book.log(
        caller.merchant_id, endpoint_id, state=query["state"], after=query["cursor"], limit=limit + 1
    )
    shown, more = split_page(rows, limit)
    last = shown[-1] if more else None
    return WebhookDeliveryPage(
        data=await _views(runtime, caller, endpoint_id, shown),
        has_more=more,
        next_cursor=None if last is None else write_cursor(WEBHOOK_DELIVERIES, (last.dispatched_at, last.message_id)),
    )


async def resend_one(runtime: Runtime, request: ApiRequest, caller: Caller) -> HttpResponse:
    """Send one message again, whatever its state, with a new series of tries."""
    request.require_no_query()
    endpoint_id, message_id = await _enabled(runtime, request, caller), request.id_in_path("message_id")
    book = runtime.stores.endpoint_book
    sent = await book.resend(caller.merchant_id, endpoint_id, [message_id], actor=actor_of(caller))
    row = await book.delivery(caller.merchant_id, endpoint_id, message_id) if sent else None
    if row is None:
        raise not_found(request.request_id, "delivery")
    return json_response(request, (await _views(runtime, caller, endpoint_id, [row]))[0])


async def resend_since(runtime: Runtime, request: ApiRequest, caller: Caller) -> HttpResponse:
    """Send again every message since a time that did not reach the endpoint, oldest first."""
    body = await read_typed(request, ResendSince)
    endpoint_id = await _enabled(runtime, request, caller)
    done = await runtime.stores.endpoints.resend_since(
        caller.merchant_id, endpoint_id, body.since, actor=actor_of(caller)
    )
    return json_response(request, Resent(count=done.count, has_more=done.more))


async def _enabled(runtime: Runtime, request: ApiRequest, caller: Caller) -> str:
    endpoint_id = request.id_in_path()
    if (await existing(runtime, request, caller, endpoint_id)).state != "enabled":
        detail = "Nothing is sent to a disabled endpoint: enable it first."
        raise ProblemError(problem("webhook_endpoint_disabled", detail, request_id=request.request_id))
    return endpoint_id


async def _views(
    runtime: Runtime, caller: Caller, endpoint_id: str, rows: Sequence[DeliveryRow]
) -> list[WebhookDelivery]:
    ids = [row.message_id for row in rows]
    tries = await runtime.stores.endpoint_book.tries(caller.merchant_id, endpoint_id, ids, SHOWN_TRIES)
    return [
        WebhookDelivery(
            message_id=row.message_id,
            type=row.type,
            payment_id=row.stream_id,
            version=row.version,
            state=row.state,
            resends=row.resends,
            dispatched_at=row.dispatched_at,
            closed_at=row.closed_at,
            next_attempt_at=row.next_try_at,
            attempts=[_attempt(one) for one in tries.get(row.message_id, ())],
        )
        for row in rows
    ]


def _attempt(one: DeliveryTry) -> WebhookAttempt:
    return WebhookAttempt(
        number=one.number,
        at=one.started_at,
        result=one.result,
        status=one.status,
        duration_ms=one.duration_ms,
        error=one.detail,
        actor=one.actor,
    )


_MESSAGE_ID: Final = path_id("msg", "delivery", "message_id")

_NARROWED: Final[Narrowed] = {
    "WebhookDelivery": {
        "type": {"type": "string", "enum": EVENT_TYPES},
        "state": {"type": "string", "enum": list(DELIVERY_STATES)},
    },
}

ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    on_endpoint(
        "GET",
        "/deliveries",
        "listWebhookDeliveries",
        "The deliveries to an endpoint, newest first, with every try",
        read(list_deliveries),
        WebhookDeliveryPage,
        parameters=(
            one_of("state", DELIVERY_STATES, "Only deliveries in this state."),
            *page_of(WEBHOOK_DELIVERIES),
        ),
        narrowed=_NARROWED,
        codes=("overloaded",),
    ),
    on_endpoint(
        "POST",
        "/deliveries/{message_id}/resend",
        "resendWebhook",
        "Send one message again",
        resend_one,
        WebhookDelivery,
        parameters=(_MESSAGE_ID,),
        codes=("webhook_endpoint_disabled",),
    ),
    on_endpoint(
        "POST",
        "/deliveries/resend",
        "resendWebhooks",
        "Send again every message since a time that did not reach the endpoint",
        resend_since,
        Resent,
        body_type=ResendSince,
        body_required=True,
        codes=("webhook_endpoint_disabled",),
    ),
)
