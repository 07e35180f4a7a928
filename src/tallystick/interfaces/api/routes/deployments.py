"""Points of the record that trends show: releases that operators marked, and changes of the configuration."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Final

from msgspec import Meta, Struct

from tallystick.domain.json_types import Actor, Time, described
from tallystick.domain.operator_act import AskedAct, OperatorAct
from tallystick.domain.operator_views import DeploymentId, RecordedActView, act_view
from tallystick.flows.deployments import mark_release
from tallystick.flows.runtime import Runtime
from tallystick.interfaces.api.act_endpoints import Why
from tallystick.interfaces.api.acts import ACT_KEY, KEYED_ACT_ERRORS, Asked, act_once
from tallystick.interfaces.api.authentication import Caller
from tallystick.interfaces.api.endpoint import ACT, READ, Endpoint, read
from tallystick.interfaces.api.http import ApiRequest, HttpResponse, json_response
from tallystick.interfaces.api.parameters import integer
from tallystick.interfaces.api.typed_body import read_typed

PATH: Final = "/v1/deployments"

#: As long as counts are kept.
MOST_DAYS: Final = 365
DEFAULT_DAYS: Final = 30

#: Points on one answer: a dozen releases a day for a month.
MOST_POINTS: Final = 500

ReleaseName = Annotated[str, Meta(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9._+/@:-]*$")]


class DeploymentView(Struct, frozen=True, kw_only=True):
    """One point of the record."""

    id: DeploymentId
    kind: Annotated[
        str,
        described(
            "`release`: an operator marked it. `configuration`: a process began with other settings than the last one"
            " of its role.",
            "release",
            enum=["release", "configuration"],
        ),
    ]
    version: Annotated[str | None, described("The release's name, where one was marked.", "0.4.0")]
    role: Annotated[str | None, described("The role of the process: `serve` or `work`.", "work")]
    host: Annotated[str | None, described("The machine of the process.", "pay-1")]
    changed: Annotated[
        list[str] | None,
        described("The names of the settings that changed; no values. Empty for the first one.", ["TALLYSTICK_HOST"]),
    ]
    process_version: Annotated[str, described("The version of the program that recorded it.", "0.4.0")]
    actor: Actor
    at: Annotated[Time, described("When.")]


class Deployments(Struct, frozen=True, kw_only=True):
    """The points of some days, 500 at most."""

    data: Annotated[list[DeploymentView], described("The newest first.")]


class Release(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A release that was made."""

    version: Annotated[ReleaseName, described("Its name.", "0.4.0")]
    reason: Why


async def list_deployments(runtime: Runtime, request: ApiRequest, _: Caller) -> object:
    """The points of the last days."""
    since = runtime.clock.now() - timedelta(days=request.query["days"])
    points = await runtime.stores.deployments.since(since, MOST_POINTS)
    names = [name for name in DeploymentView.__struct_fields__ if name != "id"]
    data = [DeploymentView(id=each.deployment_id, **{name: getattr(each, name) for name in names}) for each in points]
    return Deployments(data=data)


async def mark(runtime: Runtime, request: ApiRequest, caller: Caller) -> HttpResponse:
    """A release was made."""
    release = await read_typed(request, Release)

    async def do(asked: AskedAct) -> OperatorAct:
        return await mark_release(runtime, asked)

    wanted = Asked(act="release.mark", target=release.version, reason=release.reason)
    act = await act_once(runtime, request, caller, wanted, do)
    return json_response(request, act_view(act))


ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    Endpoint(
        method="GET",
        path=PATH,
        name="listDeployments",
        summary="Releases and changes of the configuration, newest first",
        description="What may be behind a change of a trend.",
        handle=read(list_deployments),
        scope="acts:read",
        responses={200: Deployments},
        codes=READ,
        parameters=(integer("days", 1, MOST_DAYS, DEFAULT_DAYS, "How many days back."),),
        callers="operator",
    ),
    Endpoint(
        method="POST",
        path=PATH,
        name="markRelease",
        summary="Mark a release",
        description=(
            "It is a point of the record, with who marked it and why. A version has one point: marked again, it keeps"
            " the first, and `result.marked_before` says so."
        ),
        handle=mark,
        scope="acts:write",
        responses={200: RecordedActView},
        codes=(*ACT, *KEYED_ACT_ERRORS),
        body_type=Release,
        body_required=True,
        parameters=(ACT_KEY,),
        callers="operator",
    ),
)
