"""Events of providers: listed, and one event with all its checkpoints."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Struct

from tallystick.domain.json_types import (
    Count,
    EventId,
    EventsAsOf,
    EventType,
    HasMore,
    NextCursor,
    PaymentOfEvent,
    ProviderName,
    StateOfEvent,
    Time,
    described,
)
from tallystick.domain.list_filters import EventFilter
from tallystick.flows.runtime import Runtime
from tallystick.flows.stores import ListedEvent
from tallystick.interfaces.api.authentication import Caller
from tallystick.interfaces.api.endpoint import READ, Endpoint, read
from tallystick.interfaces.api.http import ApiRequest
from tallystick.interfaces.api.listing import OF_PAYMENT, filter_in_query
from tallystick.interfaces.api.paging import PROVIDER_EVENTS, cut_page
from tallystick.interfaces.api.parameters import created_range, page_of, path_id
from tallystick.interfaces.api.problems import not_found
from tallystick.oversight.trace.event import EventTrace, trace_event

PATH: Final = "/v1/provider-events"

EVENT_ID: Final = path_id("evt", "event")


class EventLine(Struct, frozen=True, kw_only=True):
    """One event of a provider; ``GET /v1/provider-events/{id}`` shows all its checkpoints."""

    id: EventId
    provider: ProviderName
    type: EventType
    state: StateOfEvent
    detail: Annotated[str | None, described("Why it has this state, for people.", None)]
    received_at: Annotated[Time, described("When it arrived first.")]
    tries: Annotated[Count, described("How often it was tried since it arrived or was replayed.")]
    replays: Annotated[Count, described("How often an operator had it processed again.", 0)]
    payment_id: PaymentOfEvent


class EventPage(Struct, frozen=True, kw_only=True):
    """A page of events, by their first arrival."""

    data: Annotated[list[EventLine], described("The page, newest first.")]
    has_more: HasMore
    next_cursor: NextCursor
    as_of: EventsAsOf


async def get_event(runtime: Runtime, request: ApiRequest, caller: Caller) -> object:
    """One event, to the merchant whose payment it is about, and to operators."""
    trace = await trace_event(runtime.stores.inbox, runtime.stores.evidence, request.id_in_path())
    if trace is None or not (caller.operator or trace.merchant_id == caller.merchant_id):
        raise not_found(request.request_id, "event")
    return trace


async def list_events(runtime: Runtime, request: ApiRequest, caller: Caller) -> object:
    """A page of events that are about the merchant's payments, newest first."""
    limit, cursor = request.query["limit"], request.query["cursor"]
    wanted = await filter_in_query(EventFilter, runtime, request, caller)
    as_of = await runtime.stores.lists.events_as_of()
    rows = await runtime.stores.lists.events(caller.merchant_id, wanted, before=cursor, limit=limit + 1)
    page = cut_page(PROVIDER_EVENTS, rows, limit, lambda event: (event.received_at, event.event_id))
    data = [event_line(event) for event in page.rows]
    return EventPage(data=data, has_more=page.has_more, next_cursor=page.next_cursor, as_of=as_of)


def event_line(event: ListedEvent) -> EventLine:
    """A line of the list, as a client sees it."""
    return EventLine(
        id=event.event_id,
        provider=event.provider,
        type=event.type,
        state=event.state,
        detail=event.detail,
        received_at=event.received_at,
        tries=event.tries,
        replays=event.replays,
        payment_id=event.payment_id,
    )


ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    Endpoint(
        method="GET",
        path=PATH,
        name="listEvents",
        summary="Events of providers about the merchant's payments, newest first",
        description="What providers reported, and what each report did. Follow `next_cursor` for more.",
        handle=read(list_events),
        scope="events:read",
        responses={200: EventPage},
        codes=(*READ, "not_found"),
        parameters=(OF_PAYMENT, *created_range("First received"), *page_of(PROVIDER_EVENTS)),
    ),
    Endpoint(
        method="GET",
        path=f"{PATH}/{{id}}",
        name="getEvent",
        summary="One event of a provider, with every checkpoint and try",
        description=(
            "Every arrival of the event, every checkpoint of its processing, every try and every act of an operator."
        ),
        handle=read(get_event),
        scope="events:read",
        responses={200: EventTrace},
        codes=(*READ, "not_found"),
        parameters=(EVENT_ID,),
        callers="either",
    ),
)
