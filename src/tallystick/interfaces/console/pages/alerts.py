"""Alerts: conditions of the platform that a person has to know of."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from tallystick.domain.operator_act import AskedAct, OperatorAct
from tallystick.flows.operations import alerts
from tallystick.flows.runtime import Runtime
from tallystick.interfaces.console.owner_acts import owner_acts
from tallystick.interfaces.console.page import ROOT, PageRequest
from tallystick.interfaces.console.words import at, plural
from tallystick.interfaces.console.work_list import ListAct, WorkPage
from tallystick.interfaces.console.work_pages import pages_of
from tallystick.oversight.console import WorkItem

#: Steps that are shown of one alert: it may have opened a thousand times.
_STEPS: Final = 20

#: Where the rows behind a condition are, by the alert's name. The others are about the machines, and have no rows.
ROWS: Final[Mapping[str, tuple[str, str]]] = {
    "rejected_transition": ("Rejected cases", f"{ROOT}/cases"),
    "case_unassigned": ("Rejected cases", f"{ROOT}/cases?owner=nobody"),
    "unknown_outcome": ("In doubt", f"{ROOT}/in-doubt"),
    "dead_letter_old": ("Dead letters", f"{ROOT}/dead-letters"),
    "dead_letters_ageing": ("Dead letters", f"{ROOT}/dead-letters"),
    "clearing_not_zero": ("Clearing balances", f"{ROOT}#b-books"),
    "repeats_off_trend": ("Trends", f"{ROOT}/trends"),
    "queue_age_rising": ("Trends", f"{ROOT}/trends?over=6h"),
    "circuit_open": ("Providers", f"{ROOT}/providers"),
    "contract_drift": ("Providers", f"{ROOT}/providers"),
    "endpoint_given_up": ("Merchants", f"{ROOT}/merchants"),
    "messages_late": ("Merchants", f"{ROOT}/merchants"),
}

#: What a summary names, of what can be found.
_NAMED: Final = re.compile(r"\b(?:pay|evt)_[0-9a-f]{32}\b")


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
        ("configured owner", alert.owner),
        ("opened", plural(alert.openings, "time")),
        *((at(each.at), f"{each.from_state} → {each.to_state} ({each.event}), {each.actor}") for each in steps),
    ]


def leads(item: WorkItem) -> list[tuple[str, str]]:
    """To the rows behind the condition, and to payments and events that its summary names."""
    says = item.says or ""
    rows = ROWS.get(says.partition(" (")[0])
    named = dict.fromkeys(_NAMED.findall(says))
    return [*([rows] if rows else []), *((each, f"{ROOT}/find?q={each}") for each in named)]


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
            name="resolve",
            label="Resolve",
            act="alert.resolve",
            says="You say that it is over. A condition that begins later opens the alert again.",
            do=resolve,
            careful=True,
        ),
        *owner_acts("alerts"),
    ),
    detail=detail,
    of_platform=True,
    of_providers=False,
    leads=leads,
)

PAGES: Final = pages_of(PAGE)
