"""What a provider says of amounts, by the exponents that are stored with the payment. Pure.

A connector translates by today's tables, before anybody knows which payment is meant, and keeps the provider's own
number beside its translation. Once the payment is known that number is translated again, by the payment's own
exponents: a currency may have changed since, here or there, and the payment's amounts have not.
"""

from __future__ import annotations

from typing import TypeVar, assert_never

from msgspec.structs import replace

from tallystick.domain.dispute_movement import Movement
from tallystick.domain.money import Exponents
from tallystick.domain.notices import (
    AttemptNotice,
    CancelOrRefundNotice,
    CaptureNotice,
    ChargeNotice,
    DisputeNotice,
    Notice,
    RefundNotice,
    UnknownNotice,
)
from tallystick.domain.subjects import Payment
from tallystick.domain.verdicts import Approved, Verdict

Some = TypeVar("Some", bound=Verdict)
Told = TypeVar("Told", Approved, CaptureNotice, CancelOrRefundNotice, RefundNotice, DisputeNotice, Movement)


def verdict_about(payment: Payment, verdict: Some) -> Some | Approved:
    """A verdict with its amount in the payment's minor unit. Raises ValueError where that cannot express it."""
    exponents = payment.exponents
    if exponents is None or not isinstance(verdict, Approved) or verdict.currency != payment.currency:
        return verdict
    return _translated(verdict, exponents)


def notice_about(payment: Payment, notice: Notice) -> Notice:
    """An event with its amounts in the payment's minor unit, and no number of the provider's left in what is stored
    with a dispute. Raises ValueError where the minor unit cannot express them."""
    match notice:
        case AttemptNotice() | ChargeNotice():
            return replace(notice, verdict=verdict_about(payment, notice.verdict))
        case CaptureNotice():
            return _about(payment, notice)
        case CancelOrRefundNotice():
            return _about(payment, notice)
        case RefundNotice():
            return _about(payment, notice)
        case UnknownNotice():
            return notice
        case DisputeNotice():
            moved = notice.movements
            if moved is not None:
                moved = tuple(_movement(payment, notice.currency, each) for each in moved)
            return replace(_about(payment, notice), movements=moved)
        case _:
            assert_never(notice)


def _about(payment: Payment, told: Told) -> Told:
    exponents = payment.exponents
    foreign = not isinstance(told, Movement) and told.currency != payment.currency
    return told if exponents is None or foreign else _translated(told, exponents)


def _movement(payment: Payment, currency: str, movement: Movement) -> Movement:
    told = movement if currency != payment.currency else _about(payment, movement)
    return replace(told, provider_amount=None)


def _translated(told: Told, exponents: Exponents) -> Told:
    if told.provider_amount is None:
        return told
    return replace(told, amount=exponents.from_provider(told.provider_amount))
