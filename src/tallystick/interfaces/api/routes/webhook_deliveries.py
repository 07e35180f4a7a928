"""What was sent to a merchant's endpoint, and sending it again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

from msgspec import Struct

from tallystick.domain.errors import problem
from tallystick.domain.json_types import (
    Actor,
    Count,
    HasMore,
    MessageId,
    MessagesAsOf,
    NextCursor,
    PaymentId,
    Time,
    described,
)
from tallystick.flows.runtime import Runtime
from tallystick.flows.webhooks.outbound.endpoints import DELIVERY_STATES, DeliveryRow, DeliveryTry
from tallystick.flows.webhooks.outbound.try_results import TRY_RESULTS, latest_failure
from tallystick.interfaces.api.authentication import Caller
from tallystick.interfaces.api.endpoint import Endpoint, read
from tallystick.interfaces.api.http import ApiRequest, HttpResponse, json_response
from tallystick.interfaces.api.paging import WEBHOOK_DELIVERIES, cut_page
from tallystick.interfaces.api.parameters import one_of, page_of, path_id
from tallystick.interfaces.api.problems import ProblemError, not_found
from tallystick.interfaces.api.routes.webhook_endpoints import EVENT_TYPES, actor_of, existing, on_endpoint
from tallystick.interfaces.api.typed_body import read_typed

#: Tries that are shown of a message: every one of two rounds, and more than anybody reads.
SHOWN_TRIES: Final = 25


#: What came of a try.
ATTEMPT_RESULTS: Final = tuple(TRY_RESULTS)

_WORDS: Final = described("The same in words, for people; it may change.", "answered with 500")


class WebhookAttempt(Struct, frozen=True, kw_only=True):
    """One try to deliver a message, or a request to send it again."""

    number: Annotated[int, described("Counts the tries, from 1.", 1, minimum=0)]
    at: Annotated[Time, described("When it began.")]
    result: Annotated[
        str,
        described(
            "What came of it: " + " ".join(f"`{code}`: {result.meaning}" for code, result in TRY_RESULTS.items()),
            "delivered",
            enum=ATTEMPT_RESULTS,
        ),
    ]
    status: Annotated[int | None, described("The status of the response; null where there was none.", 200)]
    duration_ms: Annotated[
        int, described("How long it took, in milliseconds; of `address_refused` only roughly.", 84, minimum=0)
    ]
    error: Annotated[str | None, described("More about a failure, for people.", None)]
    actor: Annotated[Actor | None, described("Who asked to send it again; null for a try.", None)]


class WebhookFailure(Struct, frozen=True, kw_only=True):
    """Why a message has not arrived: its latest try that failed."""

    code: Annotated[str, described("What came of the try: stable, made for programs.", "refused", enum=ATTEMPT_RESULTS)]
    message: Annotated[str, _WORDS]
    status: Annotated[int | None, described("The status of the response; null where there was none.", 500)]
    at: Annotated[Time, described("When the try began.")]


class WebhookDelivery(Struct, frozen=True, kw_only=True):
    """One message on its way to one endpoint."""

    message_id: MessageId
    type: Annotated[str, described("The message's type.", "payment.captured", enum=EVENT_TYPES)]
    payment_id: PaymentId
    version: Annotated[int, described("The payment's version in the message.", 3, minimum=1)]
    state: Annotated[
        str,
        described(
            "`open`: on its way. `exhausted`: every try failed. `canceled`: given up, because the endpoint was"
            " disabled or the message came while it was.",
            "delivered",
            enum=DELIVERY_STATES,
        ),
    ]
    resends: Annotated[Count, described("How often somebody asked to send it again.", 0)]
    dispatched_at: Annotated[Time, described("When it was made ready for this endpoint.")]
    closed_at: Annotated[Time | None, described("When it left the state `open`; null while it has not.")]
    next_attempt_at: Annotated[Time | None, described("When it is tried next; null where it is not.", None)]
    failure: Annotated[
        WebhookFailure | None,
        described("Why it has not arrived; null where it has, and where no try has failed.", None),
    ]
    attempts: Annotated[list[WebhookAttempt], described("The latest tries, oldest first.", maxItems=SHOWN_TRIES)]


class WebhookDeliveryPage(Struct, frozen=True, kw_only=True):
    """A page of deliveries."""

    data: Annotated[list[WebhookDelivery], described("The page, newest first.")]
    has_more: HasMore
    next_cursor: NextCursor
    as_of: MessagesAsOf


class ResendSince(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Since when messages are sent now."""

    since: Annotated[Time, described("Messages dispatched at this time or later.")]


