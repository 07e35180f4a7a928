"""Late money, for operators: payments whose money came after their end are listed, and it is accepted for the merchant
or returned to the payer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final

from msgspec import Struct

from tallystick.decisions.late_money import NoLateMoney
from tallystick.domain.errors import ProviderNotConfigured, problem
from tallystick.domain.json_types import Amount, Currency, HasMore, NextCursor, PaymentId, ProviderName, Time, described
from tallystick.domain.operator_act import ActName, AskedAct, OperatorAct
from tallystick.domain.operator_views import RecordedActView, act_view
from tallystick.flows.operations import late_money
from tallystick.flows.operations.acts import recorded
from tallystick.flows.operations.late_money import LateMoney
from tallystick.flows.runtime import Runtime
from tallystick.interfaces.api.acts import ACT_KEY, KEYED_ACT_ERRORS, Asked, act_once
from tallystick.interfaces.api.authentication import Caller
from tallystick.interfaces.api.endpoint import ACT, READ, Endpoint, Handle, read
from tallystick.interfaces.api.http import ApiRequest, HttpResponse, json_response
from tallystick.interfaces.api.paging import LATE_MONEY, cut_page
from tallystick.interfaces.api.parameters import any_text, page_of, path_id
from tallystick.interfaces.api.problems import ProblemError, busy, not_found
from tallystick.interfaces.api.routes.rejections import ReasonBody
from tallystick.interfaces.api.typed_body import read_typed

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


def _act(name: ActName, do: Callable[..., Awaitable[Any]]) -> Handle:
    async def handle(runtime: Runtime, request: ApiRequest, caller: Caller) -> HttpResponse:
        payment_id, said = request.id_in_path(), await read_typed(request, ReasonBody)
        if await runtime.reads.merchant_of_late_money(payment_id) is None:
            raise not_found(request.request_id, "payment")

        async def done(asked: AskedAct) -> OperatorAct:
            await do(runtime, payment_id, asked, actor=asked.operator, reason=asked.reason)
            return await recorded(runtime.stores.acts, asked)

        wanted = Asked(act=name, target=payment_id, reason=said.reason)
        try:
            return json_response(request, act_view(await act_once(runtime, request, caller, wanted, done)))
        except NoLateMoney as error:
            raise ProblemError(problem("no_late_money", f"{error}.", request_id=request.request_id)) from None
        except ProviderNotConfigured as error:
            raise busy("not_ready", f"{error}.", request.request_id) from None

    return handle


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
    )


def _endpoint(path: str, name: str, summary: str, description: str, handle: Handle) -> Endpoint:
    return Endpoint(
        method="POST",
        path=f"{PATH}/{{id}}/{path}",
        name=name,
        summary=summary,
        description=description,
        handle=handle,
        scope="late_money:write",
        responses={200: RecordedActView},
        codes=(*ACT, *KEYED_ACT_ERRORS, "not_found", "no_late_money", "approval_needed", "overloaded", "not_ready"),
        body_type=ReasonBody,
        body_required=True,
        parameters=(PAYMENT_ID, ACT_KEY),
        callers="operator",
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
    _endpoint(
        "accept",
        "acceptLateMoney",
        "Accept all late money of a payment for its merchant",
        "It can then be refunded and disputed like captured money.",
        _act("late_money.accept", late_money.accept),
    ),
    _endpoint(
        "return",
        "returnLateMoney",
        "Return all late money of a payment to its payer",
        "It is refunded at the provider. `result` is how the return began; what came of it is in the payment's trace,"
        " and where the provider refused, the money waits in the list as before.",
        _act("late_money.return", late_money.give_back),
    ),
)
