"""Alerts, for operators: what a person has to know of, acknowledged and resolved."""

from __future__ import annotations

from typing import Annotated, Any, Final

from msgspec import Struct

from tallystick.domain.alert import ALERT_STATES
from tallystick.domain.json_types import Actor, Time, described
from tallystick.domain.operator_views import AlertView, alert_view
from tallystick.flows.operations import alerts
from tallystick.flows.operations.alerts import AlertResolved, NoSuchAlert
from tallystick.flows.runtime import Runtime
from tallystick.interfaces.api.act_endpoints import ActTarget, act_endpoint, owner_endpoints
from tallystick.interfaces.api.authentication import Caller
from tallystick.interfaces.api.endpoint import READ, Endpoint, read
from tallystick.interfaces.api.http import ApiRequest
from tallystick.interfaces.api.parameters import one_of, path_id
from tallystick.interfaces.api.problems import not_found

PATH: Final = "/v1/alerts"

ALERT_ID: Final = path_id("alr", "alert")

_TARGET: Final = ActTarget(
    path=PATH,
    parameter=ALERT_ID,
    one="alert",
    scope="alerts:write",
    missing=(NoSuchAlert,),
    refused={AlertResolved: "alert_resolved"},
    more=("alert_resolved", "overloaded"),
)


class AlertList(Struct, frozen=True, kw_only=True):
    """Alerts. There are as many as conditions and what they are about, so the list has no pages."""

    data: Annotated[list[AlertView], described("Those that page first, and then the oldest first.")]


class AlertStepView(Struct, frozen=True, kw_only=True):
    """One step of an alert."""

    version: Annotated[int, described("Which step it is.", 1, minimum=1)]
    event: Annotated[str, described("What happened.", "open")]
    from_state: Annotated[str, described("The state before it.", "new")]
    to_state: Annotated[str, described("The state after it.", "open")]
    actor: Actor
    at: Annotated[Time, described("When.")]


class AlertDetail(Struct, frozen=True, kw_only=True):
    """An alert with every step of its history."""

    alert: Annotated[AlertView, described("The alert as it stands.")]
    steps: Annotated[list[AlertStepView], described("Every step, the oldest first: each time that it opened.")]


async def list_alerts(runtime: Runtime, request: ApiRequest, _: Caller) -> object:
    """Those that are not resolved, or those in one state."""
    state = request.query["state"]
    rows = [
        each
        for each in await runtime.stores.alerts.all()
        if (each.state == state if state is not None else each.state != "resolved")
    ]
    rows.sort(key=lambda each: (each.severity != "page", each.opened_at))
    return AlertList(data=[alert_view(each) for each in rows])


async def get_alert(runtime: Runtime, request: ApiRequest, _: Caller) -> object:
    """One alert with its steps."""
    book, alert_id = runtime.stores.alerts, request.id_in_path()
    alert = await book.find(alert_id)
    if alert is None:
        raise not_found(request.request_id, "alert")
    names = AlertStepView.__struct_fields__
    steps = await book.history(alert_id)
    return AlertDetail(
        alert=alert_view(alert),
        steps=[AlertStepView(**{name: getattr(each, name) for name in names}) for each in steps],
    )


def _read(path: str, name: str, summary: str, description: str, view: Any, body: type[Any], **more: Any) -> Endpoint:
    return Endpoint(
        method="GET",
        path=path,
        name=name,
        summary=summary,
        description=description,
        handle=read(view),
        scope="alerts:read",
        responses={200: body},
        callers="operator",
        **more,
    )


ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    _read(
        PATH,
        "listAlerts",
        "Conditions that a person has to know of",
        "Without `state` the list has those that are not resolved.",
        list_alerts,
        AlertList,
        codes=READ,
        parameters=(one_of("state", ALERT_STATES, "Only alerts in this state."),),
    ),
    _read(
        f"{PATH}/{{id}}",
        "getAlert",
        "One alert, with each time that it opened",
        "Who acknowledged it and who resolved it is in its steps; the reason is in the act of theirs.",
        get_alert,
        AlertDetail,
        codes=(*READ, "not_found"),
        parameters=(ALERT_ID,),
    ),
    *owner_endpoints(
        _TARGET,
        "alerts",
        ("acknowledgeAlert", "handAlertOn", "giveAlertBack"),
        ("acknowledge", "hand-on", "give-back"),
        "Nobody looks at it any more: it is open again, and webhooks are told so.",
    ),
    act_endpoint(
        _TARGET,
        "resolve",
        "resolveAlert",
        "Say that an alert is over",
        "It opens again when its condition begins to hold once more; not while it holds as it did.",
        "alert.resolve",
        alerts.resolve,
    ),
)
