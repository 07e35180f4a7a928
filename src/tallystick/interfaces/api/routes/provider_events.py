"""Events of providers: those of one payment, and one event with all its checkpoints."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import asdict

from tallystick.flows.runtime import Runtime
from tallystick.interfaces.api.authentication import Caller
from tallystick.interfaces.api.endpoint import READ, Endpoint, read
from tallystick.interfaces.api.http import ApiRequest
from tallystick.interfaces.api.parameters import path_id, query_id
from tallystick.interfaces.api.problems import not_found
from tallystick.interfaces.api.routes.payments import payment_in_query
from tallystick.oversight.trace.event import EventTrace, trace_event

PATH: Final = "/v1/provider-events"

#: More events than any payment has.
MAX_EVENTS: Final = 1_000

EVENT_ID: Final = path_id("evt", "event")


class EventLine(Struct, frozen=True, kw_only=True):
    """One event of a provider; ``GET /v1/provider-events/{id}`` shows all its checkpoints."""

    id: str
    provider: str
    type: str
    state: str
    detail: str | None
    received_at: datetime
    tries: int
    replays: int


class EventList(Struct, frozen=True, kw_only=True):
    """The events of a payment, as they arrived."""

    data: list[EventLine]


async def get_event(runtime: Runtime, request: ApiRequest, caller: Caller) -> object:
    """One event, to the merchant whose payment it is about, and to operators."""
    trace = await trace_event(runtime.stores.inbox, request.id_in_path())
    if trace is None or not (caller.operator or trace.merchant_id == caller.merchant_id):
        raise not_found(request.request_id, "event")
    return trace


async def list_events(runtime: Runtime, request: ApiRequest, caller: Caller) -> object:
    """The provider events of one payment, in the order of arrival."""
    payment_id = await payment_in_query(runtime, request, caller)
    events = await runtime.stores.inbox.events_of(caller.merchant_id, payment_id, MAX_EVENTS)
    return EventList(data=[_line(asdict(event)) for event in events])


def _line(event: dict[str, Any]) -> EventLine:
    return EventLine(id=event.pop("event_id"), **event)


ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    Endpoint(
        method="GET",
        path=PATH,
        name="listEvents",
        summary="The provider events of a payment, in the order of arrival",
        handle=read(list_events),
        responses={200: EventList},
        codes=(*READ, "not_found"),
        parameters=(query_id("pay", "payment"),),
    ),
    Endpoint(
        method="GET",
        path=f"{PATH}/{{id}}",
        name="getEvent",
        summary="One event of a provider, with every checkpoint and try",
        handle=read(get_event),
        responses={200: EventTrace},
        codes=(*READ, "not_found"),
        parameters=(EVENT_ID,),
        callers="either",
    ),
)
