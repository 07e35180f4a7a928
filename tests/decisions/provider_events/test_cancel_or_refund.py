"""A word that means a cancel or a refund: what it is in each state, with the ledger written by hand."""

from __future__ import annotations

from itertools import permutations

import pytest

from tallystick.decisions.provider_events.dispositions import NotYet
from tallystick.domain.notices import AttemptNotice, CancelOrRefundNotice, CaptureNotice, RefundNotice, UnknownNotice
from tallystick.domain.verdicts import Declined
from tests.support.notices import SITUATIONS
from tests.support.paper_invariants import broken
from tests.support.paper_record import CURRENCY, PROVIDER

OWED = f"provider:{PROVIDER}"
SETTLING_MS = 4_000


def ended(name: str = "e1", amount: int = 1_000, currency: str = CURRENCY) -> CancelOrRefundNotice:
    return CancelOrRefundNotice(reference=name, amount=amount, currency=currency)


def part(name: str, amount: int) -> CaptureNotice:
    return CaptureNotice(reference=name, amount=amount, currency=CURRENCY)


#: Situation -> disposition, the payment's state, and by hand what the accounts hold. Each is of 10.00 EUR.
OUTCOMES: dict[str, tuple[str, str, dict[str, int]]] = {
    "authorizing": ("later", "authorizing", {}),
    "requires action": ("later", "requires_action", {}),
    "capturing": (
        "later",
        "capturing",
        {f"authorized:{PROVIDER}": 1_000, f"authorized_contra:{PROVIDER}": -1_000},
    ),
    "canceling": (
        "later",
        "canceling",
        {f"authorized:{PROVIDER}": 1_000, f"authorized_contra:{PROVIDER}": -1_000},
    ),
    "authorized": ("applied", "canceled", {}),
    "captured": ("applied", "captured", {}),
    "captured at once": ("applied", "captured", {}),
    "captured 600": ("conflict", "captured", {OWED: 600, "merchant": -600}),
    "refunding": (
        "later",
        "captured",
        {OWED: 1_000, "merchant": -700, f"refunds_in_flight:{PROVIDER}": -300},
    ),
    "refunded": ("conflict", "captured", {OWED: 700, "merchant": -700}),
    "canceled": ("duplicate_effect", "canceled", {}),
    "expired": ("duplicate_effect", "expired", {}),
    "declined": ("duplicate_effect", "declined", {}),
}


@pytest.mark.parametrize("situation", OUTCOMES)
def test_what_it_is_in_each_state(situation: str) -> None:
    disposition, state, ledger = OUTCOMES[situation]
    record = SITUATIONS[situation]()
    assert record.take(ended()) == disposition
    assert (record.payment.state, record.sums()) == (state, ledger)
    assert bool(record.rejections) == (disposition == "conflict")
    if disposition == "applied":
        assert record.take(ended()) == "duplicate_effect"
        assert record.sums() == ledger
    assert broken(record) == []


def test_all_of_it_is_refunded_already() -> None:
    record = SITUATIONS["captured"]()
    assert record.take(RefundNotice(reference="r1", amount=1_000, currency=CURRENCY)) == "applied"
    assert record.take(ended()) == "duplicate_effect"
    assert record.payment.amount_refunded == 1_000


def test_a_part_by_its_own_name_beside_an_equal_one() -> None:
    record = SITUATIONS["captured"]()
    assert [record.take(ended(name, 500)) for name in ("e1", "e2", "e1", "e3")] == [
        "applied",
        "applied",
        "duplicate_effect",
        "duplicate_effect",  # nothing is left, so it says what is so already
    ]
    assert (record.payment.amount_refunded, record.sums()) == (1_000, {})


def test_a_hold_waits_for_its_capture_until_the_settling_time_has_passed() -> None:
    record = SITUATIONS["authorized"]()
    waits = record.decide(ended(), unsettled_ms=SETTLING_MS)
    assert isinstance(waits, NotYet) and waits.wait_ms == SETTLING_MS
    assert record.take(part("c1", 1_000)) == "applied"
    assert record.take(ended(), unsettled_ms=SETTLING_MS) == "applied"
    assert (record.payment.state, record.payment.amount_refunded, record.sums()) == ("captured", 1_000, {})


def test_captures_that_are_told_after_it_find_their_pair() -> None:
    for order in permutations((part("c1", 500), part("c2", 500))):
        record = SITUATIONS["authorized"]()
        assert record.take(ended()) == "applied"
        for told in order:
            assert record.take(told) == "applied"
            assert record.take(told) == "duplicate_effect"
        assert record.payment.state == "canceled"
        kinds = [row.kind for row in record.transfers][-6:]
        assert kinds == ["capture", "refund_sent", "refund_succeeded"] * 2
        assert (record.sums(), record.rejections) == ({}, [])
        assert broken(record) == []
        # More than was given back is a person's.
        assert record.take(part("c3", 1)) == "conflict"
        assert record.sums() == {OWED: 1, f"suspense:{PROVIDER}": -1}


def test_parts_of_a_hold_that_are_told_late() -> None:
    record = SITUATIONS["authorized"]()
    record.take(part("c1", 500))
    assert record.take(ended(), unsettled_ms=SETTLING_MS) == "later"
    record.take(part("c2", 500))
    assert record.take(ended(), unsettled_ms=SETTLING_MS) == "applied"
    assert record.sums() == {}


def test_another_currency_is_a_conflict() -> None:
    record = SITUATIONS["captured"]()
    assert record.take(ended(currency="USD")) == "conflict"
    assert record.sums() == {OWED: 1_000, "merchant": -1_000}


def test_a_refund_that_was_called_off() -> None:
    record = SITUATIONS["captured"]()
    assert record.take(RefundNotice(reference="r1", amount=400, currency=CURRENCY)) == "applied"
    off = AttemptNotice(operation="refund", reference="r1", verdict=Declined(code="refund_failed", message="Off."))
    assert record.take(off) == "applied"
    assert (record.payment.amount_refunded, record.sums()) == (0, {OWED: 1_000, "merchant": -1_000})


def test_an_unknown_code_about_money_is_a_conflict_and_posts_nothing() -> None:
    record = SITUATIONS["captured"]()
    before = record.sums()
    assert record.take(UnknownNotice(code="SOMETHING_NEW", value=7, currency="EUR")) == "conflict"
    [rejection] = record.rejections
    assert rejection.alert and "SOMETHING_NEW" in rejection.reason
    assert record.sums() == before
