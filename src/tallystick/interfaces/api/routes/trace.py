"""What happened to one payment, where its money is, and who acts next."""

from __future__ import annotations

from typing import Final

from tallystick.flows.runtime import Runtime
from tallystick.interfaces.api.authentication import Caller
from tallystick.interfaces.api.endpoint import READ, Endpoint, read
from tallystick.interfaces.api.http import ApiRequest
from tallystick.interfaces.api.instruction import PAYMENT_ID
from tallystick.interfaces.api.parameters import any_text
from tallystick.interfaces.api.problems import not_found
from tallystick.oversight.trace.merchant import MerchantTrace, for_merchant
from tallystick.oversight.trace.operators import OperatorTrace, for_operator
from tallystick.oversight.trace.payment import traced_payment


async def get_trace(runtime: Runtime, request: ApiRequest, caller: Caller) -> object:
    """To a merchant its part of the trace of one of its payments; to an operator all of it. A payment of another
    merchant than the one that is asked for is not found."""
    wanted = request.query["merchant_id"]
    trace = None
    if caller.operator or wanted in (None, caller.merchant_id):
        merchant_id = wanted if caller.operator else caller.merchant_id
        trace = await traced_payment(runtime.pool, merchant_id, request.id_in_path(), runtime.settings)
    if trace is None:
        raise not_found(request.request_id, "payment")
    return for_operator(trace) if caller.operator else for_merchant(trace)


ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    Endpoint(
        method="GET",
        path="/v1/payments/{id}/trace",
        name="getTrace",
        summary="What happened to a payment, where its money is, and who acts next",
        description=(
            "One sentence, the facts that it is made from, what is waiting and for whom, and one timeline: your "
            "requests and how often they were repeated, every step of the payment, its refunds and disputes, its "
            "ledger rows, its messages and every try to deliver them. It needs the scope `traces:read`, which shows "
            "what several other scopes show of a payment. An operator sees all that is recorded: also calls to the "
            "provider, its events, operators' acts, cases of refused transitions, and what is missing."
        ),
        handle=read(get_trace),
        scope="traces:read",
        responses={200: MerchantTrace},
        operators_response=OperatorTrace,
        codes=(*READ, "not_found"),
        parameters=(PAYMENT_ID, any_text("merchant_id", "Only a payment of this merchant; operators alone need it.")),
        callers="either",
    ),
)
