"""Rejected cases, for operators: refused transitions are listed, grouped by cause, shown, taken, handed on, ignored,
and processed again by the same guards."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final

from msgspec import Meta, Struct

from tallystick.domain.errors import problem
from tallystick.domain.json_types import Count, HasMore, NextCursor, Time, described
from tallystick.domain.operator_act import ActName, AskedAct, OperatorAct
from tallystick.domain.operator_views import (
    AgeMs,
    CaseId,
    Category,
    EventResultView,
    Kind,
    RecordedActView,
    RejectionDetail,
    RejectionView,
    SomeProvider,
    StoredState,
    TriedBy,
    TriedEvent,
    act_view,
    rejection_view,
)
from tallystick.domain.rejected_case import CASE_STATES, CATEGORIES
from tallystick.domain.work_owner import NotOwned, OwnerUnknown
from tallystick.flows.event_results import KEEP_HOURS
from tallystick.flows.hourly_counts import counted_until
from tallystick.flows.rejections import cases
from tallystick.flows.rejections.cases import CaseResolved, NoSuchCase
from tallystick.flows.rejections.details import detail_of
from tallystick.flows.rejections.rates import REPEATED, results_of_events
from tallystick.flows.rejections.reprocess import NotReprocessable, reprocess
from tallystick.flows.runtime import Runtime
from tallystick.flows.stores import CaseFilter
from tallystick.interfaces.api.acts import ACT_KEY, KEYED_ACT_ERRORS, Asked, act_once, owner_problem
from tallystick.interfaces.api.authentication import Caller
from tallystick.interfaces.api.endpoint import ACT, READ, Endpoint, Handle, read
from tallystick.interfaces.api.http import ApiRequest, HttpResponse, json_response
from tallystick.interfaces.api.paging import REJECTIONS, cut_page
from tallystick.interfaces.api.parameters import any_text, integer, one_of, page_of, path_id
from tallystick.interfaces.api.problems import ProblemError, not_found
from tallystick.interfaces.api.typed_body import read_typed

PATH: Final = "/v1/rejections"

CASE_ID: Final = path_id("case", "case")

#: A day, unless asked otherwise.
DEFAULT_HOURS: Final = 24

_Reason = Annotated[str, Meta(min_length=1, max_length=500, pattern=r"\S")]
_Owner = Annotated[str, Meta(min_length=1, max_length=100, pattern=r"\S")]

Why = Annotated[_Reason, described("Why; it is recorded.", "The provider confirmed it by telephone.")]


class RejectionPage(Struct, frozen=True, kw_only=True):
    """A page of cases."""

    data: Annotated[list[RejectionView], described("The page, oldest first.")]
    has_more: HasMore
    next_cursor: NextCursor


class RejectionGroup(Struct, frozen=True, kw_only=True):
    """Cases of one cause that wait: the same edge, tried in the same state by the same means."""

    category: Category
    subject: Kind
    subject_state: StoredState
    event: TriedEvent
    tried_by: TriedBy
    provider: SomeProvider
    cases: Count
    open: Annotated[int, described("Those that nobody has taken.", 1, minimum=0)]
    unassigned: Annotated[int, described("Those without an owner.", 1, minimum=0)]
    oldest_at: Annotated[Time, described("When the oldest was refused.")]
    newest_at: Annotated[Time, described("When the newest was refused.")]
    oldest_age_ms: AgeMs
    example_id: CaseId


class RejectionGroups(Struct, frozen=True, kw_only=True):
    """Every cause with cases that wait. There are as many as edges and states, so the list has no pages."""

    data: Annotated[list[RejectionGroup], described("The group with the oldest case first.")]


class EventResults(Struct, frozen=True, kw_only=True):
    """Counts by hour. There are as many as types of events, so the list has no pages."""

    data: Annotated[list[EventResultView], described("The newest hour first.")]
    as_of: Annotated[Time, described("What was tried until then is counted; of what came later, a part may be.")]


class ReasonBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why an act is done."""

    reason: Why


class HandOnBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """To whom something is handed on, and why."""

    reason: Why
    owner: Annotated[
        _Owner,
        described("Who has to look at it: an enabled operator who may act on it, by name.", "grace"),
    ]


async def list_rejections(runtime: Runtime, request: ApiRequest, _: Caller) -> object:
    """A page of cases, oldest first."""
    query, limit = request.query, request.query["limit"]
    names = ("state", "category", "provider", "merchant_id", "owner", "event", "subject", "subject_state")
    which = CaseFilter(**{name: query[name] for name in names})
    rows = await runtime.stores.cases.page(which, query["cursor"], limit + 1)
    page = cut_page(REJECTIONS, rows, limit, lambda case: (case.created_at, case.case_id))
    now = runtime.clock.now()
    data = [rejection_view(case, now) for case in page.rows]
    return RejectionPage(data=data, has_more=page.has_more, next_cursor=page.next_cursor)


async def list_groups(runtime: Runtime, _: ApiRequest, __: Caller) -> object:
    """Waiting cases by their cause."""
    groups = await runtime.stores.cases.groups()
    names = RejectionGroup.__struct_fields__
    return RejectionGroups(data=[RejectionGroup(**{name: getattr(each, name) for name in names}) for each in groups])


async def get_rejection(runtime: Runtime, request: ApiRequest, _: Caller) -> object:
    """One case with its steps."""
    try:
        return await detail_of(runtime.stores, runtime.reads, runtime.clock.now(), request.id_in_path())
    except NoSuchCase:
        raise not_found(request.request_id, "case") from None


async def list_results(runtime: Runtime, request: ApiRequest, _: Caller) -> object:
    """How often events were stale, or repeated an effect."""
    as_of = counted_until(runtime.clock)
    return EventResults(
        data=list(await results_of_events(runtime.stores, runtime.clock.now(), request.query["hours"])), as_of=as_of
    )


Do = Callable[[Runtime, AskedAct, Any], Awaitable[OperatorAct]]


def _act(name: ActName, body: type[Any], do: Do) -> Handle:
    async def handle(runtime: Runtime, request: ApiRequest, caller: Caller) -> HttpResponse:
        case_id, said = request.id_in_path(), await read_typed(request, body)
        owner = getattr(said, "owner", None)
        wanted = Asked(
            act=name, target=case_id, reason=said.reason, arguments={} if owner is None else {"owner": owner}
        )

        async def done(asked: AskedAct) -> OperatorAct:
            return await do(runtime, asked, owner)

        try:
            act = await act_once(runtime, request, caller, wanted, done)
        except NoSuchCase:
            raise not_found(request.request_id, "case") from None
        except (OwnerUnknown, NotOwned) as error:
            raise owner_problem(error, request.request_id) from None
        except (CaseResolved, NotReprocessable) as error:
            code = "case_resolved" if isinstance(error, CaseResolved) else "not_reprocessable"
            raise ProblemError(problem(code, f"{error}.", request_id=request.request_id)) from None
        return json_response(request, act_view(act))

    return handle


async def _acknowledge(runtime: Runtime, asked: AskedAct, _: None) -> OperatorAct:
    return await cases.acknowledge(runtime, asked)


async def _give_back(runtime: Runtime, asked: AskedAct, _: None) -> OperatorAct:
    return await cases.give_back(runtime, asked)


async def _ignore(runtime: Runtime, asked: AskedAct, _: None) -> OperatorAct:
    return await cases.ignore(runtime, asked)


async def _reprocess(runtime: Runtime, asked: AskedAct, _: None) -> OperatorAct:
    return await reprocess(runtime, asked)


