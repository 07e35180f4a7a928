"""Disputes: read, one or all of a payment."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from tallystick.domain.lifecycles.dispute import DISPUTE
from tallystick.domain.views import DisputeView, dispute_view
from tallystick.flows.runtime import Runtime
from tallystick.interfaces.api.authentication import Caller
from tallystick.interfaces.api.endpoint import READ, Endpoint, Narrowed, read
from tallystick.interfaces.api.http import ApiRequest
from tallystick.interfaces.api.parameters import path_id, query_id
from tallystick.interfaces.api.problems import not_found
from tallystick.interfaces.api.routes.payments import payment_in_query
from tallystick.interfaces.api.schemas import AMOUNT_MOVED, CURRENCY

PATH: Final = "/v1/disputes"


class DisputeList(Struct, frozen=True, kw_only=True):
    """The disputes of a payment, oldest first."""

    data: list[DisputeView]


async def list_disputes(runtime: Runtime, request: ApiRequest, caller: Caller) -> object:
    """The disputes of one payment."""
    payment_id = await payment_in_query(runtime, request, caller)
    disputes = await runtime.reads.disputes(caller.merchant_id, payment_id)
    return DisputeList(data=[dispute_view(dispute) for dispute in disputes])


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
        summary="The disputes of a payment",
        handle=read(list_disputes),
        responses={200: DisputeList},
        codes=(*READ, "not_found"),
        parameters=(query_id("pay", "payment"),),
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
