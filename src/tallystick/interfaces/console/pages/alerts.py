"""Alerts: conditions of the platform that a person has to know of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from tallystick.domain.operator_act import AskedAct, OperatorAct
from tallystick.flows.operations import alerts
from tallystick.flows.runtime import Runtime
from tallystick.interfaces.console.page import PageRequest
from tallystick.interfaces.console.words import at, plural
from tallystick.interfaces.console.work_list import ListAct, WorkPage
from tallystick.interfaces.console.work_pages import pages_of
from tallystick.oversight.console import WorkItem

#: Steps that are shown of one alert: it may have opened a thousand times.
_STEPS: Final = 20


async def acknowledge(runtime: Runtime, asked: AskedAct, _: Mapping[str, str]) -> OperatorAct:
    """Somebody looks at it."""
    return await alerts.acknowledge(runtime, asked)


async def resolve(runtime: Runtime, asked: AskedAct, _: Mapping[str, str]) -> OperatorAct:
    """It is over."""
    return await alerts.resolve(runtime, asked)


async def detail(request: PageRequest, item: WorkItem) -> Sequence[tuple[str, str]]:
    """Its runbook, and its newest steps."""
    book = request.runtime.stores.alerts
    alert = await book.find(item.item_id)
    if alert is None:
        return []
    steps = (await book.history(item.item_id))[-_STEPS:]
    return [
        ("runbook", alert.runbook),
        ("opened", plural(alert.openings, "time")),
        *((at(each.at), f"{each.from_state} → {each.to_state} ({each.event}), {each.actor}") for each in steps),
    ]


PAGE: Final = WorkPage(
    name="alerts",
    work="alerts",
    title="Alerts",
    one="alert",
    says="Conditions of the platform that hold now. An alert ends by itself when its condition does; where a person"
    " has to decide, it waits for that.",
    empty="No condition that somebody has to know of holds now.",
    kind="severity",
    own="name",
    choices={"kind": ("page", "notice")},
    acts=(
        ListAct(
            name="acknowledge",
            label="Take",
            act="alert.acknowledge",
            says="You look at the alerts. They are not sent again while they stay as they are.",
            do=acknowledge,
        ),
        ListAct(
            name="resolve",
            label="Resolve",
            act="alert.resolve",
            says="You say that it is over. A condition that begins later opens the alert again.",
            do=resolve,
            careful=True,
        ),
    ),
    detail=detail,
)

PAGES: Final = pages_of(PAGE)
