"""Messages to the merchant: what was dispatched to its webhook endpoints, or would have been, had there been one."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Struct

from tallystick.decisions.messages import message_types, shown_by
from tallystick.domain.api_versions import VERSIONS
from tallystick.domain.json_types import (
    EXAMPLE_TIME,
    HasMore,
    MessageId,
    MessagesAsOf,
    NextCursor,
    PaymentId,
    Time,
    described,
    example_id,
)
from tallystick.domain.list_filters import MessageFilter
from tallystick.flows.runtime import Runtime
from tallystick.interfaces.api.authentication import Caller
from tallystick.interfaces.api.endpoint import READ, Endpoint, read
from tallystick.interfaces.api.http import ApiRequest
from tallystick.interfaces.api.listing import OF_PAYMENT, filter_in_query
from tallystick.interfaces.api.paging import MESSAGES, cut_page
from tallystick.interfaces.api.parameters import created_range, one_of, page_of
from tallystick.interfaces.api.problems import busy
from tallystick.kit.ids import is_id

PATH: Final = "/v1/messages"

TYPES: Final = message_types()

#: The subject is left out.
_EXAMPLE_BODY: Final = (
    f'{{"id":"{example_id("msg")}","type":"payment.captured","timestamp":"{EXAMPLE_TIME}",'
    f'"payment_id":"{example_id("pay")}","version":3,"data":{{}}}}'
)


class MessageLine(Struct, frozen=True, kw_only=True):
    """One message. ``body`` is what a webhook endpoint gets: a receiver that missed it takes it from here."""

    id: Annotated[
        MessageId, described("The message's id, `webhook-id` of every delivery. Handle a message once by it.")
    ]
    type: Annotated[str, described("What happened.", "payment.captured", enum=TYPES)]
    payment_id: Annotated[
        PaymentId | None,
        described("The payment that it is about; null where it is about none.", example_id("pay")),
    ]
    version: Annotated[
        int,
        described("The payment's version that it reports: the order of a payment's messages.", 3, minimum=1),
    ]
    created_at: Annotated[Time, described("When it was written, with the version that it reports.")]
    body: Annotated[
        str,
        described(
            "The JSON text that is sent to webhook endpoints of the request's version, byte for byte. It has no"
            " signature here: you asked for it with your own key.",
            _EXAMPLE_BODY,
            contentMediaType="application/json",
        ),
    ]


class MessagePage(Struct, frozen=True, kw_only=True):
    """A page of messages."""

    data: Annotated[list[MessageLine], described("The page, oldest first.")]
    has_more: HasMore
    next_cursor: NextCursor
    as_of: MessagesAsOf


async def list_messages(runtime: Runtime, request: ApiRequest, caller: Caller) -> object:
    """A page of messages, oldest first, so that a receiver can be filled page by page."""
    limit, cursor = request.query["limit"], request.query["cursor"]
    wanted = await filter_in_query(MessageFilter, runtime, request, caller)
    as_of = await runtime.stores.lists.messages_as_of()
    rows = await runtime.stores.lists.messages(caller.merchant_id, wanted, after=cursor, limit=limit + 1)
    page = cut_page(MESSAGES, rows, limit, lambda message: (message.at, message.message_id))
    data = [
        MessageLine(
            id=message.message_id,
            type=message.type,
            payment_id=message.stream_id if is_id("pay", message.stream_id) else None,
            version=message.version,
            created_at=message.at,
            body=_in_its_version(request, message.type, message.body, message.api_version),
        )
        for message in page.rows
    ]
    return MessagePage(data=data, has_more=page.has_more, next_cursor=page.next_cursor, as_of=as_of)


def _in_its_version(request: ApiRequest, type_: str, body: bytes, stored: str | None) -> str:
    """As an endpoint gets it that is pinned to the version of the request. ``stored``: the version that it is in."""
    form = VERSIONS.of_stored(stored)
    if form is None:  # written by a newer release
        raise busy("not_ready", "This process does not serve the version of a message.", request.request_id)
    return VERSIONS.message(body, shown_by(type_), request.version, form)[0].decode()


ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    Endpoint(
        method="GET",
        path=PATH,
        name="listMessages",
        summary="Messages to the merchant, oldest first",
        description=(
            "What was dispatched to webhook endpoints, also where there was none: a receiver that missed messages is"
            " filled up from here. Follow `next_cursor` for more. A message is listed once a worker dispatched it, in"
            " the order in which it was written; one that is dispatched late appears before the end of the list. To"
            " keep reading, read all pages, ask again with a `created_gte` two minutes before the `as_of` of the first"
            " page, and drop the ids that you know."
        ),
        handle=read(list_messages),
        scope="messages:read",
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
    ),
)
