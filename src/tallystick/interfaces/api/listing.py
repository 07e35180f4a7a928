"""What handlers of lists have in common: the payment that a list is of, and filters that go together."""

from __future__ import annotations

from typing import Any, TypeVar

from tallystick.domain.created_range import CreatedRange
from tallystick.flows.runtime import Runtime
from tallystick.interfaces.api.authentication import Caller
from tallystick.interfaces.api.http import ApiRequest
from tallystick.interfaces.api.parameters import query_id
from tallystick.interfaces.api.problems import invalid_fields, not_found
from tallystick.kit.ids import is_id

Filter = TypeVar("Filter", bound=CreatedRange)

#: The parameter that narrows a list to one payment.
OF_PAYMENT = query_id(
    "pay",
    "payment",
    required=False,
    description="Only those of this payment; 404 where the merchant has no such payment.",
)


async def payment_in_query(runtime: Runtime, request: ApiRequest, caller: Caller) -> str:
    """The payment that the query names. Raises ProblemError where the merchant has no such payment."""
    payment_id: str = request.query["payment"]
    if not is_id("pay", payment_id) or await runtime.reads.payment(caller.merchant_id, payment_id) is None:
        raise not_found(request.request_id, "payment")
    return payment_id


async def filter_in_query(kind: type[Filter], runtime: Runtime, request: ApiRequest, caller: Caller) -> Filter:
    """The filter that the query gives: its parameters have the names of the filter's fields, and ``payment`` is
    ``payment_id``. Raises ProblemError where the merchant has no such payment, and naming what does not go together."""
    given: dict[str, Any] = {name: request.query[name] for name in kind.__struct_fields__ if name != "payment_id"}
    if request.query.get("payment") is not None:
        given["payment_id"] = await payment_in_query(runtime, request, caller)
    wanted = kind(**given)
    if faults := wanted.faults():
        raise invalid_fields(faults, request.request_id)
    return wanted
