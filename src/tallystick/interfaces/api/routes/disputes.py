"""Disputes: read, and listed."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Struct

from tallystick.domain.json_types import EventsAsOf, HasMore, NextCursor, described
from tallystick.domain.lifecycles.dispute import DISPUTE
from tallystick.domain.list_filters import MemberFilter
from tallystick.domain.views import DisputeView, dispute_view
from tallystick.flows.runtime import Runtime
from tallystick.interfaces.api.authentication import Caller
from tallystick.interfaces.api.endpoint import READ, Endpoint, read
from tallystick.interfaces.api.http import ApiRequest
from tallystick.interfaces.api.listing import OF_PAYMENT, filter_in_query
from tallystick.interfaces.api.paging import DISPUTES, cut_page
from tallystick.interfaces.api.parameters import created_range, one_of, page_of, path_id
from tallystick.interfaces.api.problems import not_found

PATH: Final = "/v1/disputes"


class DisputePage(Struct, frozen=True, kw_only=True):
    """A page of disputes."""

    data: Annotated[list[DisputeView], described("The page, newest first.")]
    has_more: HasMore
    next_cursor: NextCursor
    as_of: EventsAsOf


async def list_disputes(runtime: Runtime, request: ApiRequest, caller: Caller) -> object:
    """A page of disputes, newest first."""
    limit, cursor = request.query["limit"], request.query["cursor"]
    wanted = await filter_in_query(MemberFilter, runtime, request, caller)
    as_of = await runtime.stores.lists.events_as_of()
    rows = await runtime.stores.lists.disputes(caller.merchant_id, wanted, before=cursor, limit=limit + 1)
    page = cut_page(DISPUTES, rows, limit, lambda dispute: (dispute.created_at, dispute.dispute_id))
    return DisputePage(
        data=[dispute_view(dispute) for dispute in page.rows],
        has_more=page.has_more,
        next_cursor=page.next_cursor,
        as_of=as_of,
    )


async def get_dispute(runtime: Runtime, request: ApiRequest, caller: Caller) -> object:
    """One dispute."""
    dispute = await runtime.reads.dispute(caller.merchant_id, request.id_in_path())
    if dispute is None:
        raise not_found(request.request_id, "dispute")
    return dispute_view(dispute)


ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    Endpoint(
        method="GET",
        path=PATH,
        name="listDisputes",
        summary="Disputes, newest first",
        description="Disputes that match every filter given. Follow `next_cursor` for more.",
        handle=read(list_disputes),
        scope="disputes:read",
        responses={200: DisputePage},
        codes=(*READ, "not_found"),
        parameters=(
            OF_PAYMENT,
            one_of("state", DISPUTE.states, "Only this state."),
            *created_range(),
            *page_of(DISPUTES),
        ),
    ),
    Endpoint(
        method="GET",
        path=f"{PATH}/{{id}}",
        name="getDispute",
        summary="One dispute",
        description="One dispute as it stands, with the bank's amount.",
        handle=read(get_dispute),
        scope="disputes:read",
        responses={200: DisputeView},
        codes=(*READ, "not_found"),
        parameters=(path_id("dp", "dispute"),),
    ),
)
