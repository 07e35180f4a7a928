"""Erasures of personal fields, for operators: asked for, and listed with how far they are. People approve them."""

from __future__ import annotations

from typing import Annotated, Any, Final

from msgspec import Struct

from tallystick.domain.errors import ProblemField, problem
from tallystick.domain.json_types import Actor, HasMore, NextCursor, PaymentId, Time, described, example_id, id_pattern
from tallystick.flows.compliance.erasure import MERCHANT, PAYMENT, NotErasable, NothingToErase
from tallystick.flows.compliance.erasures_asked import STATES, AskedErasure, asked_erasure, asked_erasures
from tallystick.flows.runtime import Runtime
from tallystick.interfaces.api.act_endpoints import Why
from tallystick.interfaces.api.acts import ACT_KEY, KEYED_ACT_ERRORS, Asked, ask_once
from tallystick.interfaces.api.authentication import Caller
from tallystick.interfaces.api.endpoint import ACT, READ, Endpoint, read
from tallystick.interfaces.api.http import ApiRequest, HttpResponse, json_response
from tallystick.interfaces.api.paging import ERASURES, cut_page
from tallystick.interfaces.api.parameters import page_of, path_id
from tallystick.interfaces.api.problems import ProblemError, invalid_fields, not_found
from tallystick.interfaces.api.typed_body import read_typed

PATH: Final = "/v1/erasures"

ERASURE_ID: Final = path_id("apr", "request for an erasure")


class ErasureView(Struct, frozen=True, kw_only=True):
    """A request to erase what is personal, and how far it is."""

    id: Annotated[str, described("The request's id.", example_id("apr"), pattern=id_pattern("apr"))]
    state: Annotated[
        str,
        described(
            "`waiting` for people, `erasing` from their approval until the last page, `erased` at the end. Of one"
            " payment both are one moment. `void`: what was shown had changed.",
            "waiting",
            enum=list(STATES),
        ),
    ]
    merchant_id: Annotated[str, described("Whose data it is about.", "shop")]
    payment_id: Annotated[
        PaymentId | None,
        described("The payment; null for all that the merchant had when it was approved.", example_id("pay")),
    ]
    reason: Annotated[str, described("Why it was asked for.", "the payer asked for it")]
    requested_by: Actor
    requested_at: Annotated[Time, described("When it was asked for.")]
    expires_at: Annotated[Time, described("Until when people may decide.")]
    approvals_needed: Annotated[int, described("How many people have to approve it.", 2, minimum=1)]
    approved_by: Annotated[list[Actor], described("Who has approved it.", ["operator:ada"])]
    ended_at: Annotated[Time | None, described("When people had decided; null while it waits.", None)]
    payments: Annotated[int, described("How many payments are erased so far.", 0, minimum=0)]
    events: Annotated[int, described("How many events of providers have no bytes any more.", 0, minimum=0)]
    finished_at: Annotated[Time | None, described("When all of it was erased; null before.", None)]


class ErasurePage(Struct, frozen=True, kw_only=True):
    """A page of requests for erasures."""

    data: Annotated[list[ErasureView], described("The page, the one that was asked for last first.")]
    has_more: HasMore
    next_cursor: NextCursor


class EraseBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be erased: one payment, or all that a merchant has."""

    reason: Why
    payment_id: Annotated[PaymentId | None, described("Of one payment.", example_id("pay"))] = None
    merchant_id: Annotated[
        str | None, described("Of all payments that the merchant has when it is approved.", "shop")
    ] = None


async def list_erasures(runtime: Runtime, request: ApiRequest, _: Caller) -> object:
    """A page of requests."""
    query, limit = request.query, request.query["limit"]
    rows = await asked_erasures(runtime, query["cursor"], limit + 1)
    page = cut_page(ERASURES, rows, limit, lambda each: (each.request.requested_at, each.request.request_id))
    data = [_view(runtime, each) for each in page.rows]
    return ErasurePage(data=data, has_more=page.has_more, next_cursor=page.next_cursor)


async def get_erasure(runtime: Runtime, request: ApiRequest, _: Caller) -> object:
    """One request."""
    found = await asked_erasure(runtime, request.id_in_path())
    if found is None:
        raise not_found(request.request_id, "request for an erasure")
    return _view(runtime, found)


async def ask_for_erasure(runtime: Runtime, request: ApiRequest, caller: Caller) -> HttpResponse:
    """Asked for, once under its key. Nothing is erased before people have approved it."""
    said = await read_typed(request, EraseBody)
    if (said.payment_id is None) == (said.merchant_id is None):
        wrong = ProblemField("payment_id", "invalid_value", "give one of payment_id and merchant_id")
        raise invalid_fields([wrong], request.request_id)
    about: dict[str, Any] = {"act": MERCHANT, "target": said.merchant_id}
    if said.payment_id is not None:
        about = {"act": PAYMENT, "target": said.payment_id}
    try:
        request_id = await ask_once(runtime, request, caller, Asked(reason=said.reason, **about))
    except NothingToErase:
        raise not_found(request.request_id, "payment" if said.payment_id is not None else "merchant") from None
    except NotErasable as error:
        raise ProblemError(problem("not_erasable", f"{error}.", request_id=request.request_id)) from None
    found = await asked_erasure(runtime, request_id)
    if found is None:
        raise LookupError(f"request {request_id} was asked for and is not recorded")
    return json_response(request, _view(runtime, found))


def _view(runtime: Runtime, each: AskedErasure) -> ErasureView:
    asked, erasure = each.request, each.erasure
    return ErasureView(
        id=asked.request_id,
        state=each.state(runtime.clock.now()),
        merchant_id=each.merchant_id,
        payment_id=each.payment_id,
        reason=asked.reason,
        requested_by=asked.requested_by,
        requested_at=asked.requested_at,
        expires_at=asked.expires_at,
        approvals_needed=asked.needed,
        approved_by=each.approvers,
        ended_at=None if each.outcome is None else each.outcome.at,
        payments=0 if erasure is None else erasure.payments,
        events=0 if erasure is None else erasure.events,
        finished_at=None if erasure is None else erasure.finished_at,
    )


ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    Endpoint(
        method="GET",
        path=PATH,
        name="listErasures",
        summary="Requests for erasures, the newest first",
        description="What was asked for, by whom, what people said of it, and how far it is.",
        handle=read(list_erasures),
        scope="erasures:read",
        responses={200: ErasurePage},
        codes=READ,
        parameters=page_of(ERASURES),
        callers="operator",
    ),
    Endpoint(
        method="GET",
        path=f"{PATH}/{{id}}",
        name="getErasure",
        summary="One request for an erasure",
        description="How far it is.",
        handle=read(get_erasure),
        scope="erasures:read",
        responses={200: ErasureView},
        codes=(*READ, "not_found"),
        parameters=(ERASURE_ID,),
        callers="operator",
    ),
    Endpoint(
        method="POST",
        path=PATH,
        name="askForErasure",
        summary="Ask for an erasure of personal fields",
        description=(
            "The description and metadata of a payment, and what providers sent about it; or of all payments that a"
            " merchant has. Two people have to approve it at the console, since a key is no person. Until then nothing"
            " is erased; after that it cannot be undone. The same request under the same key is answered with how far"
            " it is."
        ),
        handle=ask_for_erasure,
        scope="erasures:write",
        responses={200: ErasureView},
        codes=(*ACT, *KEYED_ACT_ERRORS, "not_found", "not_erasable", "approval_needed"),
        body_type=EraseBody,
        body_required=True,
        parameters=(ACT_KEY,),
        callers="operator",
    ),
)
