"""What a dispute moved in another currency, stated by a person who has looked it up. Pure.

A stated amount counts as one that the provider told: it posts the same, and whoever says it first is believed.
"""

from __future__ import annotations

from msgspec.structs import replace

from tallystick.decisions.change_builder import Cause, ChangeBuilder
from tallystick.decisions.provider_events.disputes import alarming_postings, counted
from tallystick.domain.change import Change
from tallystick.domain.dispute_movement import Movement
from tallystick.domain.dispute_position import net_of
from tallystick.domain.errors import TallystickError
from tallystick.domain.snapshot import PaymentSnapshot
from tallystick.domain.subjects import Dispute


class NotStateable(TallystickError):
    """There is no such movement of unknown amount, or the amount is more than remains of the dispute."""


def state_amount(
    stored: PaymentSnapshot, dispute_id: str, reference: str, amount: int, cause: Cause, rejection_id: str
) -> Change:
    """A movement of unknown amount gets its amount, in minor units of the dispute's currency. Raises NotStateable."""
    payment = stored.payment
    dispute = next((each for each in stored.disputes if each.dispute_id == dispute_id), None)
    if dispute is None:
        raise NotStateable(f"payment {payment.payment_id} has no dispute {dispute_id}")
    movement = _unknown(dispute, reference)
    _require_within(dispute, movement, amount)
    builder = ChangeBuilder(payment.merchant_id, payment.payment_id, cause)
    movements = tuple(replace(each, amount=amount) if each is movement else each for each in dispute.movements)
    after = counted(builder, dispute, movements=movements)
    if reason := alarming_postings(builder.transfers, dispute, after):
        builder.reject(rejection_id, after, "amount_stated", origin="operator", category="conflicting", reason=reason)
    builder.move(payment, "dispute_updated")
    return builder.change(must_not_be_shed=True)


def left_to_state(dispute: Dispute, movement: Movement) -> int:
    """What a movement can have been at most: of the dispute what was not taken yet, or what was taken and did not come
    back yet."""
    taken = net_of(dispute.movements)
    return dispute.amount - taken if movement.funds == "withdrawn" else taken


def _unknown(dispute: Dispute, reference: str) -> Movement:
    movement = next((each for each in dispute.movements if each.reference == reference), None)
    if movement is None:
        raise NotStateable(f"dispute {dispute.dispute_id} has no movement {reference}")
    if movement.amount is not None:
        raise NotStateable(f"movement {reference} is known: {movement.amount} {dispute.currency}")
    return movement


def _require_within(dispute: Dispute, movement: Movement, amount: int) -> None:
    most = max(0, left_to_state(dispute, movement))
    if not 0 < amount <= most:
        left = f"{most} {dispute.currency} remain of the dispute for money that was {movement.funds}"
        raise NotStateable(f"{amount} is not between 1 and what remains: {left}")
