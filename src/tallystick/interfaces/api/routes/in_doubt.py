"""Attempts in doubt, for operators: what bounded recovery could not resolve is listed, and resolved with evidence."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, Struct

from tallystick.domain.finding import FINDINGS
from tallystick.domain.json_types import (
    Amount,
    Currency,
    HasMore,
    NextCursor,
    PaymentId,
    ProviderName,
    TakenBy,
    described,
    example_id,
    id_pattern,
)
from tallystick.domain.operator_act import AskedAct, OperatorAct
from tallystick.domain.operator_views import AgeMs
from tallystick.flows.operations.acts import recorded
from tallystick.flows.recovery import in_doubt
from tallystick.flows.recovery.in_doubt import NotInDoubt, Parked
from tallystick.flows.runtime import Runtime
from tallystick.interfaces.api.act_endpoints import ActTarget, Why, act_endpoint, owner_endpoints
from tallystick.interfaces.api.authentication import Caller
from tallystick.interfaces.api.endpoint import READ, Endpoint, read
from tallystick.interfaces.api.http import ApiRequest
from tallystick.interfaces.api.paging import IN_DOUBT, cut_page
from tallystick.interfaces.api.parameters import any_text, page_of, path_id

PATH: Final = "/v1/in-doubt"

ATTEMPT_ID: Final = path_id("att", "attempt")

_Proof = Annotated[str, Meta(min_length=1, max_length=2_000, pattern=r"\S")]
_Reference = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"\S")]
_Outcome = Annotated[str, Meta(pattern=f"^({'|'.join(FINDINGS)})$")]


class InDoubtView(Struct, frozen=True, kw_only=True):
    """One call to a provider of which nobody knows what became of it."""

    id: Annotated[str, described("The attempt's id.", example_id("att"), pattern=id_pattern("att"))]
    payment_id: PaymentId
    merchant_id: Annotated[str, described("Whose the payment is.", "shop")]
    operation: Annotated[str, described("What the provider was asked to do.", "capture")]
    amount: Amount
    currency: Currency
    state: Annotated[str, described("What is known of the attempt.", "unknown")]
    provider: ProviderName
    provider_reference: Annotated[str | None, described("The provider's name for it, where one is known.", "ch_8f2d")]
    owner: Annotated[str, described("Who has to look at it, as configured.", "payments-on-call")]
    parked_for_ms: AgeMs
    overdue: Annotated[bool, described("Whether it has waited for longer than the alarm allows.", False)]
    key_taken: Annotated[bool, described("Whether the provider has another request under the attempt's key.", False)]
    taken_by: TakenBy = None


class InDoubtPage(Struct, frozen=True, kw_only=True):
    """A page of what waits."""

    data: Annotated[list[InDoubtView], described("The oldest first.")]
    has_more: HasMore
    next_cursor: NextCursor


class Finding(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an operator found at the provider, the proof, and why it is resolved by hand."""

    outcome: Annotated[_Outcome, described("What happened at the provider.", "executed", enum=list(FINDINGS))]
    evidence: Annotated[
        _Proof, described("The proof: a statement line, a ticket, a file name.", "statement 12, line 4")
    ]
    reason: Why
    reference: Annotated[
        _Reference | None,
        described(
            "The provider's reference. Required where a charge was executed that the record cannot name, and where the"
            " attempt's key was used for another request.",
            "ch_8f2d",
        ),
    ] = None


async def list_in_doubt(runtime: Runtime, request: ApiRequest, _: Caller) -> object:
    """A page of attempts in doubt, oldest first."""
    query, limit = request.query, request.query["limit"]
    book = runtime.stores.schedule_book
    rows = await in_doubt.parked_attempts(runtime, book, query["merchant_id"], limit + 1, query["cursor"])
    page = cut_page(IN_DOUBT, rows, limit, lambda each: (each.parked_at, each.attempt.attempt_id))
    return InDoubtPage(data=[*map(_view, page.rows)], has_more=page.has_more, next_cursor=page.next_cursor)


async def _is_there(runtime: Runtime, attempt_id: str) -> bool:
    return await runtime.stores.schedule_book.attempt(attempt_id) is not None


async def _resolve(runtime: Runtime, asked: AskedAct) -> OperatorAct:
    """Resolve one attempt by hand."""
    found, book = asked.arguments, runtime.stores.schedule_book
    words = {"evidence": found["evidence"], "actor": asked.operator, "reason": asked.reason}
    reference = found.get("reference")
    await in_doubt.resolve(runtime, book, asked.target, found["outcome"], asked, **words, reference=reference)
    return await recorded(runtime.stores.acts, asked)


_TARGET: Final = ActTarget(
    path=PATH,
    parameter=ATTEMPT_ID,
    one="attempt",
    scope="in_doubt:write",
    is_there=_is_there,
    refused={NotInDoubt: "not_in_doubt"},
)


def _view(parked: Parked) -> InDoubtView:
    attempt = parked.attempt
    return InDoubtView(
        id=attempt.attempt_id,
        payment_id=attempt.payment_id,
        merchant_id=attempt.merchant_id,
        operation=attempt.operation,
        amount=attempt.amount,
        currency=attempt.currency,
        state=attempt.state,
        provider=attempt.provider,
        provider_reference=attempt.provider_reference,
        owner=parked.owner,
        parked_for_ms=parked.parked_for_ms,
        overdue=parked.overdue,
        key_taken=attempt.key_taken,
        taken_by=parked.taken_by,
    )


ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    Endpoint(
        method="GET",
        path=PATH,
        name="listInDoubt",
        summary="Calls to providers of which nobody knows what became of them, oldest first",
        description="Bounded recovery could not resolve them: a person looks into the provider's own books. What is"
        " resolved leaves the list.",
        handle=read(list_in_doubt),
        scope="in_doubt:read",
        responses={200: InDoubtPage},
        codes=READ,
        parameters=(any_text("merchant_id", "Only of this merchant."), *page_of(IN_DOUBT)),
        callers="operator",
    ),
    act_endpoint(
        _TARGET,
        "resolve",
        "resolveInDoubt",
        "Resolve one attempt by what was found at the provider",
        "The finding goes through the same decisions as a provider's answer. Evidence, reason and who did it are"
        " kept in the history.",
        "attempt.resolve",
        _resolve,
        "not_in_doubt",
        "approval_needed",
        body=Finding,
    ),
    *owner_endpoints(_TARGET, "in_doubt", ("takeInDoubt", "handInDoubtOn", "giveInDoubtBack")),
)
