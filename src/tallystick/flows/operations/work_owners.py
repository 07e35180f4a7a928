"""Who looks at a dead letter, an attempt in doubt or late money: taken, handed on, given back. Each is an act."""

from __future__ import annotations

from typing import Final

from tallystick.domain.errors import TallystickError
from tallystick.domain.operator_act import AskedAct, OperatorAct
from tallystick.flows.runtime import Runtime
from tallystick.record.postgres.work_lists import OwnedList, WorkFilter, WorkItem, WorkReads

#: Characters of an owner's name: as long as a queue's name or an address.
OWNER_CHARS: Final = 200


class NotOwned(TallystickError):
    """It does not wait, somebody else has it, or nobody does; nothing was written."""


async def take(runtime: Runtime, asked: AskedAct, of_list: OwnedList, owner: str | None) -> OperatorAct:
    """Somebody looks at it: the operator, or whom the operator names. Raises NotOwned where somebody else does."""
    item, taken_by = await _waiting(runtime, of_list, asked.target), owner or asked.operator
    act = _done(runtime, asked, item, taken_by)
    if not await runtime.stores.work_owners.take(of_list, taken_by, act):
        raise NotOwned(f"{item.owner or 'somebody else'} has it; hand it on instead")
    return act


async def hand_on(runtime: Runtime, asked: AskedAct, of_list: OwnedList, owner: str) -> OperatorAct:
    """Somebody else looks at it, whoever did. Raises NotOwned where it does not wait."""
    item = await _waiting(runtime, of_list, asked.target)
    act = _done(runtime, asked, item, owner)
    await runtime.stores.work_owners.hand_on(of_list, owner, act)
    return act


async def give_back(runtime: Runtime, asked: AskedAct, of_list: OwnedList) -> OperatorAct:
    """Nobody looks at it any more. Raises NotOwned where nobody did."""
    item = await _waiting(runtime, of_list, asked.target)
    act = _done(runtime, asked, item, None)
    if not await runtime.stores.work_owners.give_back(of_list, act):
        raise NotOwned("nobody has it")
    return act


async def _waiting(runtime: Runtime, of_list: OwnedList, item_id: str) -> WorkItem:
    found = await WorkReads(runtime.pool).page(of_list, WorkFilter(), None, 1, ids=[item_id])
    if not found:
        raise NotOwned("it does not wait here any more")
    return found[0]


def _done(runtime: Runtime, asked: AskedAct, item: WorkItem, owner: str | None) -> OperatorAct:
    if owner is not None and len(owner) > OWNER_CHARS:
        raise NotOwned(f"an owner's name has at most {OWNER_CHARS} characters")
    result = {"owner": owner, "before": item.owner}
    return asked.done(result, runtime.clock.now(), merchant_id=item.merchant_id, payment_id=item.payment_id)
