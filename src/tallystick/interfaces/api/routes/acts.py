"""What operators did, for operators; and notes."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, Struct

from tallystick.domain.errors import ProblemField
from tallystick.domain.json_types import HasMore, NextCursor, described, example_id
from tallystick.domain.operator_act import ACT_NAMES, AskedAct, OperatorAct
from tallystick.domain.operator_views import RecordedActView, act_view
from tallystick.flows.operations.acts import NoSuchTarget, annotate
from tallystick.flows.runtime import Runtime
from tallystick.interfaces.api.act_endpoints import Why
from tallystick.interfaces.api.acts import ACT_KEY, KEYED_ACT_ERRORS, Asked, act_once
from tallystick.interfaces.api.authentication import Caller
from tallystick.interfaces.api.endpoint import ACT, READ, Endpoint, read
from tallystick.interfaces.api.http import ApiRequest, HttpResponse, json_response
from tallystick.interfaces.api.paging import ACTS, cut_page
from tallystick.interfaces.api.parameters import any_text, one_of, page_of, path_id
from tallystick.interfaces.api.problems import invalid_fields, not_found
from tallystick.interfaces.api.typed_body import read_typed

PATH: Final = "/v1/acts"

ACT_ID: Final = path_id("opa", "act")


class ActPage(Struct, frozen=True, kw_only=True):
    """A page of acts."""

    data: Annotated[list[RecordedActView], described("The page, newest first.")]
    has_more: HasMore
    next_cursor: NextCursor


class Note(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A note of an operator on something in the record."""

    target: Annotated[
        Annotated[str, Meta(min_length=1, max_length=255)],
        described("The id of what it is about: a payment, an attempt, an event, a case.", example_id("pay")),
    ]
    reason: Why


async def list_acts(runtime: Runtime, request: ApiRequest, _: Caller) -> object:
    """A page of acts, newest first."""
    query, limit = request.query, request.query["limit"]
    before = None if query["cursor"] is None else query["cursor"][1]
    filters = {"operator": query["operator"], "act": query["act"], "target": query["target"]}
    rows = await runtime.stores.acts.page(before, limit + 1, **filters)
    page = cut_page(ACTS, rows, limit, lambda act: (act.at, act.act_id))
    data = [act_view(act) for act in page.rows]
    return ActPage(data=data, has_more=page.has_more, next_cursor=page.next_cursor)


async def get_act(runtime: Runtime, request: ApiRequest, _: Caller) -> object:
    """One act."""
    act = await runtime.stores.acts.by_id(request.id_in_path())
    if act is None:
        raise not_found(request.request_id, "act")
    return act_view(act)


async def add_note(runtime: Runtime, request: ApiRequest, caller: Caller) -> HttpResponse:
    """A note, kept as an act."""
    note = await read_typed(request, Note)

    async def do(asked: AskedAct) -> OperatorAct:
        return await annotate(runtime, asked)

    try:
        wanted = Asked(act="annotate", target=note.target, reason=note.reason)
        act = await act_once(runtime, request, caller, wanted, do)
    except NoSuchTarget:
        wrong = ProblemField("target", "invalid_value", "is no id of anything that can have a note")
        raise invalid_fields([wrong], request.request_id) from None
    return json_response(request, act_view(act))


ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    Endpoint(
        method="GET",
        path=PATH,
        name="listActs",
        summary="What operators did, newest first",
        description="Each act was recorded together with its effect, and never changes.",
        handle=read(list_acts),
        scope="acts:read",
        responses={200: ActPage},
        codes=READ,
        parameters=(
            any_text("operator", "Only acts of this operator, such as `key:abcdefghij`."),
            one_of("act", ACT_NAMES, "Only acts of this kind."),
            any_text("target", "Only acts on this target."),
            *page_of(ACTS),
        ),
        callers="operator",
    ),
    Endpoint(
        method="GET",
        path=f"{PATH}/{{id}}",
        name="getAct",
        summary="One act of an operator",
        description="Who did what to which target, why, and what it came to.",
        handle=read(get_act),
        scope="acts:read",
        responses={200: RecordedActView},
        codes=(*READ, "not_found"),
        parameters=(ACT_ID,),
        callers="operator",
    ),
    Endpoint(
        method="POST",
        path=PATH,
        name="annotate",
        summary="Add a note to something in the record",
        description="The note is the reason; it is kept as an act, and does nothing else.",
        handle=add_note,
        scope="acts:write",
        responses={200: RecordedActView},
        codes=(*ACT, *KEYED_ACT_ERRORS),
        body_type=Note,
        body_required=True,
        parameters=(ACT_KEY,),
        callers="operator",
    ),
)
