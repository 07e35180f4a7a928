"""Messages to the merchant: what was dispatched to its webhook endpoints, or would have been, had there been one."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final

from msgspec import Meta, Struct

from tallystick.decisions.messages import message_types
from tallystick.domain.list_filters import MessageFilter
from tallystick.flows.runtime import Runtime
from tallystick.interfaces.api.authentication import Caller
from tallystick.interfaces.api.endpoint import READ, Endpoint, Narrowed, read
from tallystick.interfaces.api.http import ApiRequest
from tallystick.interfaces.api.listing import OF_PAYMENT, optional_payment, require_sound
from tallystick.interfaces.api.paging import MESSAGES, cut_page
from tallystick.interfaces.api.parameters import created_range, one_of, page_of
from tallystick.kit.ids import is_id

PATH: Final = "/v1/messages"

TYPES: Final = message_types()


class MessageLine(Struct, frozen=True, kw_only=True):
    """One message. ``body`` is what a webhook endpoint gets: a receiver that missed it takes it from here."""

    id: Annotated[
        str,
        Meta(description="The message's id, the webhook-id of every delivery. Handle a message once by it."),
    ]
    type: Annotated[str, Meta(description="What happened.", examples=["payment.captured"])]
    payment_id: Annotated[str | None, Meta(description="The payment that it is about; null where it is about none.")]
    version: Annotated[
        int, Meta(description="The payment's version that it reports: the order of a payment's messages.", examples=[4])
    ]
    created_at: Annotated[datetime, Meta(description="When it was written, with the version that it reports.")]
    body: Annotated[
        str,
        Meta(
            description="The JSON text that is sent, byte for byte. It has no signature here: you asked for it with"
            " your own key.",
        ),
    ]


class MessagePage(Struct, frozen=True, kw_only=True):
    """Messages, oldest first. ``next_cursor`` is set exactly when ``has_more``."""

    data: Annotated[list[MessageLine], Meta(description="The messages on this page, oldest first.")]
    has_more: Annotated[bool, Meta(description="Whether another page follows.", examples=[False])]
    next_cursor: Annotated[str | None, Meta(description="cursor of the next page; null on the last one.")]


async def list_messages(runtime: Runtime, request: ApiRequest, caller: Caller) -> object:
    """A page of messages, oldest first, so that a receiver can be filled page by page."""
    query, limit = request.query, request.query["limit"]
    wanted = MessageFilter(
        payment_id=await optional_payment(runtime, request, caller),
        type=query["type"],
        created_gte=query["created_gte"],
        created_lt=query["created_lt"],
    )
    require_sound(wanted, request)
    rows = await runtime.stores.lists.messages(caller.merchant_id, wanted, after=query["cursor"], limit=limit + 1)
    page = cut_page(MESSAGES, rows, limit, lambda message: (message.at, message.message_id))
    data = [
        MessageLine(
            id=message.message_id,
            type=message.type,
            payment_id=message.stream_id if is_id("pay", message.stream_id) else None,
            version=message.version,
            created_at=message.at,
            body=message.body.decode(),
        )
        for message in page.rows
    ]
    return MessagePage(data=data, has_more=page.has_more, next_cursor=page.next_cursor)


_NARROWED: Final[Narrowed] = {
    "MessageLine": {"type": {"type": "string", "enum": TYPES, "description": "What happened."}},
}

ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    Endpoint(
        method="GET",
        path=PATH,
        name="listMessages",
        summary="Messages that were dispatched to webhook endpoints, oldest first, also where there is none",
        handle=read(list_messages),
        responses={200: MessagePage},
        codes=(*READ, "not_found"),
        parameters=(
            OF_PAYMENT,
            one_of(
                "type",
                TYPES,
                "Only this type. Without payment it needs created_gte and created_lt, at most 31 days apart.",
            ),
            *created_range("Written"),
            *page_of(MESSAGES),
        ),
        narrowed=_NARROWED,
    ),
)
