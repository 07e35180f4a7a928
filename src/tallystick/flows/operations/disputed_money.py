"""Movements of disputed money whose amount nobody said: listed, and stated by an operator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from tallystick.decisions.change_builder import Cause
from tallystick.decisions.operator_acts import carrying
from tallystick.decisions.stated_amounts import NotStateable, left_to_state, state_amount
from tallystick.domain.change import Change
from tallystick.domain.dispute_movement import Movement
from tallystick.domain.errors import Overloaded
from tallystick.domain.operator_act import AskedAct
from tallystick.domain.subjects import Dispute
from tallystick.flows.compliance.amounts import require_second_person
from tallystick.flows.runtime import Runtime
from tallystick.kit.ids import new_id, sibling_id
from tallystick.record.journal import Fresh

#: An act that loses so many races in a row is on a payment that is busy: nothing was written.
RACES: Final = 20


class UnknownAmount(Struct, frozen=True, kw_only=True):
    """A movement of unknown amount. ``most``: what it can have been at most, in minor units of the dispute's
    currency."""

    dispute: Dispute
    movement: Movement
    most: int


async def unknown_amounts(runtime: Runtime, merchant_id: str | None, limit: int) -> Sequence[UnknownAmount]:
    """Every movement of unknown amount of ``limit`` disputes, the oldest first."""
    return [
        UnknownAmount(dispute=dispute, movement=movement, most=max(0, left_to_state(dispute, movement)))
        for dispute in await runtime.reads.disputes_of_unknown_amount(merchant_id, limit)
        for movement in dispute.movements
        if movement.amount is None
    ]


async def state(
    runtime: Runtime,
    dispute_id: str,
    reference: str,
    amount: int,
    asked: AskedAct | None = None,
    /,
    *,
    actor: str,
    reason: str,
) -> Change:
    """An operator says what a movement was. Raises NotStateable, NeedsSecondPerson and Overloaded."""
    change_id = new_id("chg")
    evidence = {"operator": {"reason": reason, "movement": reference, "amount": amount}}
    for _ in range(RACES):
        stream = await runtime.reads.stream_of_dispute(dispute_id)
        loaded = None if stream is None else await runtime.reads.load(*stream)
        if loaded is None:
            raise NotStateable(f"there is no dispute {dispute_id}")
        cause = Cause(
            change_id=change_id,
            at=runtime.clock.now(),
            trigger="operator",
            actor=actor,
            evidence=evidence,
        )
        rejection_id = sibling_id("rej", change_id)
        change = state_amount(loaded.stored, dispute_id, reference, amount, cause, rejection_id)
        [currency] = [each.currency for each in loaded.stored.disputes if each.dispute_id == dispute_id]
        await require_second_person(runtime, asked, dispute_id, currency, amount)
        change = carrying(asked, change, cause.at)
        if isinstance(await runtime.journal.commit(change), Fresh):
            return change
    raise Overloaded("the payment is changed by too many others")
