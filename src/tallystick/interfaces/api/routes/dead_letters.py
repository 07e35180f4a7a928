"""Dead letters, for operators: events that bounded retries could not process are listed, replayed or discarded."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final

from msgspec import Meta, Struct

from tallystick.domain.errors import ProblemField, problem
from tallystick.domain.json_types import Count, EventsAsOf, HasMore, NextCursor, Time, described
from tallystick.domain.operator_act import ActName, AskedAct, OperatorAct
from tallystick.flows.operations.acts import recorded
from tallystick.flows.runtime import Runtime
from tallystick.flows.webhooks.inbound.dead_letters import (
    ALL_DEAD_LETTERS,
    MANY,
    DeadLetter,
    DeadLetterFilter,
    DeadLetters,
    NotReplayable,
)
from tallystick.interfaces.api.act_endpoints import ActTarget, owner_endpoints
from tallystick.interfaces.api.acts import ACT_ERRORS, OPTIONAL_ACT_KEY, Asked, act_once
from tallystick.interfaces.api.authentication import Caller
from tallystick.interfaces.api.endpoint import ACT, READ, Endpoint, Handle, read
from tallystick.interfaces.api.http import ApiRequest, HttpResponse, json_response
from tallystick.interfaces.api.paging import DEAD_LETTERS, cut_page
from tallystick.interfaces.api.parameters import any_text, page_of
from tallystick.interfaces.api.problems import ProblemError, invalid_fields, not_found
from tallystick.interfaces.api.routes.provider_events import EVENT_ID
from tallystick.interfaces.api.typed_body import read_typed
from tallystick.oversight.trace.event import EventTrace, trace_event

PATH: Final = "/v1/dead-letters"

_Name = Annotated[str, Meta(min_length=1, max_length=255)]
_Reason = Annotated[str, Meta(min_length=1, max_length=500, pattern=r"\S")]


class DeadLetterPage(Struct, frozen=True, kw_only=True):
    """A page of dead letters."""

    data: Annotated[list[DeadLetter], described("The page, oldest first.")]
    has_more: HasMore
    next_cursor: NextCursor
    as_of: EventsAsOf


class Act(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why one dead letter is replayed or discarded."""

    reason: Annotated[_Reason, described("Why; it is recorded.", "The provider confirmed it by telephone.")]