def _endpoint(
    path: str, name: str, summary: str, description: str, handle: Handle, body: type[Any], *errors: str
) -> Endpoint:
    return Endpoint(
        method="POST",
        path=f"{PATH}/{{id}}/{path}",
        name=name,
        summary=summary,
        description=description,
        handle=handle,
        scope="rejections:write",
        responses={200: RecordedActView},
        codes=(*ACT, *KEYED_ACT_ERRORS, "not_found", *errors, "case_resolved", "not_reprocessable", "overloaded"),
        body_type=body,
        body_required=True,
        parameters=(CASE_ID, ACT_KEY),
        callers="operator",
    )


ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    Endpoint(
        method="GET",
        path=PATH,
        name="listRejections",
        summary="Refused transitions that somebody has to look at, oldest first",
        description=(
            "Each refusal that raised an alert is a case. Without `state` the list has those that are not resolved."
        ),
        handle=read(list_rejections),
        scope="rejections:read",
        responses={200: RejectionPage},
        codes=READ,
        parameters=(
            one_of("state", CASE_STATES, "Only cases in this state."),
            one_of("category", CATEGORIES, "Only cases of this category."),
            any_text("provider", "Only cases of this provider."),
            any_text("merchant_id", "Only cases of this merchant."),
            any_text("owner", "Only cases of this owner."),
            any_text("event", "Only cases in which this edge was tried."),
            any_text("subject", "Only cases of this kind of subject."),
            any_text("subject_state", "Only cases that met this state."),
            *page_of(REJECTIONS),
        ),
        callers="operator",
    ),
    Endpoint(
        method="GET",
        path="/v1/rejection-groups",
        name="listRejectionGroups",
        summary="Cases that wait, grouped by their cause",
        description="The same edge, tried in the same state by the same means, is one cause.",
        handle=read(list_groups),
        scope="rejections:read",
        responses={200: RejectionGroups},
        codes=READ,
        callers="operator",
    ),
    Endpoint(
        method="GET",
        path="/v1/event-results",
        name="listEventResults",
        summary="How often events of providers were stale or repeated an effect, counted by hour",
        description=f"Of every type of event, how many tries came to each of {', '.join(f'`{r}`' for r in REPEATED)}.",
        handle=read(list_results),
        scope="rejections:read",
        responses={200: EventResults},
        codes=READ,
        parameters=(integer("hours", 1, KEEP_HOURS, DEFAULT_HOURS, "How many hours back."),),
        callers="operator",
    ),
    Endpoint(
        method="GET",
        path=f"{PATH}/{{id}}",
        name="getRejection",
        summary="One refused transition, with every step of its case",
        description="What was tried, what it met, on what evidence, and what people and rules did about it.",
        handle=read(get_rejection),
        scope="rejections:read",
        responses={200: RejectionDetail},
        codes=(*READ, "not_found"),
        parameters=(CASE_ID,),
        callers="operator",
    ),
    _endpoint(
        "acknowledge",
        "acknowledgeRejection",
        "Take a case",
        "The caller looks at it. What somebody else has stays theirs.",
        _act("case.acknowledge", ReasonBody, _acknowledge),
        ReasonBody,
        "not_owned",
    ),
    _endpoint(
        "escalate",
        "escalateRejection",
        "Hand a case on",
        "Another operator has to look at it, whoever has it.",
        _act("case.escalate", HandOnBody, cases.escalate),
        HandOnBody,
        "owner_unknown",
    ),
    _endpoint(
        "give-back",
        "giveRejectionBack",
        "Give a case back",
        "Nobody looks at it any more.",
        _act("case.give_back", ReasonBody, _give_back),
        ReasonBody,
        "not_owned",
    ),
    _endpoint(
        "ignore",
        "ignoreRejection",
        "Resolve a case without doing anything",
        "The refusal and the reason stay in the record.",
        _act("case.ignore", ReasonBody, _ignore),
        ReasonBody,
    ),
    _endpoint(
        "reprocess",
        "reprocessRejection",
        "Process what was refused again, by the very same guards",
        "A provider's event is decided again on the state as it is now, and so is an answer, for which the provider is"
        " asked. `result.came_to` says what the guards said: `accepted` and `agrees` resolve the case, `refused` keeps"
        " it.",
        _act("case.reprocess", ReasonBody, _reprocess),
        ReasonBody,
    ),
)
