"""Accounts of providers that an operator paused: they get no calls until somebody resumes them."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, Struct

from tallystick.domain.errors import ProblemField
from tallystick.domain.json_types import AccountName, Actor, ProviderName, Time, described
from tallystick.domain.operator_act import ActName, AskedAct, OperatorAct
from tallystick.domain.operator_views import RecordedActView, act_view
from tallystick.flows.operations import pauses
from tallystick.flows.operations.pauses import UnknownProvider
from tallystick.flows.runtime import Runtime
from tallystick.interfaces.api.act_endpoints import Why
from tallystick.interfaces.api.acts import ACT_KEY, KEYED_ACT_ERRORS, Asked, act_once
from tallystick.interfaces.api.authentication import Caller
from tallystick.interfaces.api.endpoint import ACT, READ, Endpoint, read
from tallystick.interfaces.api.http import ApiRequest, HttpResponse, json_response
from tallystick.interfaces.api.problems import invalid_fields
from tallystick.interfaces.api.typed_body import read_typed

PATH: Final = "/v1/provider-pauses"

#: A day: who needs longer resumes later.
MOST_SECONDS: Final = 86_400

_Name = Annotated[str, Meta(min_length=1, max_length=100)]
_Seconds = Annotated[int, Meta(ge=1, le=MOST_SECONDS)]


class PauseView(Struct, frozen=True, kw_only=True):
    """An account that an operator paused."""

    provider: ProviderName
    account: AccountName
    actor: Actor
    since: Annotated[Time, described("When it was paused.")]
    until: Annotated[Time | None, described("When it ends by itself; null: when somebody resumes it.")]


class PauseList(Struct, frozen=True, kw_only=True):
    """Every account that is paused."""

    data: Annotated[list[PauseView], described("By provider and account.")]


class PauseBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which account gets no calls, or gets them again, and why."""

    provider: Annotated[_Name, described("The provider's name.", "simulator")]
    account: Annotated[_Name, described("Its account, as configured.", "main")] = "main"
    paused: Annotated[bool, described("Whether it is paused from now on; `false` resumes it.", True)]
    seconds: Annotated[
        _Seconds | None, described("How long; without it until it is resumed. Of a pause alone.", 600)
    ] = None
    reason: Why


async def list_pauses(runtime: Runtime, _: ApiRequest, __: Caller) -> object:
    """The accounts that are paused."""
    return PauseList(
        data=[
            PauseView(
                provider=each.provider,
                account=each.account,
                actor=each.actor,
                since=each.changed_at,
                until=each.until,
            )
            for each in await pauses.pauses(runtime)
        ]
    )


async def set_pause(runtime: Runtime, request: ApiRequest, caller: Caller) -> HttpResponse:
    """Pause an account, or resume it."""
    body = await read_typed(request, PauseBody)
    if body.seconds is not None and not body.paused:
        wrong = ProblemField("seconds", "invalid_value", "goes with paused only")
        raise invalid_fields([wrong], request.request_id)
    for_ms = None if body.seconds is None else body.seconds * 1_000

    async def do(asked: AskedAct) -> OperatorAct:
        if body.paused:
            return await pauses.pause(runtime, asked, body.account, for_ms)
        return await pauses.resume(runtime, asked, body.account)

    name: ActName = "provider.pause" if body.paused else "provider.resume"
    arguments = {"account": body.account, "for_ms": for_ms}
    wanted = Asked(act=name, target=body.provider, reason=body.reason, arguments=arguments)
    try:
        act = await act_once(runtime, request, caller, wanted, do)
    except UnknownProvider:
        wrong = ProblemField("provider", "invalid_value", "is no provider of this platform")
        raise invalid_fields([wrong], request.request_id) from None
    return json_response(request, act_view(act))


ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    Endpoint(
        method="GET",
        path=PATH,
        name="listProviderPauses",
        summary="Accounts of providers that an operator paused",
        description="They get no calls, from any process.",
        handle=read(list_pauses),
        scope="acts:read",
        responses={200: PauseList},
        codes=READ,
        callers="operator",
    ),
    Endpoint(
        method="POST",
        path=PATH,
        name="setProviderPause",
        summary="Pause an account of a provider, or resume it",
        description=(
            "A paused account gets no calls, from any process, within two seconds. What is asked meanwhile is not sent:"
            " recovery sends it afterwards, or gives it up without a charge when its patience ends."
        ),
        handle=set_pause,
        scope="acts:write",
        responses={200: RecordedActView},
        codes=(*ACT, *KEYED_ACT_ERRORS),
        body_type=PauseBody,
        body_required=True,
        parameters=(ACT_KEY,),
        callers="operator",
    ),
)
