"""Check on the decimals of a payment's currency: this release counts as the payment was made."""

from __future__ import annotations

from collections.abc import Iterator

from tallystick.oversight.exponents import can_still_move, current_exponents
from tallystick.oversight.invariants.finding import Finding
from tallystick.record.postgres.payment_record import PaymentRecord


def exponents_are_unchanged(record: PaymentRecord) -> Iterator[Finding]:
    """A payment whose money can still move was made by the exponents of this release's tables, ours and its
    provider's."""
    payment = record.payment
    if payment.exponents is None or not can_still_move(payment):
        return
    now = current_exponents(payment.provider, payment.currency)
    if now != payment.exponents:
        counts = "lacks the currency" if now is None else f"has {now.ours} and {now.theirs}"
        made = f"{payment.exponents.ours} and {payment.exponents.theirs}"
        what = f"was made with {made} decimals of {payment.currency} here and at {payment.provider}"
        yield Finding(payment.payment_id, f"{what}; this release {counts}")
