"""Who looks at a row of a list: take, hand on, give back. Every list has the three, in the same words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tallystick.domain.operator_act import AskedAct, OperatorAct
from tallystick.flows.operations.owner_acts import OWNER, OWNER_ACTS, OwnerAct
from tallystick.flows.runtime import Runtime
from tallystick.interfaces.console.work_list import Field, ListAct
from tallystick.oversight.console import WorkList

#: Who is asked to look: one of the operators who may act on the rows.
TO_WHOM: Final = Field(name=OWNER, label="To whom", of_colleagues=True)


def owner_acts(of_list: WorkList) -> tuple[ListAct, ...]:
    """The three of a list."""
    own = OWNER_ACTS[of_list]
    return (
        _act("take", "Take", own.take, "You look at the rows. Rows that somebody else has stay theirs."),
        _act("hand-on", "Hand on", own.hand_on, "Somebody else has to look at them, whoever has them now.", TO_WHOM),
        _act("give-back", "Give back", own.give_back, "Nobody has them any more. Whoever comes next may take them."),
    )


def _act(name: str, label: str, what: OwnerAct, says: str, *fields: Field) -> ListAct:
    async def do(runtime: Runtime, asked: AskedAct, _: Mapping[str, str]) -> OperatorAct:
        return await what.do(runtime, asked)

    return ListAct(name=name, label=label, act=what.act, says=says, do=do, fields=fields)