class ActOnMany(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which dead letters are replayed or discarded, and why: ``all``, or at least one filter."""

    reason: Annotated[_Reason, described("Why; it is recorded.", "The defect of release 0.3.1 is mended.")]
    all: Annotated[bool, described("Every one of them; takes no filter.")] = False
    provider: Annotated[_Name | None, described("Only events of this provider.", "simulator")] = None
    type: Annotated[_Name | None, described("Only events of this type, as the provider names it.")] = None
    merchant_id: Annotated[_Name | None, described("Only events of this merchant.")] = None
    dead_before: Annotated[Time | None, described("Only those that were dead before this time.")] = None


class Acted(Struct, frozen=True, kw_only=True):
    """How many dead letters were replayed or discarded."""

    count: Annotated[Count, described("How many.", 12)]


async def list_dead_letters(runtime: Runtime, request: ApiRequest, _: Caller) -> object:
    """A page of dead letters, oldest first."""
    query, limit = request.query, request.query["limit"]
    which = DeadLetterFilter(provider=query["provider"], type=query["type"], merchant_id=query["merchant_id"])
    as_of = await runtime.stores.lists.events_as_of()
    rows = await runtime.stores.dead_letters.page(which, query["cursor"], limit + 1)
    page = cut_page(DEAD_LETTERS, rows, limit, lambda letter: (letter.received_at, letter.event_id))
    return DeadLetterPage(data=list(page.rows), has_more=page.has_more, next_cursor=page.next_cursor, as_of=as_of)


def _on_one(name: ActName, act_on: Callable[..., Awaitable[None]]) -> Handle:
    async def handle(runtime: Runtime, request: ApiRequest, caller: Caller) -> HttpResponse:
        event_id, act = request.id_in_path(), await read_typed(request, Act)
        stores = runtime.stores
        event = await stores.inbox.event(event_id)
        if event is None:
            raise not_found(request.request_id, "event")

        async def do(asked: AskedAct) -> OperatorAct:
            who, why = asked.operator, asked.reason
            await act_on(stores.dead_letters, event_id, asked, actor=who, reason=why)
            return await recorded(stores.acts, asked)

        wanted = Asked(act=name, target=event_id, reason=act.reason)
        try:
            standing = (event.state, event.replays, event.tries)
            await act_once(runtime, request, caller, wanted, do, standing=standing)
        except NotReplayable as error:
            raise ProblemError(problem("not_replayable", f"{error}.", request_id=request.request_id)) from None
        return json_response(request, await trace_event(stores.inbox, stores.evidence, event_id))

    return handle


def _on_many(name: ActName, act_on: Callable[..., Awaitable[int]]) -> Handle:
    async def handle(runtime: Runtime, request: ApiRequest, caller: Caller) -> HttpResponse:
        act = await read_typed(request, ActOnMany)
        which, stores = _which(act, request), runtime.stores

        async def do(asked: AskedAct) -> OperatorAct:
            who, why = asked.operator, asked.reason
            await act_on(stores.dead_letters, which, asked, actor=who, reason=why)
            return await recorded(stores.acts, asked)

        wanted = Asked(act=MANY[name], target=ALL_DEAD_LETTERS, reason=act.reason, arguments=which.arguments())
        oldest = [(each.event_id, each.replays, each.tries) for each in await stores.dead_letters.page(which, None, 1)]
        done = await act_once(runtime, request, caller, wanted, do, standing=oldest)
        return json_response(request, Acted(count=done.result["count"]))

    return handle


def _which(act: ActOnMany, request: ApiRequest) -> DeadLetterFilter:
    which = DeadLetterFilter(
        provider=act.provider, type=act.type, merchant_id=act.merchant_id, dead_before=act.dead_before
    )
    if act.all == (which != DeadLetterFilter()):
        wrong = ProblemField("all", "invalid_value", "give either all, or at least one filter")
        raise invalid_fields([wrong], request.request_id)
    return which


def _act(path: str, name: str, summary: str, description: str, handle: Handle, response: type[Any]) -> Endpoint:
    """What an operator does with one dead letter (named in the path) or with many (named in the body)."""
    one = "{id}" in path
    return Endpoint(
        method="POST",
        path=f"{PATH}{path}",
        name=name,
        summary=summary,
        description=description,
        handle=handle,
        scope="dead_letters:write",
        responses={200: response},
        codes=(*ACT, *ACT_ERRORS, "not_found", "not_replayable") if one else (*ACT, *ACT_ERRORS),
        body_type=Act if one else ActOnMany,
        body_required=True,
        parameters=(EVENT_ID, OPTIONAL_ACT_KEY) if one else (OPTIONAL_ACT_KEY,),
        callers="operator",
    )


async def _is_there(runtime: Runtime, event_id: str) -> bool:
    return await runtime.stores.inbox.event(event_id) is not None


_TARGET: Final = ActTarget(path=PATH, parameter=EVENT_ID, one="event", scope="dead_letters:write", is_there=_is_there)

ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    Endpoint(
        method="GET",
        path=PATH,
        name="listDeadLetters",
        summary="Events that bounded retries could not process, oldest first",
        description="Events whose tries are used up. Each waits for a decision: replay it or discard it.",
        handle=read(list_dead_letters),
        scope="dead_letters:read",
        responses={200: DeadLetterPage},
        codes=READ,
        parameters=(
            any_text("provider", "Only events of this provider."),
            any_text("type", "Only events of this type, as the provider names it."),
            any_text("merchant_id", "Only events of this merchant."),
            *page_of(DEAD_LETTERS),
        ),
        callers="operator",
    ),
    _act(
        "/{id}/replay",
        "replayDeadLetter",
        "Process one closed event again, by the same rules",
        "An event that was applied has no second effect. The reason is recorded.",
        _on_one("dead_letter.replay", DeadLetters.replay),
        EventTrace,
    ),
    _act(
        "/{id}/discard",
        "discardDeadLetter",
        "Close one dead letter for good",
        "It is never processed again. The reason is recorded.",
        _on_one("dead_letter.discard", DeadLetters.discard),
        EventTrace,
    ),
    _act(
        "/replay",
        "replayDeadLetters",
        "Replay the dead letters that match a filter, or all",
        "They are processed again by the same rules. The reason is recorded with each.",
        _on_many("dead_letter.replay", DeadLetters.replay_all),
        Acted,
    ),
    _act(
        "/discard",
        "discardDeadLetters",
        "Discard the dead letters that match a filter, or all",
        "They are never processed again. The reason is recorded with each.",
        _on_many("dead_letter.discard", DeadLetters.discard_all),
        Acted,
    ),
    *owner_endpoints(_TARGET, "dead_letters", ("takeDeadLetter", "handDeadLetterOn", "giveDeadLetterBack")),
)
