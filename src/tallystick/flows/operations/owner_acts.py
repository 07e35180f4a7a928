"""Take, hand on, give back: who looks at what waits, for every list, in one table. Console, command line and API do
what stands here. Cases and alerts have owners in their own rows, and acts of their own names; others share three."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from msgspec import Struct

from tallystick.domain.operator_act import ActName, AskedAct, OperatorAct
from tallystick.flows.operations import alerts, work_owners
from tallystick.flows.rejections import cases
from tallystick.flows.runtime import Runtime
from tallystick.record.postgres.work_lists import OWNED_LISTS, OwnedList, WorkList

#: What says to whom something is handed on, among the arguments of an act.
OWNER: Final = "owner"

Do = Callable[[Runtime, AskedAct], Awaitable[OperatorAct]]


class OwnerAct(Struct, frozen=True, kw_only=True):
    """One of the three. ``act``: its name in the record. ``do``: raises NotOwned and OwnerUnknown, and what says that
    the thing is not there or has ended."""

    act: ActName
    do: Do


class OwnerActs(Struct, frozen=True, kw_only=True):
    """The three of one list. The one to whom ``hand_on`` gives it is the argument ``OWNER`` of the act."""

    take: OwnerAct
    hand_on: OwnerAct
    give_back: OwnerAct


def _of_rows(of_list: OwnedList) -> OwnerActs:
    """Of a list whose rows have no place for an owner."""

    async def take(runtime: Runtime, asked: AskedAct) -> OperatorAct:
        return await work_owners.take(runtime, asked, of_list)

    async def hand_on(runtime: Runtime, asked: AskedAct) -> OperatorAct:
        return await work_owners.hand_on(runtime, asked, of_list, asked.arguments[OWNER])

    async def give_back(runtime: Runtime, asked: AskedAct) -> OperatorAct:
        return await work_owners.give_back(runtime, asked, of_list)

    return OwnerActs(
        take=OwnerAct(act="work.take", do=take),
        hand_on=OwnerAct(act="work.hand_on", do=hand_on),
        give_back=OwnerAct(act="work.give_back", do=give_back),
    )


async def _hand_case_on(runtime: Runtime, asked: AskedAct) -> OperatorAct:
    return await cases.escalate(runtime, asked, asked.arguments[OWNER])


async def _hand_alert_on(runtime: Runtime, asked: AskedAct) -> OperatorAct:
    return await alerts.hand_on(runtime, asked, asked.arguments[OWNER])


OWNER_ACTS: Final[Mapping[WorkList, OwnerActs]] = {
    **{of_list: _of_rows(of_list) for of_list in OWNED_LISTS},
    "cases": OwnerActs(
        take=OwnerAct(act="case.acknowledge", do=cases.acknowledge),
        hand_on=OwnerAct(act="case.escalate", do=_hand_case_on),
        give_back=OwnerAct(act="case.give_back", do=cases.give_back),
    ),
    "alerts": OwnerActs(
        take=OwnerAct(act="alert.acknowledge", do=alerts.acknowledge),
        hand_on=OwnerAct(act="alert.hand_on", do=_hand_alert_on),
        give_back=OwnerAct(act="alert.give_back", do=alerts.give_back),
    ),
}