class Resent(Struct, frozen=True, kw_only=True):
    """How many messages are sent now."""

    count: Annotated[Count, described("How many messages are sent now because of this request.", 12)]
    has_more: Annotated[bool, described("Whether the same request again does the rest.", False)]


async def list_deliveries(runtime: Runtime, request: ApiRequest, caller: Caller) -> object:
    """A page of the log, newest first."""
    endpoint_id, query, limit = request.id_in_path(), request.query, request.query["limit"]
    await existing(runtime, request, caller, endpoint_id)
    as_of = await runtime.stores.lists.messages_as_of()
    rows = await runtime.stores.endpoint_book.log(
        caller.merchant_id, endpoint_id, state=query["state"], after=query["cursor"], limit=limit + 1
    )
    page = cut_page(WEBHOOK_DELIVERIES, rows, limit, lambda row: (row.dispatched_at, row.message_id))
    return WebhookDeliveryPage(
        data=await _views(runtime, caller, endpoint_id, page.rows),
        has_more=page.has_more,
        next_cursor=page.next_cursor,
        as_of=as_of,
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
    """Send now every message since a time that did not reach the endpoint, oldest first."""
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
    return [delivery_view(row, tries.get(row.message_id, ())) for row in rows]


def delivery_view(row: DeliveryRow, tries: Sequence[DeliveryTry]) -> WebhookDelivery:
    """A delivery with its latest tries, as its merchant sees it."""
    return WebhookDelivery(
        failure=_failure(latest_failure(row.state, tries)),
        message_id=row.message_id,
        type=row.type,
        payment_id=row.stream_id,
        version=row.version,
        state=row.state,
        resends=row.resends,
        dispatched_at=row.dispatched_at,
        closed_at=row.closed_at,
        next_attempt_at=row.next_try_at,
        attempts=[_attempt(one) for one in tries],
    )


def _failure(one: DeliveryTry | None) -> WebhookFailure | None:
    if one is None:
        return None
    return WebhookFailure(code=one.result, message=one.detail or one.result, status=one.status, at=one.started_at)


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

ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    on_endpoint(
        "GET",
        "/deliveries",
        "listWebhookDeliveries",
        "The deliveries to an endpoint, newest first, with every try",
        "What was sent to the endpoint, and what it responded.",
        read(list_deliveries),
        WebhookDeliveryPage,
        parameters=(
            one_of("state", DELIVERY_STATES, "Only deliveries in this state."),
            *page_of(WEBHOOK_DELIVERIES),
        ),
        codes=("overloaded",),
    ),
    on_endpoint(
        "POST",
        "/deliveries/{message_id}/resend",
        "resendWebhook",
        "Send one message again",
        "The message may come once more, with the same `webhook-id`.",
        resend_one,
        WebhookDelivery,
        parameters=(_MESSAGE_ID,),
        codes=("webhook_endpoint_disabled",),
    ),
    on_endpoint(
        "POST",
        "/deliveries/resend",
        "resendWebhooks",
        "Send now every message since a time that did not reach the endpoint",
        "Those that were given up or came while it was disabled, and those that wait for their next try; also earlier"
        " ones of their payments, which have to be sent first. None that the endpoint has accepted, and none that is"
        " due already, as after an earlier request of this kind. Each has a new series of tries.",
        resend_since,
        Resent,
        body_type=ResendSince,
        body_required=True,
        codes=("webhook_endpoint_disabled",),
    ),
)
