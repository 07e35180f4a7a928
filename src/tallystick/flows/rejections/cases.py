"""What an operator does about a rejected case: each step is a change of the case's own stream, with the act in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from tallystick.decisions import rejected_cases
from tallystick.decisions.change_builder import Cause
from tallystick.decisions.operator_acts import carrying
from tallystick.decisions.rejected_cases import CaseResolved
from tallystick.domain.change import Change
from tallystick.domain.errors import Overloaded, TallystickError
from tallystick.domain.operator_act import AskedAct, OperatorAct
from tallystick.domain.rejected_case import RejectedCase
from tallystick.flows.operations.owners import colleague
from tallystick.flows.runtime import Runtime
from tallystick.kit.ids import new_id
from tallystick.record.journal import Fresh
from tallystick.record.postgres.cases import CaseBook

__all__ = ["CaseResolved", "NoSuchCase", "acknowledge", "escalate", "find", "give_back", "ignore"]

#: An act that loses so many races in a row is on a case that many work on: nothing was written.
RACES: Final = 20


class NoSuchCase(TallystickError):
    """There is no such case."""


async def find(book: CaseBook, case_id: str) -> RejectedCase:
    """One case. Raises NoSuchCase."""
    case = await book.find(case_id)
    if case is None:
        raise NoSuchCase(f"there is no case {case_id}")
    return case


async def acknowledge(runtime: Runtime, asked: AskedAct) -> OperatorAct:
    """The operator takes it. Raises NoSuchCase, CaseResolved, NotOwned where somebody else has it, and Overloaded."""
    return await _moved(runtime, asked, lambda case, cause: rejected_cases.acknowledge(case, asked.operator, cause))


async def escalate(runtime: Runtime, asked: AskedAct, owner: str) -> OperatorAct:
    """Another operator has to look at it. Raises NoSuchCase, CaseResolved, OwnerUnknown and Overloaded."""
    case = await find(runtime.stores.cases, asked.target)
    rejected_cases.require_unresolved(case)
    to = await colleague(runtime, owner, case.merchant_id)
    return await _moved(runtime, asked, lambda case, cause: rejected_cases.escalate(case, to, cause))


async def give_back(runtime: Runtime, asked: AskedAct) -> OperatorAct:
    """Nobody looks at it any more. Raises NoSuchCase, CaseResolved, NotOwned where nobody did, and Overloaded."""
    return await _moved(runtime, asked, rejected_cases.give_back)


async def ignore(runtime: Runtime, asked: AskedAct) -> OperatorAct:
    """Nothing has to be done about it. Raises NoSuchCase, CaseResolved and Overloaded."""
    return await _moved(runtime, asked, rejected_cases.ignore)


async def _moved(runtime: Runtime, asked: AskedAct, decide: Callable[[RejectedCase, Cause], Change]) -> OperatorAct:
    change_id = new_id("chg")
    for _ in range(RACES):
        case = await find(runtime.stores.cases, asked.target)
        cause = cause_of(runtime, asked, change_id)
        change = of_case(asked, decide(case, cause), case, cause)
        if isinstance(await runtime.journal.commit(change), Fresh) and change.act is not None:
            return change.act
    raise Overloaded("the case is changed by too many others")


def cause_of(runtime: Runtime, asked: AskedAct, change_id: str) -> Cause:
    """An operator's act as the cause of steps."""
    return Cause(
        change_id=change_id,
        at=runtime.clock.now(),
        trigger="operator",
        actor=asked.operator,
        evidence={"operator": {"reason": asked.reason, **asked.arguments}},
    )


def of_case(asked: AskedAct, change: Change, case: RejectedCase, cause: Cause, **more: object) -> Change:
    """The change with its act, which is about the case's payment too."""
    moved = next((each for part in (change, *change.beside) for each in part.every(RejectedCase)), case)
    with_act = carrying(asked, change, cause.at, case=shown(moved), **more)
    if with_act.act is None or not case.from_stream_id.startswith("pay_"):
        return with_act
    return replace(with_act, act=replace(with_act.act, payment_id=case.from_stream_id))


def shown(case: RejectedCase) -> dict[str, object]:
    """How a case stands, as an act's result has it."""
    return {
        "id": case.case_id,
        "state": case.state,
        "owner": case.owner,
        "resolution": case.resolution,
        "closed_by": case.closed_by,
    }
