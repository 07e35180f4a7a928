"""A payment with everything that belongs to it, as loaded: the input of decisions. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from msgspec import Struct

from tallystick.domain.change import Change
from tallystick.domain.kinds import kind_of
from tallystick.domain.subjects import Attempt, Dispute, Payment, Refund

Member = TypeVar("Member", Attempt, Refund, Dispute)


class PaymentSnapshot(Struct, frozen=True, kw_only=True):
    """A payment as loaded, with its attempts, refunds and disputes: what verdicts and events are decided against."""

    payment: Payment
    attempts: tuple[Attempt, ...]
    refunds: tuple[Refund, ...] = ()
    disputes: tuple[Dispute, ...] = ()

    @property
    def versions(self) -> dict[str, int]:
        """The version of each subject, by its id."""
        return {kind_of(each).id_of(each): each.version for each in self.subjects}

    @property
    def subjects(self) -> tuple[Payment | Attempt | Refund | Dispute, ...]:
        """The payment and all that belongs to it."""
        return (self.payment, *self.attempts, *self.refunds, *self.disputes)

    def attempt(self, attempt_id: str) -> Attempt:
        """One attempt by id; KeyError when it is not this payment's."""
        for attempt in self.attempts:
            if attempt.attempt_id == attempt_id:
                return attempt
        raise KeyError(attempt_id)

    def refund(self, refund_id: str | None) -> Refund:
        """One refund by id; KeyError when it is not this payment's."""
        for refund in self.refunds:
            if refund.refund_id == refund_id:
                return refund
        raise KeyError(refund_id)

    def after(self, change: Change) -> PaymentSnapshot:
        """The snapshot after a committed change."""
        return PaymentSnapshot(
            payment=change.one(Payment) or self.payment,
            attempts=_merged(self.attempts, change.every(Attempt), "attempt_id"),
            refunds=_merged(self.refunds, change.every(Refund), "refund_id"),
            disputes=_merged(self.disputes, change.every(Dispute), "dispute_id"),
        )


def opened_by(change: Change) -> PaymentSnapshot:
    """The snapshot after a change that opens a payment. LookupError if it opens no payment."""
    payment = change.one(Payment)
    if payment is None:
        raise LookupError(f"change {change.change_id} opens no payment")
    others: dict[type[Any], list[Any]] = {}
    for subject in change.subjects:
        if subject is not payment:
            others.setdefault(type(subject), []).append(subject)
    return PaymentSnapshot(
        payment=payment,
        attempts=tuple(others.get(Attempt, ())),
        refunds=tuple(others.get(Refund, ())),
        disputes=tuple(others.get(Dispute, ())),
    )


def _merged(before: Sequence[Member], moved: Sequence[Member], id_field: str) -> tuple[Member, ...]:
    """The earlier ones in their order, each as it is now, then the new ones."""
    if not moved:
        return tuple(before)
    by_id = {getattr(each, id_field): each for each in before}
    by_id |= {getattr(each, id_field): each for each in moved}
    return tuple(by_id.values())
