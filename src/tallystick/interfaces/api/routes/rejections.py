"""Rejected cases, for operators: refused transitions are listed, grouped by cause, shown, taken, handed on, ignored,
and processed again by the same guards."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Struct

from tallystick.domain.json_types import Count, HasMore, NextCursor, Time, described
from tallystick.domain.operator_views import (
    AgeMs,
    CaseId,
    Category,
    EventResultView,
    Kind,
    RejectionDetail,
    RejectionView,
    SomeProvider,
    StoredState,
    TriedBy,
    TriedEvent,
    rejection_view,
)
from tallystick.domain.rejected_case import CASE_STATES, CATEGORIES
from tallystick.flows.event_results import KEEP_HOURS
from tallystick.flows.hourly_counts import counted_until
from tallystick.flows.rejections import cases
from tallystick.flows.rejections.cases import CaseResolved, NoSuchCase
from tallystick.flows.rejections.details import detail_of
from tallystick.flows.rejections.rates import REPEATED, results_of_events
from tallystick.flows.rejections.reprocess import NotReprocessable, reprocess
from tallystick.flows.runtime import Runtime
from tallystick.flows.stores import CaseFilter
from tallystick.interfaces.api.act_endpoints import ActTarget, act_endpoint, owner_endpoints
from tallystick.interfaces.api.authentication import Caller
from tallystick.interfaces.api.endpoint import READ, Endpoint, read
from tallystick.interfaces.api.http import ApiRequest
from tallystick.interfaces.api.paging import REJECTIONS, cut_page
from tallystick.interfaces.api.parameters import any_text, integer, one_of, page_of, path_id
from tallystick.interfaces.api.problems import not_found

PATH: Final = "/v1/rejections"

CASE_ID: Final = path_id("case", "case")

#: A day, unless asked otherwise.
DEFAULT_HOURS: Final = 24

#: A case, which several things may stand against.
_TARGET: Final = ActTarget(
    path=PATH,
    parameter=CASE_ID,
    one="case",
    scope="rejections:write",
    missing=(NoSuchCase,),
    refused={CaseResolved: "case_resolved", NotReprocessable: "not_reprocessable"},
    more=("case_resolved", "not_reprocessable", "overloaded"),
)


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
    *owner_endpoints(
        _TARGET,
        "cases",
        ("acknowledgeRejection", "escalateRejection", "giveRejectionBack"),
        ("acknowledge", "escalate", "give-back"),
    ),
    act_endpoint(
        _TARGET,
        "ignore",
        "ignoreRejection",
        "Resolve a case without doing anything",
        "The refusal and the reason stay in the record.",
        "case.ignore",
        cases.ignore,
    ),
    act_endpoint(
        _TARGET,
        "reprocess",
        "reprocessRejection",
        "Process what was refused again, by the very same guards",
        "A provider's event is decided again on the state as it is now, and so is an answer, for which the provider is"
        " asked. `result.came_to` says what the guards said: `accepted` and `agrees` resolve the case, `refused` keeps"
        " it.",
        "case.reprocess",
        reprocess,
    ),
)
