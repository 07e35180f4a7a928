"""How late money leaves suspense: an operator accepts it for the merchant or gives it back, or the provider has moved
it by itself. Pure. The payment keeps its state."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from tallystick.decisions.change_builder import Cause, ChangeBuilder
from tallystick.decisions.provider_events.dispositions import Decided, NotYet
from tallystick.decisions.terms import CLOSED, Terms
from tallystick.domain.change import Change
from tallystick.domain.errors import TallystickError
from tallystick.domain.late_money import unclaimed
from tallystick.domain.lifecycles.payment import PAYMENT
from tallystick.domain.notices import DisputeNotice, RefundNotice
from tallystick.domain.provider_keys import provider_key
from tallystick.domain.snapshot import PaymentSnapshot
from tallystick.domain.subjects import Attempt, LateMovement, Payment


class NoLateMoney(TallystickError):
    """There is no late money of the payment to decide on."""


def accept_late_money(stored: PaymentSnapshot, cause: Cause) -> Change:
    """All that waits becomes the merchant's. Raises NoLateMoney."""
    payment, amount = stored.payment, _waiting(stored.payment)
    builder = ChangeBuilder(payment.merchant_id, payment.payment_id, cause)
    accepted = payment.amount_late_accepted + amount
    builder.move(payment, "late_money_accepted", amount_late_accepted=accepted, provider_reference=_charge_of(stored))
    return builder.change(must_not_be_shed=True)


def return_late_money(stored: PaymentSnapshot, attempt_id: str, cause: Cause, terms: Terms) -> Change:
    """All that waits is to be paid back by a refund at the provider; only its success posts. Raises NoLateMoney."""
    payment, amount = stored.payment, _waiting(stored.payment)
    builder = ChangeBuilder(payment.merchant_id, payment.payment_id, cause)
    builder.move(payment, "late_return_opened", amount_late_returning=payment.amount_late_returning + amount)
    builder.open(
        Attempt(
            merchant_id=payment.merchant_id,
            payment_id=payment.payment_id,
            attempt_id=attempt_id,
            version=1,
            state="submitted",
            operation="refund",
            purpose="late_return",
            amount=amount,
            currency=payment.currency,
            payment_method=payment.payment_method,
            provider=payment.provider,
            account=terms.account,
            provider_key=provider_key(payment.merchant_id, payment.payment_id, "late_return", payment.version),
            parent_reference=_charge_of(stored),
            schedule=terms.submitted(),
        )
    )
    return builder.change(must_not_be_shed=True)


def return_succeeded(builder: ChangeBuilder, payment: Payment, attempt: Attempt, reference: str | None) -> Change:
    """The provider paid it back."""
    builder.move(attempt, "approved", schedule=CLOSED, provider_reference=reference)
    builder.move(
        payment,
        "late_money_returned",
        amount_late_returned=payment.amount_late_returned + attempt.amount,
        amount_late_returning=payment.amount_late_returning - attempt.amount,
    )
    return builder.change(must_not_be_shed=True)


def return_failed(builder: ChangeBuilder, payment: Payment, attempt: Attempt, event: str) -> Change:
    """Nothing was paid back: the money waits as before, and an operator decides again."""
    builder.move(attempt, event, schedule=CLOSED)
    returning = payment.amount_late_returning - attempt.amount
    builder.move(payment, "late_return_failed", amount_late_returning=returning)
    return builder.change(must_not_be_shed=True)


def return_came_back(builder: ChangeBuilder, payment: Payment, attempt: Attempt) -> Change:
    """What was paid back did not reach the payer."""
    builder.move(attempt, "reversed", schedule=CLOSED)
    returned = payment.amount_late_returned - attempt.amount
    builder.move(payment, "late_money_came_back", amount_late_returned=returned)
    return builder.change(must_not_be_shed=True)


def return_came_late(builder: ChangeBuilder, payment: Payment, attempt: Attempt) -> None:
    """It was paid back after we had closed the attempt: posted where the money is still there. What is not is the
    alert's, which the caller keeps."""
    if attempt.amount <= unclaimed(payment):
        returned = payment.amount_late_returned + attempt.amount
        builder.move(payment, "late_money_returned", amount_late_returned=returned)


def observe_late_refund(
    stored: PaymentSnapshot, notice: RefundNotice, cause: Cause, rejection_id: str
) -> Decided | NotYet:
    """Someone refunded late money in the provider's own dashboard."""
    payment = stored.payment
    builder = ChangeBuilder(payment.merchant_id, payment.payment_id, cause)
    moved = LateMovement(reference=notice.reference, way="out", amount=notice.amount)
    after = _moved(builder, payment, moved)
    if isinstance(after, NotYet):
        return after
    if after is None or notice.currency != payment.currency:
        return _beyond(stored, f"refunded {notice.amount} {notice.currency}", cause, rejection_id)
    return Decided("applied", builder.change(must_not_be_shed=True))


