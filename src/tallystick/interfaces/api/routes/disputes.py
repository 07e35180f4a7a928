"""Disputes: read, and listed."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, Struct

from tallystick.domain.lifecycles.dispute import DISPUTE
from tallystick.domain.list_filters import MemberFilter
from tallystick.domain.views import DisputeView, dispute_view
from tallystick.flows.runtime import Runtime
from tallystick.interfaces.api.authentication import Caller
from tallystick.interfaces.api.endpoint import READ, Endpoint, Narrowed, read
from tallystick.interfaces.api.http import ApiRequest
from tallystick.interfaces.api.listing import OF_PAYMENT, optional_payment, require_sound
from tallystick.interfaces.api.paging import DISPUTES, cut_page
from tallystick.interfaces.api.parameters import created_range, one_of, page_of, path_id
from tallystick.interfaces.api.problems import not_found
from tallystick.interfaces.api.schemas import AMOUNT_MOVED, CURRENCY

PATH: Final = "/v1/disputes"


class DisputePage(Struct, frozen=True, kw_only=True):
    """Disputes, newest first. ``next_cursor`` is set exactly when ``has_more``."""

    data: Annotated[list[DisputeView], Meta(description="The disputes on this page, newest first.")]
    has_more: Annotated[bool, Meta(description="Whether another page follows.", examples=[False])]
    next_cursor: Annotated[str | None, Meta(description="cursor of the next page; null on the last one.")]


async def list_disputes(runtime: Runtime, request: ApiRequest, caller: Caller) -> object:
    """A page of disputes, newest first."""
    query, limit = request.query, request.query["limit"]
    wanted = MemberFilter(
        payment_id=await optional_payment(runtime, request, caller),
        state=query["state"],
        created_gte=query["created_gte"],
        created_lt=query["created_lt"],
    )
    require_sound(wanted, request)
    rows = await runtime.stores.lists.disputes(caller.merchant_id, wanted, before=query["cursor"], limit=limit + 1)
    page = cut_page(DISPUTES, rows, limit, lambda dispute: (dispute.created_at, dispute.dispute_id))
    return DisputePage(
        data=[dispute_view(dispute) for dispute in page.rows],
        has_more=page.has_more,
        next_cursor=page.next_cursor,
    )


async def get_dispute(runtime: Runtime, request: ApiRequest, caller: Caller) -> object:
    """One dispute."""
    dispute = await runtime.reads.dispute(caller.merchant_id, request.id_in_path())
    if dispute is None:
        raise not_found(request.request_id, "dispute")
    return dispute_view(dispute)


_NARROWED: Final[Narrowed] = {
    "DisputeView": {
        "object": {"type": "string", "const": "dispute"},
        "state": {"type": "string", "enum": DISPUTE.states},
        "currency": CURRENCY,
        "amount": AMOUNT_MOVED,
    },
}

ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    Endpoint(
        method="GET",
        path=PATH,
        name="listDisputes",
        summary="Disputes, newest first",
        handle=read(list_disputes),
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
        handle=read(get_dispute),
        responses={200: DisputeView},
        codes=(*READ, "not_found"),
        parameters=(path_id("dp", "dispute"),),
        narrowed=_NARROWED,
    ),
)
