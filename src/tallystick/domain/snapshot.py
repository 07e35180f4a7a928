"""A payment with all that belongs to it, as loaded: what decisions are made on. Pure."""

from __future__ import annotations

from msgspec import Struct

from tallystick.domain.subjects import Attempt, Dispute, Payment, Refund


class PaymentSnapshot(Struct, frozen=True, kw_only=True):
    """A payment as loaded, with its attempts, refunds and disputes: what a settlement is decided against."""

    payment: Payment
    attempts: tuple[Attempt, ...]
    refunds: tuple[Refund, ...] = ()
    disputes: tuple[Dispute, ...] = ()

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