def observe_late_refund_failed(payment: Payment, reference: str, cause: Cause) -> Decided | None:
    """A refund of late money came back; None where there was no such refund."""
    moves = [each for each in payment.late_movements if each.reference == reference and each.dispute is None]
    if not moves:
        return None
    if any(each.way == "back" for each in moves):
        return Decided("duplicate_effect")
    builder = ChangeBuilder(payment.merchant_id, payment.payment_id, cause)
    _moved(builder, payment, replace(moves[0], way="back"))
    return Decided("applied", builder.change(must_not_be_shed=True))


def observe_late_dispute(
    stored: PaymentSnapshot, notice: DisputeNotice, cause: Cause, rejection_id: str
) -> Decided | NotYet:
    """A dispute of late money that nobody accepted: what it takes goes back, and what it gives back waits again. The
    merchant never had the money, so there is no dispute of theirs."""
    payment = stored.payment
    known = {(each.reference, each.way) for each in payment.late_movements}
    told = _told(notice)
    new = [each for each in told if (each.reference, each.way) not in known]
    if not new and any(each.dispute == notice.reference for each in payment.late_movements):
        return Decided("duplicate_effect" if told else "stale")
    builder = ChangeBuilder(payment.merchant_id, payment.payment_id, cause)
    for move in new:
        after = _moved(builder, payment, move)
        if isinstance(after, NotYet):
            return after
        if after is None or notice.currency != payment.currency:
            return _beyond(stored, f"disputed {move.amount} {notice.currency}", cause, rejection_id)
        payment = after
    if not new:
        return _beyond(stored, f"disputed, and took nothing of {notice.amount} {notice.currency}", cause, rejection_id)
    return Decided("applied", builder.change(must_not_be_shed=True))


def is_of_late_money(payment: Payment, dispute: str) -> bool:
    """Whether a dispute has taken late money that nobody had accepted."""
    return any(each.dispute == dispute for each in payment.late_movements)


def _told(notice: DisputeNotice) -> list[LateMovement]:
    """What moved, each by its own name; by the dispute's where the provider names no movements."""
    # One of unknown amount is for a person: nothing else is told then, and that is a conflict.
    moves: list[tuple[str, str, int]] = [
        (each.reference, each.funds, each.amount) for each in notice.movements or () if each.amount is not None
    ]
    if notice.movements is None and notice.funds is not None:
        moves = [(notice.reference, notice.funds, notice.amount)]
    return [
        LateMovement(
            reference=reference, way="out" if funds == "withdrawn" else "back", amount=amount, dispute=notice.reference
        )
        for reference, funds, amount in moves
    ]


def _moved(builder: ChangeBuilder, payment: Payment, move: LateMovement) -> Payment | NotYet | None:
    """The payment after one movement of the provider's; None where there is not so much to move."""
    if move.way == "back":
        out = sum(
            each.amount * (1 if each.way == "out" else -1)
            for each in payment.late_movements
            if each.dispute == move.dispute and (each.dispute is not None or each.reference == move.reference)
        )
        if move.amount > out:
            return NotYet("late money came back that never went: that it went comes first")
        event, returned = "late_money_came_back", payment.amount_late_returned - move.amount
    else:
        there = unclaimed(payment)
        if there < move.amount <= there + payment.amount_late_returning:
            return NotYet("late money is on its way back: what becomes of that comes first")
        if not 0 < move.amount <= there:
            return None
        event, returned = "late_money_returned", payment.amount_late_returned + move.amount
    moves = (*payment.late_movements, move)
    return builder.move(payment, event, amount_late_returned=returned, late_movements=moves)


def _beyond(stored: PaymentSnapshot, said: str, cause: Cause, rejection_id: str) -> Decided:
    payment = stored.payment
    builder = ChangeBuilder(payment.merchant_id, payment.payment_id, cause)
    reason = f"the provider {said}: {unclaimed(payment)} {payment.currency} of late money wait to be decided on"
    builder.reject(rejection_id, payment, "late_money_returned", origin="provider", category="late", reason=reason)
    return Decided("conflict", builder.change(must_not_be_shed=True), reason)


def _waiting(payment: Payment) -> int:
    amount = unclaimed(payment)
    if amount <= 0:
        raise NoLateMoney(f"payment {payment.payment_id} has no late money that waits: {_decided(payment)}")
    if payment.state not in PAYMENT.final:
        raise NoLateMoney(f"payment {payment.payment_id} is {payment.state}: its late money waits until it has ended")
    return amount


def _decided(payment: Payment) -> str:
    """What became of the late money, for the person who asked about it."""
    parts = [
        (payment.amount_late_accepted, "accepted for the merchant"),
        (payment.amount_late_returned, "returned to the payer"),
        (payment.amount_late_returning, "on its way back to the payer, which recovery finishes"),
    ]
    said = ", ".join(f"{amount} {payment.currency} {what}" for amount, what in parts if amount)
    return said or "none came"


def _charge_of(stored: PaymentSnapshot) -> str | None:
    """The provider's name for the charge. A payment that ended without money may know it by its attempt alone."""
    authorize: Any = next((each for each in stored.attempts if each.operation == "authorize"), None)
    return stored.payment.provider_reference or (None if authorize is None else authorize.provider_reference)
