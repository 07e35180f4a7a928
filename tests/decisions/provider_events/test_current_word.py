"""What an event comes to once the provider was asked: what it says now decides."""

from __future__ import annotations

import pytest

from tallystick.decisions.provider_events.dispositions import Ask
from tallystick.domain.notices import ChargeNotice, DisputeNotice, Notice, RefundNotice
from tallystick.domain.verdicts import (
    Approved,
    NotFound,
    NotSent,
    Pending,
    Unknown,
    Verdict,
)
from tests.support.notices import (
    BOOKED_REFUND,
    NO,
    NOTICES,
    SITUATIONS,
    held,
    taken,
)
from tests.support.paper_record import AMOUNT, CURRENCY, PROVIDER

# What a question comes to: situation, event, the provider's current word, the disposition, and what is posted.
RELEASED = Approved(amount=AMOUNT, currency=CURRENCY, effect="voided")


CANNOT_SAY = Unknown(reason="time-out")


ASKED: list[tuple[str, str, Verdict, str, str]] = [
    # It agrees with us: the event was overtaken.
    ("authorized", "no", held(), "stale", ""),
    ("captured at once", "no", taken(), "stale", ""),
    ("captured at once", "taken 600", taken(), "stale", ""),
    ("captured", "voided", taken(), "stale", ""),
    ("captured 600", "taken", taken(600), "stale", ""),
    ("canceled", "taken", RELEASED, "stale", ""),
    ("canceled", "taken", NO, "stale", ""),
    ("declined", "taken", RELEASED, "stale", ""),
    ("declined", "taken", NO, "stale", ""),
    ("failed", "taken", NO, "stale", ""),
    ("refund failed", "refund yes", NO, "stale", ""),
    ("authorizing, captures", "held", taken(), "applied", "capture 1000"),
    # It cannot say: asked again later.
    *(
        (situation, event, said, "later", "")
        for said in (CANNOT_SAY, NotFound(), NotSent(reason="breaker"), Pending())
        for situation, event in (
            ("authorizing, captures", "taken 600"),
            ("authorized", "no"),
            ("captured at once", "taken 600"),
            ("captured", "voided"),
            ("captured", "capture no"),
            ("canceled", "taken"),
            ("declined", "taken"),
            ("refund failed", "refund yes"),
        )
    ),
    # It says the same as the event: for a person.
    ("authorizing, captures", "taken 600", taken(600), "conflict", ""),
    ("authorized", "no", NO, "conflict", ""),
    ("captured at once", "no", NO, "conflict", ""),
    ("captured at once", "taken 600", taken(600), "conflict", ""),
    ("captured at once", "voided", RELEASED, "conflict", ""),
    ("captured", "voided", RELEASED, "conflict", ""),
    ("captured", "capture no", NO, "conflict", ""),
    ("canceled", "cancel no", NO, "conflict", ""),
    ("canceled", "taken", held(), "conflict", ""),
    # Money on an edge that we hold closed: to suspense.
    ("declined", "taken", taken(), "applied", "late_capture 1000"),
    ("declined", "auth yes", taken(), "applied", "late_capture 1000"),
    ("declined", "taken 600", taken(600), "applied", "late_capture 600"),
    ("failed", "taken", taken(), "applied", "late_capture 1000"),
    ("canceled", "taken", taken(), "applied", "late_capture 1000"),
    ("canceled", "taken 600", taken(600), "applied", "late_capture 600"),
    ("expired", "taken", taken(), "applied", "late_capture 1000"),
    ("refund failed", "refund yes", BOOKED_REFUND, "applied", "late_refund 300"),
]


@pytest.mark.parametrize(("situation", "event", "newest", "disposition", "posted"), ASKED)
def test_the_current_word_decides(situation: str, event: str, newest: Verdict, disposition: str, posted: str) -> None:
    record = SITUATIONS[situation]()
    notice = NOTICES[event](record)
    assert record.take(notice) == "ask"
    before, known = len(record.transfers), len(record.rejections)
    assert record.take(notice, newest) == disposition
    legs = record.transfers[before:]
    assert " ".join(f"{row.kind} {row.amount}" for row in legs) == posted
    to_suspense = posted.startswith("late_")
    assert len(record.rejections) - known == (1 if disposition == "conflict" or to_suspense else 0)
    assert all(rejection.alert for rejection in record.rejections)
    if to_suspense:
        in_suspense = record.sums()[f"suspense:{PROVIDER}"]
        assert abs(in_suspense) == legs[0].amount
        # Told again, in whatever words, and asked again: it is in suspense already.
        assert record.take(notice) == "duplicate_effect"
        assert record.take(notice, newest) == "duplicate_effect"
        assert record.sums()[f"suspense:{PROVIDER}"] == in_suspense


