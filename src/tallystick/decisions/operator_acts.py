"""An operator's act and the change that carries it out. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from msgspec.structs import replace

from tallystick.domain.change import Change
from tallystick.domain.operator_act import AskedAct
from tallystick.domain.subjects import Payment


def carrying(asked: AskedAct | None, change: Change, at: datetime, **more: Any) -> Change:
    """The change with the act that it carries out: both are committed, or neither. ``more`` is told of it, beside what
    the change records."""
    if asked is None:
        return change
    of_payment = change.stream_id if change.stream_id.startswith("pay_") else None
    act = asked.done(
        result_of([change]) | more,
        at,
        change_id=change.change_id,
        merchant_id=change.merchant_id,
        payment_id=of_payment,
    )
    return replace(change, act=act)


def result_of(changes: Iterable[Change]) -> dict[str, Any]:
    """What an act recorded: the steps, what was refused, and the money, in minor units."""
    parts = [part for change in changes for part in (change, *change.beside)]
    payment = next((found for part in parts if (found := part.one(Payment)) is not None), None)
    return {
        "payment": None if payment is None else _amounts(payment),
        "merchant_id": parts[0].merchant_id if parts else None,
        "transitions": [
            {
                "subject": each.subject,
                "subject_id": each.subject_id,
                "version": each.version,
                "event": each.event,
                "from": each.from_state,
                "to": each.to_state,
            }
            for part in parts
            for each in part.transitions
        ],
        "rejected": [
            {"subject": each.subject, "subject_id": each.subject_id, "event": each.event, "reason": each.reason}
            for part in parts
            for each in part.rejections
        ],
        "transfers": [
            {
                "kind": each.kind,
                "debit": each.debit,
                "credit": each.credit,
                "amount": each.amount,
                "currency": each.currency,
            }
            for part in parts
            for each in part.transfers
        ],
    }


def _amounts(payment: Payment) -> dict[str, Any]:
    return {
        "id": payment.payment_id,
        "state": payment.state,
        "amount_authorized": payment.amount_authorized,
        "amount_captured": payment.amount_captured,
        "amount_refunded": payment.amount_refunded,
        "currency": payment.currency,
    }
