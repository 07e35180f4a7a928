"""Late money, for operators: payments whose money came after their end are listed, and it is accepted for the merchant
or returned to the payer."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Struct

from tallystick.decisions.late_money import NoLateMoney
from tallystick.domain.errors import ProviderNotConfigured
from tallystick.domain.json_types import (
    Amount,
    Currency,
    HasMore,
    NextCursor,
    PaymentId,
    ProviderName,
    TakenBy,
    Time,
    described,
)
from tallystick.domain.operator_act import AskedAct, OperatorAct
from tallystick.flows.operations import late_money
from tallystick.flows.operations.acts import recorded
from tallystick.flows.operations.late_money import LateMoney
from tallystick.flows.runtime import Runtime
from tallystick.interfaces.api.act_endpoints import ActTarget, act_endpoint, owner_endpoints
from tallystick.interfaces.api.authentication import Caller
from tallystick.interfaces.api.endpoint import READ, Endpoint, read
from tallystick.interfaces.api.http import ApiRequest
from tallystick.interfaces.api.paging import LATE_MONEY, cut_page
from tallystick.interfaces.api.parameters import any_text, page_of, path_id

PATH: Final = "/v1/late-money"

PAYMENT_ID: Final = path_id("pay", "payment")


class LateMoneyView(Struct, frozen=True, kw_only=True):
    """A payment with money that came after its end."""

    payment_id: PaymentId
    merchant_id: Annotated[str, described("Whose the payment is.", "shop")]
    state: Annotated[str, described("The payment's state, which stays.", "declined")]
    provider: ProviderName
    provider_reference: Annotated[str | None, described("The provider's name for the charge.", "ch_8f2d")]
    currency: Currency
    waiting: Annotated[Amount, described("What waits to be decided on.", 1200)]
    late: Annotated[Amount, described("What came after the end, all in all.", 1200)]
    accepted: Annotated[Amount, described("Of that, what was accepted for the merchant.", 0)]
    returning: Annotated[Amount, described("What is on its way back.", 0)]
    returned: Annotated[Amount, described("What has gone back.", 0)]
    created_at: Annotated[Time, described("When the payment was made.")]
    taken_by: TakenBy = None


class LateMoneyPage(Struct, frozen=True, kw_only=True):
    """A page of what waits."""

    data: Annotated[list[LateMoneyView], described("The oldest payment first.")]
    has_more: HasMore
    next_cursor: NextCursor


async def list_late_money(runtime: Runtime, request: ApiRequest, _: Caller) -> object:
    """A page of payments with late money that waits, oldest first."""
    query, limit = request.query, request.query["limit"]
    after_id = "" if query["cursor"] is None else query["cursor"][1]
    rows = await late_money.waiting_late_money(runtime, query["merchant_id"], limit + 1, after_id)
    page = cut_page(LATE_MONEY, rows, limit, lambda each: (each.payment.created_at, each.payment.payment_id))
    return LateMoneyPage(data=[*map(_view, page.rows)], has_more=page.has_more, next_cursor=page.next_cursor)


async def _is_there(runtime: Runtime, payment_id: str) -> bool:
    return await runtime.reads.merchant_of_late_money(payment_id) is not None


async def _accept(runtime: Runtime, asked: AskedAct) -> OperatorAct:
    await late_money.accept(runtime, asked.target, asked, actor=asked.operator, reason=asked.reason)
    return await recorded(runtime.stores.acts, asked)


async def _give_back(runtime: Runtime, asked: AskedAct) -> OperatorAct:
    await late_money.give_back(runtime, asked.target, asked, actor=asked.operator, reason=asked.reason)
    return await recorded(runtime.stores.acts, asked)


_TARGET: Final = ActTarget(
    path=PATH,
    parameter=PAYMENT_ID,
    one="payment",
    scope="late_money:write",
    is_there=_is_there,
    refused={NoLateMoney: "no_late_money", ProviderNotConfigured: "not_ready"},
)


def _view(each: LateMoney) -> LateMoneyView:
    payment = each.payment
    return LateMoneyView(
        payment_id=payment.payment_id,
        merchant_id=payment.merchant_id,
        state=payment.state,
        provider=payment.provider,
        provider_reference=payment.provider_reference,
        currency=payment.currency,
        waiting=each.waiting,
        late=payment.amount_late,
        accepted=payment.amount_late_accepted,
        returning=payment.amount_late_returning,
        returned=payment.amount_late_returned,
        created_at=payment.created_at,
        taken_by=each.taken_by,
    )


ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    Endpoint(
        method="GET",
        path=PATH,
        name="listLateMoney",
        summary="Money that came after its payment's end and waits for a decision, oldest payment first",
        description="It stands in suspense until an operator accepts it for the merchant or returns it to the payer."
        " What is decided on leaves the list.",
        handle=read(list_late_money),
        scope="late_money:read",
        responses={200: LateMoneyPage},
        codes=READ,
        parameters=(any_text("merchant_id", "Only of this merchant."), *page_of(LATE_MONEY)),
        callers="operator",
    ),
    act_endpoint(
        _TARGET,
        "accept",
        "acceptLateMoney",
        "Accept all late money of a payment for its merchant",
        "It can then be refunded and disputed like captured money.",
        "late_money.accept",
        _accept,
        "no_late_money",
        "approval_needed",
    ),
    act_endpoint(
        _TARGET,
        "return",
        "returnLateMoney",
        "Return all late money of a payment to its payer",
        "It is refunded at the provider. `result` is how the return began; what came of it is in the payment's trace,"
        " and where the provider refused, the money waits in the list as before.",
        "late_money.return",
        _give_back,
        "no_late_money",
        "approval_needed",
    ),
    *owner_endpoints(_TARGET, "late_money", ("takeLateMoney", "handLateMoneyOn", "giveLateMoneyBack")),
)