def test_an_ask_names_the_attempt_that_is_contradicted() -> None:
    record = SITUATIONS["captured 600"]()
    capture = record.attempt("capture")
    assert capture is not None
    for event in ("taken", "voided", "capture no"):
        outcome = record.decide(NOTICES[event](record))
        assert isinstance(outcome, Ask) and outcome.attempt_id == capture.attempt_id, event


#: Events that would have their effect here, but for the currency or an amount above what there is.
NOT_OURS: list[tuple[str, Notice, Verdict | None, str]] = [
    ("authorized", ChargeNotice(verdict=taken(AMOUNT, "USD")), taken(AMOUNT, "USD"), "conflict"),
    ("authorized", ChargeNotice(verdict=taken(AMOUNT + 1)), taken(AMOUNT + 1), "conflict"),
    ("authorized", ChargeNotice(verdict=taken(AMOUNT, "USD")), held(), "stale"),
    ("authorized", ChargeNotice(verdict=taken(AMOUNT, "USD")), taken(), "applied"),
    ("authorized", ChargeNotice(verdict=taken(AMOUNT, "USD")), CANNOT_SAY, "later"),
    ("authorizing, captures", ChargeNotice(verdict=taken(AMOUNT, "USD")), taken(AMOUNT, "USD"), "conflict"),
    ("captured", ChargeNotice(verdict=taken(AMOUNT, "USD")), taken(AMOUNT, "USD"), "conflict"),
    ("canceled", ChargeNotice(verdict=taken(AMOUNT, "USD")), taken(AMOUNT, "USD"), "conflict"),
    ("canceled", ChargeNotice(verdict=taken(AMOUNT + 1)), taken(AMOUNT + 1), "conflict"),
    ("declined", ChargeNotice(verdict=taken(AMOUNT, "USD")), taken(AMOUNT, "USD"), "conflict"),
    ("captured", RefundNotice(reference="r", amount=200, currency="USD"), None, "conflict"),
    ("captured", RefundNotice(reference="r", amount=AMOUNT + 1, currency=CURRENCY), None, "conflict"),
    ("refunded", RefundNotice(reference="r", amount=701, currency=CURRENCY), None, "later"),
    ("refunded", RefundNotice(reference="r", amount=AMOUNT + 1, currency=CURRENCY), None, "conflict"),
    ("captured", RefundNotice(reference="r", amount=0, currency=CURRENCY), None, "conflict"),
    ("captured", DisputeNotice(reference="d", state="opened", amount=0, currency=CURRENCY), None, "conflict"),
    ("refunding", RefundNotice(reference="r", amount=1_001, currency=CURRENCY), None, "conflict"),
    ("refunding", RefundNotice(reference="r", amount=701, currency=CURRENCY), None, "later"),
    ("refunding", RefundNotice(reference="r", amount=700, currency=CURRENCY), None, "applied"),
    ("captured", DisputeNotice(reference="d", state="opened", amount=5, currency="USD"), None, "conflict"),
    ("dispute opened", DisputeNotice(reference="dp_1", state="won", amount=999, currency=CURRENCY), None, "conflict"),
    ("dispute opened", DisputeNotice(reference="dp_1", state="won", amount=AMOUNT, currency="USD"), None, "conflict"),
    ("dispute opened", DisputeNotice(reference="dp_2", state="won", amount=999, currency=CURRENCY), None, "applied"),
]


@pytest.mark.parametrize(("situation", "notice", "newest", "disposition"), NOT_OURS)
def test_another_amount_or_currency(situation: str, notice: Notice, newest: Verdict | None, disposition: str) -> None:
    record = SITUATIONS[situation]()
    if newest is not None:
        assert record.take(notice) == "ask"
    sums, payment = record.sums(), record.payment
    assert record.take(notice, newest) == disposition
    if disposition != "applied":
        assert (record.sums(), record.payment) == (sums, payment)
    assert len(record.rejections) == (1 if disposition == "conflict" else 0)
