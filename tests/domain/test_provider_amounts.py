"""Amounts of providers, by the exponents of the payment that they are about."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tallystick.domain.dispute_movement import Movement
from tallystick.domain.notices import (
    AttemptNotice,
    CancelOrRefundNotice,
    CaptureNotice,
    ChargeNotice,
    DisputeNotice,
    RefundNotice,
)
from tallystick.domain.provider_amounts import notice_about, verdict_about
from tallystick.domain.subjects import Payment
from tallystick.domain.verdicts import Approved, Pending

AT = datetime(2026, 1, 1, tzinfo=UTC)


def payment(ours: int | None, theirs: int | None, currency: str = "IDR") -> Payment:
    return Payment(
        merchant_id="m",
        payment_id="pay_1",
        version=1,
        state="captured",
        amount=100_000,
        currency=currency,
        payment_method="x",
        provider="adyen",
        exponent=ours,
        provider_exponent=theirs,
        created_at=AT,
        updated_at=AT,
    )


def approved(amount: int, theirs: int | None, currency: str = "IDR") -> Approved:
    return Approved(amount=amount, currency=currency, effect="captured", provider_amount=theirs)


@pytest.mark.parametrize(
    ("stored", "told", "amount"),
    [
        # Made while the provider counted whole rupiah; today's table says 2 decimals, and read 1000 as 1000.
        (payment(2, 0), approved(1_000, 1_000), 100_000),
        (payment(2, 2), approved(1_000, 1_000), 1_000),
        # Rows of before exponents were kept, connectors whose unit is ours, and what is of another currency anyway.
        (payment(None, None), approved(1_000, 10), 1_000),
        (payment(2, 0), approved(1_000, None), 1_000),
        (payment(2, 0), approved(1_000, 1_000, "EUR"), 1_000),
    ],
)
def test_the_payment_s_own_exponents_count(stored: Payment, told: Approved, amount: int) -> None:
    verdict = verdict_about(stored, told)
    assert isinstance(verdict, Approved) and verdict.amount == amount
    charge = notice_about(stored, ChargeNotice(verdict=told))
    assert isinstance(charge, ChargeNotice) and isinstance(charge.verdict, Approved)
    attempt = notice_about(stored, AttemptNotice(operation="capture", verdict=told))
    assert isinstance(attempt, AttemptNotice) and isinstance(attempt.verdict, Approved)
    values: dict[str, Any] = {
        "reference": "r",
        "amount": told.amount,
        "currency": told.currency,
        "provider_amount": told.provider_amount,
    }
    refund = notice_about(stored, RefundNotice(**values))
    capture = notice_about(stored, CaptureNotice(**values))
    given_back = notice_about(stored, CancelOrRefundNotice(**values))
    assert isinstance(capture, CaptureNotice) and isinstance(given_back, CancelOrRefundNotice)
    assert (capture.amount, capture.as_verdict().provider_amount) == (amount, told.provider_amount)
    moved = Movement(
        reference="m", funds="withdrawn", amount=told.amount, before_verdict=True, provider_amount=told.provider_amount
    )
    dispute = notice_about(stored, DisputeNotice(**values, state="opened", movements=(moved,)))
    assert isinstance(refund, RefundNotice) and isinstance(dispute, DisputeNotice) and dispute.movements is not None
    told_of = (capture, given_back, charge.verdict, attempt.verdict, refund, dispute, dispute.movements[0])
    assert [each.amount for each in told_of] == [amount] * 7
    assert dispute.movements[0].provider_amount is None, "it is stored with the dispute, in our unit alone"


def test_what_has_no_amount_is_left_alone() -> None:
    assert verdict_about(payment(2, 0), Pending(reference="r")) == Pending(reference="r")


def test_what_our_unit_cannot_express_is_an_error() -> None:
    with pytest.raises(ValueError, match="decimals"):
        verdict_about(payment(0, 2, "ISK"), approved(1, 101, "ISK"))
