"""How many webhook deliveries were rejected, for operators; and kinds of them, which are taken and closed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final

from msgspec import Struct
from msgspec.structs import asdict

from tallystick.domain.errors import problem
from tallystick.domain.json_types import AccountName, Count, Hour, ProviderName, Time, described
from tallystick.domain.operator_act import ActName, AskedAct, OperatorAct
from tallystick.domain.operator_views import RecordedActView, RefusedKindView, act_view
from tallystick.domain.work_owner import NotOwned, OwnerUnknown
from tallystick.flows.hourly_counts import counted_until
from tallystick.flows.operations import refusals, work_owners
from tallystick.flows.operations.refusals import RefusalsClosed
from tallystick.flows.runtime import Runtime
from tallystick.flows.webhooks.inbound.rejected import KEEP_HOURS
from tallystick.interfaces.api.acts import ACT_KEY, KEYED_ACT_ERRORS, Asked, act_once, owner_problem
from tallystick.interfaces.api.authentication import Caller
from tallystick.interfaces.api.endpoint import ACT, READ, Endpoint, Handle, read
from tallystick.interfaces.api.http import ApiRequest, HttpResponse, json_response
from tallystick.interfaces.api.parameters import integer, path_id
from tallystick.interfaces.api.problems import ProblemError, not_found
from tallystick.interfaces.api.routes.rejections import HandOnBody, ReasonBody
from tallystick.interfaces.api.typed_body import read_typed

PATH: Final = "/v1/webhook-refusals"

KIND_ID: Final = path_id("wrf", "kind of refused webhooks")

#: A day, unless asked otherwise.
DEFAULT_HOURS: Final = 24


class RefusedWebhooks(Struct, frozen=True, kw_only=True):
    """How many deliveries were rejected for one reason in one hour."""

    provider: ProviderName
    account: AccountName
    reason: Annotated[str, described("The error code of the response.", "webhook_signature_invalid")]
    hour: Hour
    count: Count


class WebhookRefusals(Struct, frozen=True, kw_only=True):
    """Counts by hour. There are a few for each configured account, so the list has no pages."""

    data: Annotated[list[RefusedWebhooks], described("The newest hour first.")]
    waiting: Annotated[
        list[RefusedKindView],
        described("What each account refused for one reason since somebody last closed it, the oldest first."),
    ]
    as_of: Annotated[Time, described("What came until then is counted; of what came later, a part may be.")]


async def list_refusals(runtime: Runtime, request: ApiRequest, _: Caller) -> object:
    """The counts of the last ``hours`` hours."""
    as_of = counted_until(runtime.clock)
    counts = await runtime.stores.refused_webhooks.of_last(request.query["hours"])
    data = [RefusedWebhooks(**asdict(row)) for row in counts]
    return WebhookRefusals(data=data, waiting=list(await refusals.waiting(runtime)), as_of=as_of)


def _act(name: ActName, do: Callable[..., Awaitable[OperatorAct]], body: type[Any] = ReasonBody) -> Handle:
    async def handle(runtime: Runtime, request: ApiRequest, caller: Caller) -> HttpResponse:
        kind_id, said = request.id_in_path(), await read_typed(request, body)
        owner = getattr(said, "owner", None)
        if not await refusals.counts_of(runtime, kind_id):
            raise not_found(request.request_id, "kind of refused webhooks")

        async def done(asked: AskedAct) -> OperatorAct:
            return await (do(runtime, asked) if owner is None else do(runtime, asked, owner))

        arguments = {} if owner is None else {"owner": owner}
        wanted = Asked(act=name, target=kind_id, reason=said.reason, arguments=arguments)
        try:
            return json_response(request, act_view(await act_once(runtime, request, caller, wanted, done)))
        except RefusalsClosed as error:
            raise ProblemError(problem("refusals_closed", f"{error}.", request_id=request.request_id)) from None
        except (OwnerUnknown, NotOwned) as error:
            raise owner_problem(error, request.request_id) from None

    return handle


async def _take(runtime: Runtime, asked: AskedAct) -> OperatorAct:
    return await work_owners.take(runtime, asked, "refused_webhooks")


async def _hand_on(runtime: Runtime, asked: AskedAct, to: str) -> OperatorAct:
    return await work_owners.hand_on(runtime, asked, "refused_webhooks", to)


async def _give_back(runtime: Runtime, asked: AskedAct) -> OperatorAct:
    return await work_owners.give_back(runtime, asked, "refused_webhooks")


def _endpoint(
    path: str,
    name: str,
    summary: str,
    description: str,
    handle: Handle,
    *errors: str,
    body: type[Any] = ReasonBody,
) -> Endpoint:
    return Endpoint(
        method="POST",
        path=f"{PATH}/{{id}}/{path}",
        name=name,
        summary=summary,
        description=description,
        handle=handle,
        scope="webhook_refusals:write",
        responses={200: RecordedActView},
        codes=(*ACT, *KEYED_ACT_ERRORS, "not_found", *errors, "overloaded"),
        body_type=body,
        body_required=True,
        parameters=(KIND_ID, ACT_KEY),
        callers="operator",
    )


ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    Endpoint(
        method="GET",
        path=PATH,
        name="listWebhookRefusals",
        summary="Rejected webhook deliveries, counted by hour and reason",
        description="How many deliveries of providers were rejected, by account, reason and hour.",
        handle=read(list_refusals),
        scope="webhook_refusals:read",
        responses={200: WebhookRefusals},
        codes=READ,
        parameters=(integer("hours", 1, KEEP_HOURS, DEFAULT_HOURS, "How many hours back."),),
        callers="operator",
    ),
    _endpoint(
        "close",
        "closeWebhookRefusals",
        "Close what an account refused for one reason",
        "What was counted until now needs nobody any more; what is refused after that waits anew.",
        _act("webhook_refusal.close", refusals.close),
        "refusals_closed",
    ),
    _endpoint(
        "take",
        "takeWebhookRefusals",
        "Take what an account refused for one reason",
        "The caller looks at it. What somebody else has stays theirs.",
        _act("work.take", _take),
        "not_owned",
    ),
    _endpoint(
        "hand-on",
        "handWebhookRefusalsOn",
        "Hand on what an account refused for one reason",
        "Another operator has to look at it, whoever has it.",
        _act("work.hand_on", _hand_on, HandOnBody),
        "not_owned",
        "owner_unknown",
        body=HandOnBody,
    ),
    _endpoint(
        "give-back",
        "giveWebhookRefusalsBack",
        "Give back what an account refused for one reason",
        "Nobody looks at it any more.",
        _act("work.give_back", _give_back),
        "not_owned",
    ),
)
