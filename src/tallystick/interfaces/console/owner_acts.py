"""Who looks at a row of a list: the acts that every list has whose rows have no place for an owner."""

from __future__ import annotations

from collections.abc import Mapping

from tallystick.domain.operator_act import AskedAct, OperatorAct
from tallystick.flows.operations import work_owners
from tallystick.flows.runtime import Runtime
from tallystick.interfaces.console.work_list import Field, ListAct
from tallystick.oversight.console import OwnedList


def owner_acts(of_list: OwnedList) -> tuple[ListAct, ...]:
    """Take, hand on, give back."""

    async def take(runtime: Runtime, asked: AskedAct, fields: Mapping[str, str]) -> OperatorAct:
        return await work_owners.take(runtime, asked, of_list, fields.get("owner"))

    async def hand_on(runtime: Runtime, asked: AskedAct, fields: Mapping[str, str]) -> OperatorAct:
        return await work_owners.hand_on(runtime, asked, of_list, fields["owner"])

    async def give_back(runtime: Runtime, asked: AskedAct, _: Mapping[str, str]) -> OperatorAct:
        return await work_owners.give_back(runtime, asked, of_list)

    return (
        ListAct(
            name="take",
            label="Take",
            act="work.take",
            says="Somebody looks at the rows: you, or whom you name. Rows that somebody else has stay theirs.",
            do=take,
            fields=(Field(name="owner", label="Owner, if it is not you", required=False),),
        ),
        ListAct(
            name="hand-on",
            label="Hand on",
            act="work.hand_on",
            says="Somebody else has to look at the rows, whoever has them now.",
            do=hand_on,
            fields=(Field(name="owner", label="To whom"),),
        ),
        ListAct(
            name="give-back",
            label="Give back",
            act="work.give_back",
            says="Nobody has the rows any more. Whoever comes next may take them.",
            do=give_back,
        ),
    )
