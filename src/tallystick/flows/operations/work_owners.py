"""Who looks at a dead letter, an attempt in doubt, late money, a settlement row or refused webhooks: taken, handed on,
given back. Each is an act."""

from __future__ import annotations

from tallystick.domain.operator_act import AskedAct, OperatorAct
from tallystick.domain.work_owner import NotOwned, names_of
from tallystick.flows.operations.owners import colleague
from tallystick.flows.runtime import Runtime
from tallystick.record.postgres.work_lists import OwnedList, WorkFilter, WorkItem, WorkReads

__all__ = ["NotOwned", "give_back", "hand_on", "take"]


async def take(runtime: Runtime, asked: AskedAct, of_list: OwnedList) -> OperatorAct:
    """The operator looks at it. Raises NotOwned where somebody else does."""
    item = await waiting_item(runtime, of_list, asked.target)
    act = _done(runtime, asked, item, asked.operator)
    if not await runtime.stores.work_owners.take(of_list, asked.operator, names_of(asked.operator), act):
        raise NotOwned(f"{item.owner or 'somebody else'} has it; hand it on instead")
    return act


async def hand_on(runtime: Runtime, asked: AskedAct, of_list: OwnedList, to: str) -> OperatorAct:
    """Somebody else looks at it, whoever did. Raises NotOwned where it does not wait, and OwnerUnknown."""
    item = await waiting_item(runtime, of_list, asked.target)
    owner = await colleague(runtime, to, item.merchant_id)
    act = _done(runtime, asked, item, owner)
    await runtime.stores.work_owners.hand_on(of_list, owner, act)
    return act


async def give_back(runtime: Runtime, asked: AskedAct, of_list: OwnedList) -> OperatorAct:
    """Nobody looks at it any more. Raises NotOwned where nobody did, or somebody else does by now."""
    item = await waiting_item(runtime, of_list, asked.target)
    if item.owner is None:
        raise NotOwned("nobody has it")
    act = _done(runtime, asked, item, None)
    if not await runtime.stores.work_owners.give_back(of_list, item.owner, act):
        raise NotOwned(f"{item.owner} does not have it any more")
    return act


async def waiting_item(runtime: Runtime, of_list: OwnedList, item_id: str) -> WorkItem:
    """The row as it waits. Raises NotOwned."""
    found = await WorkReads(runtime.pool).page(of_list, WorkFilter(), None, 1, ids=[item_id])
    if not found:
        raise NotOwned("it does not wait here any more")
    return found[0]


def _done(runtime: Runtime, asked: AskedAct, item: WorkItem, owner: str | None) -> OperatorAct:
    result = {"owner": owner, "before": item.owner}
    return asked.done(result, runtime.clock.now(), merchant_id=item.merchant_id, payment_id=item.payment_id)
