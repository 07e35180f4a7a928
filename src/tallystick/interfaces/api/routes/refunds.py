"""Refunds: made of a captured payment, and read."""

from __future__ import annotations

from typing import Final

from tallystick.domain.lifecycles.refund import REFUND
from tallystick.domain.requests.commands import parse_create_refund
from tallystick.domain.views import RefundView, refund_view
from tallystick.flows.payments import instructions
from tallystick.flows.runtime import Runtime
from tallystick.interfaces.api.authentication import Caller
from tallystick.interfaces.api.endpoint import READ, Endpoint, Narrowed, read
from tallystick.interfaces.api.http import ApiRequest
from tallystick.interfaces.api.instruction import ON_PAYMENT, PAYMENT_ID, InstructionKind, on_payment
from tallystick.interfaces.api.parameters import IDEMPOTENCY_KEY, path_id
from tallystick.interfaces.api.problems import not_found
from tallystick.interfaces.api.schemas import AMOUNT_MOVED, CURRENCY

PATH: Final = "/v1/refunds"


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

_NARROWED: Final[Narrowed] = {
    "RefundView": {
        "object": {"type": "string", "const": "refund"},
        "state": {"type": "string", "enum": REFUND.states},
        "currency": CURRENCY,
        "amount": AMOUNT_MOVED,
    },
}

ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    Endpoint(
        method="POST",
        path=_CREATE.path,
        name="createRefund",
        summary="Pay back all that is left of a payment, or a part",
        handle=_CREATE.respond,
        responses={201: RefundView, 202: RefundView},
        codes=ON_PAYMENT,
        body="CreateRefund",
        parameters=(PAYMENT_ID, IDEMPOTENCY_KEY),
        creates=True,
    ),
    Endpoint(
        method="GET",
        path=f"{PATH}/{{id}}",
        name="getRefund",
        summary="One refund",
        handle=read(get_refund),
        responses={200: RefundView},
        codes=(*READ, "not_found"),
        parameters=(path_id("re", "refund"),),
        narrowed=_NARROWED,
    ),
)
