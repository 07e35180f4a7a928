"""What a dispute may be over: more than was captured, within sense."""

from __future__ import annotations

import pytest

from tallystick.decisions.provider_events.disputes import MOST_OF_A_PAYMENT
from tallystick.domain.notices import DisputeNotice
from tests.support.paper_record import AMOUNT, CURRENCY, PaperRecord


@pytest.mark.parametrize(
    ("amount", "disposition"),
    [
        (1, "applied"),
        (AMOUNT, "applied"),
        (MOST_OF_A_PAYMENT * AMOUNT, "applied"),
        (MOST_OF_A_PAYMENT * AMOUNT + 1, "conflict"),
        (2**53 - 1, "conflict"),
        (0, "conflict"),
        (-5, "conflict"),
    ],
)
def test_what_a_dispute_may_be_over(amount: int, disposition: str) -> None:
    record = PaperRecord(automatic=True)
    record.answer("authorize")
    before = record.sums()
    notice = DisputeNotice(reference="dp_1", state="opened", amount=amount, currency=CURRENCY, funds="withdrawn")
    assert record.take(notice) == disposition
    assert (record.sums() == before) == (disposition == "conflict")
    assert len(record.stored.disputes) == (disposition == "applied")
