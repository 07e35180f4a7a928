"""Who looks at a row of a list: take, hand on, give back. Every list has the three, in the same words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tallystick.domain.operator_act import ActName, AskedAct, OperatorAct
from tallystick.flows.operations import work_owners
from tallystick.flows.runtime import Runtime
from tallystick.interfaces.console.work_list import Do, Field, ListAct
from tallystick.oversight.console import OwnedList

#: Who is asked to look: one of the operators who may act on the rows.
TO_WHOM: Final = Field(name="owner", label="To whom", of_colleagues=True)


def owner_acts(of_list: OwnedList) -> tuple[ListAct, ...]:
    """Of a list whose rows have no place for an owner."""

    async def take(runtime: Runtime, asked: AskedAct, _: Mapping[str, str]) -> OperatorAct:
        return await work_owners.take(runtime, asked, of_list)

    async def hand_on(runtime: Runtime, asked: AskedAct, fields: Mapping[str, str]) -> OperatorAct:
        return await work_owners.hand_on(runtime, asked, of_list, fields["owner"])

    async def give_back(runtime: Runtime, asked: AskedAct, _: Mapping[str, str]) -> OperatorAct:
        return await work_owners.give_back(runtime, asked, of_list)

    return three_acts(("work.take", take), ("work.hand_on", hand_on), ("work.give_back", give_back))


def three_acts(
    take: tuple[ActName, Do], hand_on: tuple[ActName, Do], give_back: tuple[ActName, Do]
) -> tuple[ListAct, ...]:
    """Of any list, with the names by which its acts are recorded."""
    return (
        ListAct(
            name="take",
            label="Take",
            act=take[0],
            says="You look at the rows. Rows that somebody else has stay theirs.",
            do=take[1],
        ),
        ListAct(
            name="hand-on",
            label="Hand on",
            act=hand_on[0],
            says="Somebody else has to look at the rows, whoever has them now.",
            do=hand_on[1],
            fields=(TO_WHOM,),
        ),
        ListAct(
            name="give-back",
            label="Give back",
            act=give_back[0],
            says="Nobody has the rows any more. Whoever comes next may take them.",
            do=give_back[1],
        ),
    )
