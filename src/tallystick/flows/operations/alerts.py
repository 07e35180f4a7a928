"""Alerts are opened and cleared by their conditions, and acknowledged and resolved by operators: each step is a change
of the alert's own stream."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tallystick.decisions import alerts
from tallystick.decisions.alerts import AlertResolved
from tallystick.decisions.change_builder import Cause
from tallystick.decisions.operator_acts import carrying
from tallystick.domain.alert import Alert, Found
from tallystick.domain.change import Change
from tallystick.domain.errors import Overloaded, TallystickError
from tallystick.domain.operator_act import AskedAct, OperatorAct
from tallystick.flows.operations.owners import colleague
from tallystick.flows.runtime import Runtime
from tallystick.kit.ids import derived_id, new_id
from tallystick.kit.logs import get_logger
from tallystick.record.journal import Fresh

__all__ = [
    "AlertResolved",
    "NoSuchAlert",
    "acknowledge",
    "alert_id_of",
    "clear",
    "give_back",
    "hand_on",
    "raise_alert",
    "resolve",
]

log = get_logger("tallystick.flows.operations.alerts")

#: Who opens and clears alerts, in the history.
ACTOR: Final = "watch"

#: An act that loses so many races in a row is on an alert that changes all the time: nothing was written.
RACES: Final = 20


class NoSuchAlert(TallystickError):
    """There is no such alert."""


def alert_id_of(name: str, about: str) -> str:
    """The id of the alert of a condition about something: always the same, so that two workers open one."""
    return derived_id("alr", name, about)


async def raise_alert(runtime: Runtime, known: Alert | None, found: Found) -> bool:
    """A condition holds: open its alert, unless it says so already. Returns whether this opened it. Another worker may
    have been faster. Raises what the journal raises."""
    book, alert_id = runtime.stores.alerts, alert_id_of(found.name, found.about)
    change = alerts.raised(known, alert_id, book.merchant_id, found, _cause(runtime, "condition"))
    if change is None or not isinstance(await runtime.journal.commit(change), Fresh):
        return False
    alert = change.one(Alert)
    assert alert is not None, "the change opens it"
    log.error(
        "alert opened",
        alert_id=alert_id,
        name=found.name,
        about=found.about,
        severity=found.severity,
        owner=found.owner,
        summary=found.summary,
        detected_in_ms=alert.detected_in_ms,
        next=f"tallystick alerts show {alert_id}",
    )
    return True


async def clear(runtime: Runtime, alert: Alert) -> bool:
    """The condition holds no longer. Returns whether this resolved the alert. Raises what the journal raises."""
    change = alerts.cleared(alert, _cause(runtime, "condition"))
    if not isinstance(await runtime.journal.commit(change), Fresh):
        return False
    log.info("alert cleared", alert_id=alert.alert_id, name=alert.name, about=alert.about)
    return True


async def acknowledge(runtime: Runtime, asked: AskedAct) -> OperatorAct:
    """The operator looks at it. Raises NoSuchAlert, AlertResolved, NotOwned where somebody else does, Overloaded."""
    return await _moved(runtime, asked, lambda alert, cause: alerts.acknowledge(alert, asked.operator, cause))


async def hand_on(runtime: Runtime, asked: AskedAct, to: str) -> OperatorAct:
    """Another operator has to look at it. Raises NoSuchAlert, AlertResolved, OwnerUnknown and Overloaded."""
    owner = await colleague(runtime, to, None)
    return await _moved(runtime, asked, lambda alert, cause: alerts.hand_on(alert, owner, cause))


async def give_back(runtime: Runtime, asked: AskedAct) -> OperatorAct:
    """Nobody looks at it any more. Raises NoSuchAlert, AlertResolved, NotOwned where nobody did, and Overloaded."""
    return await _moved(runtime, asked, alerts.give_back)


async def resolve(runtime: Runtime, asked: AskedAct) -> OperatorAct:
    """An operator says that it is over. Raises NoSuchAlert, AlertResolved and Overloaded."""
    return await _moved(runtime, asked, lambda alert, cause: alerts.resolve(alert, asked.operator, cause))


async def _moved(runtime: Runtime, asked: AskedAct, decide: Callable[[Alert, Cause], Change]) -> OperatorAct:
    change_id = new_id("chg")
    for _ in range(RACES):
        alert = await runtime.stores.alerts.find(asked.target)
        if alert is None:
            raise NoSuchAlert(f"there is no alert {asked.target}")
        cause = Cause(
            change_id=change_id,
            at=runtime.clock.now(),
            trigger="operator",
            actor=asked.operator,
            evidence={"operator": {"reason": asked.reason}},
        )
        change = decide(alert, cause)
        moved = change.one(Alert)
        assert moved is not None, "the change moves it"
        change = carrying(asked, change, cause.at, alert={"id": moved.alert_id, "state": moved.state})
        if isinstance(await runtime.journal.commit(change), Fresh) and change.act is not None:
            return change.act
    raise Overloaded("the alert is changed by too many others")


def _cause(runtime: Runtime, trigger: str) -> Cause:
    return Cause(change_id=new_id("chg"), at=runtime.clock.now(), trigger=trigger, actor=ACTOR)
