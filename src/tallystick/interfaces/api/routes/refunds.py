"""Refunds: made of a captured payment, read, listed."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Struct

from tallystick.domain.json_types import HasMore, NextCursor, described
from tallystick.domain.lifecycles.refund import REFUND
from tallystick.domain.list_filters import MemberFilter
from tallystick.domain.requests.commands import parse_create_refund
from tallystick.domain.views import RefundView, refund_view
from tallystick.flows.payments import instructions
from tallystick.flows.runtime import Runtime
from tallystick.interfaces.api.authentication import Caller
from tallystick.interfaces.api.endpoint import READ, Endpoint, read
from tallystick.interfaces.api.http import ApiRequest
from tallystick.interfaces.api.instruction import ON_PAYMENT, PAYMENT_ID, InstructionKind, on_payment
from tallystick.interfaces.api.listing import OF_PAYMENT, filter_in_query
from tallystick.interfaces.api.paging import REFUNDS, cut_page
from tallystick.interfaces.api.parameters import IDEMPOTENCY_KEY, created_range, one_of, page_of, path_id
from tallystick.interfaces.api.problems import not_found

PATH: Final = "/v1/refunds"


class RefundPage(Struct, frozen=True, kw_only=True):
    """A page of refunds."""

    data: Annotated[list[RefundView], described("The page, newest first.")]
    has_more: HasMore
    next_cursor: NextCursor


async def list_refunds(runtime: Runtime, request: ApiRequest, caller: Caller) -> object:
    """A page of refunds, newest first."""
    limit, cursor = request.query["limit"], request.query["cursor"]
    wanted = await filter_in_query(MemberFilter, runtime, request, caller)
    rows = await runtime.stores.lists.refunds(caller.merchant_id, wanted, before=cursor, limit=limit + 1)
    page = cut_page(REFUNDS, rows, limit, lambda row: (row[0].created_at, row[0].refund_id))
    return RefundPage(
        data=[refund_view(refund, in_doubt=in_doubt) for refund, in_doubt in page.rows],
        has_more=page.has_more,
        next_cursor=page.next_cursor,
    )


async def get_refund(runtime: Runtime, request: ApiRequest, caller: Caller) -> object:
    """One refund. Reading a refund in doubt hastens its recovery."""
    found = await runtime.reads.refund(caller.merchant_id, request.id_in_path())
    if found is None:
        raise not_found(request.request_id, "refund")
    refund, in_doubt = found
    if in_doubt:
        await runtime.reads.hasten(caller.merchant_id, refund.payment_id, runtime.settings.in_doubt_hasten_interval_ms)
    return refund_view(refund, in_doubt=in_doubt)


_CREATE: Final = InstructionKind(
    path="/v1/payments/{id}/refunds",
    parse=parse_create_refund,
    execute=on_payment(instructions.create_refund),
    created_at=f"{PATH}/",
)

ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    Endpoint(
        method="POST",
        path=_CREATE.path,
        name="createRefund",
        summary="Pay back all that is left of a payment, or a part",
        description=(
            "Pays back all that is left of the payment, or the part in `amount`. 201 is the final answer, and "
            "says in `state` whether the money went back; 202 means that this is not known yet. Send the same "
            "request with the same key again until an answer other than 202 comes."
        ),
        tag="Refunds",
        handle=_CREATE.respond,
        scope="refunds:create",
        responses={201: RefundView, 202: RefundView},
        codes=ON_PAYMENT,
        body="CreateRefund",
        parameters=(PAYMENT_ID, IDEMPOTENCY_KEY),
        creates=True,
    ),
    Endpoint(
        method="GET",
        path=PATH,
        name="listRefunds",
        summary="Refunds, newest first",
        description="Refunds that match every filter given. Follow `next_cursor` for more.",
        handle=read(list_refunds),
        scope="refunds:read",
        responses={200: RefundPage},
        codes=(*READ, "not_found"),
        parameters=(
            OF_PAYMENT,
            one_of("state", REFUND.states, "Only this state."),
            *created_range(),
            *page_of(REFUNDS),
        ),
    ),
    Endpoint(
        method="GET",
        path=f"{PATH}/{{id}}",
        name="getRefund",
        summary="One refund",
        description="The stored state. Reading a refund in doubt hastens its recovery.",
        handle=read(get_refund),
        scope="refunds:read",
        responses={200: RefundView},
        codes=(*READ, "not_found"),
        parameters=(path_id("re", "refund"),),
    ),
)
