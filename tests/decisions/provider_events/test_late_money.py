"""Money that arrives after we closed its edge: booked once, under whatever name it is told."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tallystick.domain.notices import AttemptNotice, ChargeNotice, Notice
from tallystick.domain.verdicts import (
    Verdict,
)
from tests.support.notices import (
    BOOKED_REFUND,
    CAME_BACK,
    NO,
    NOTICES,
    SITUATIONS,
    _authorized,
    _of,
    held,
    taken,
    voided,
)
from tests.support.paper_record import AMOUNT, PROVIDER, PaperRecord


def _capture_refused() -> PaperRecord:
    record = _authorized()
    record.capture(600)
    record.answer("capture", NO)
    return record


def _capture_refused_and_canceled() -> PaperRecord:
    record = _capture_refused()
    record.cancel()
    record.answer("cancel")
    return record


def _declined_hold() -> PaperRecord:
    record = PaperRecord()
    record.answer("authorize", NO)
    return record


def _insists(record: PaperRecord, notice: Notice, word: Verdict) -> str:
    """What an event comes to where the provider stands by it."""
    said = record.take(notice)
    return record.take(notice, word) if said == "ask" else said


@pytest.mark.parametrize("by_charge_first", [True, False])
@pytest.mark.parametrize(
    ("situation", "sums"),
    [
        (_capture_refused, {"merchant": -600, f"provider:{PROVIDER}": 600}),
        (_capture_refused_and_canceled, {f"provider:{PROVIDER}": 600, f"suspense:{PROVIDER}": -600}),
    ],
)
def test_one_money_told_by_two_names_is_booked_once(
    situation: Callable[[], PaperRecord], sums: dict[str, int], by_charge_first: bool
) -> None:
    record = situation()
    by_name = [ChargeNotice(verdict=taken(600)), _of("capture")(record)]
    for notice in by_name if by_charge_first else by_name[::-1]:
        _insists(record, notice, taken(600))
        assert record.sums() == sums
    for notice in by_name:
        assert _insists(record, notice, taken(600)) == "duplicate_effect"
    assert record.sums() == sums


@pytest.mark.parametrize("situation", [_capture_refused, _capture_refused_and_canceled])
def test_an_answer_that_comes_after_the_event_books_nothing_either(situation: Callable[[], PaperRecord]) -> None:
    """The sender's own answer, recovery's question and an operator's word meet the same guard."""
    record = situation()
    assert _insists(record, ChargeNotice(verdict=taken(600)), taken(600)) == "applied"
    sums = record.sums()
    assert record.answer("capture", taken(600)) is None
    assert record.sums() == sums


def test_a_late_capture_waits_for_the_one_that_is_under_way() -> None:
    record = _capture_refused()
    first = record.attempt("capture")
    assert first is not None
    record.capture(600)
    notice = AttemptNotice(operation="capture", attempt_id=first.attempt_id, verdict=taken(600))
    assert _insists(record, notice, taken(600)) == "later"
    record.answer("capture", NO)
    assert _insists(record, notice, taken(600)) == "applied"
    assert record.sums() == {"merchant": -600, f"provider:{PROVIDER}": 600}


def test_a_second_capture_beside_the_one_in_the_dashboard_is_for_a_person() -> None:
    record = _capture_refused()
    assert record.take(ChargeNotice(verdict=taken())) == "applied"
    assert _insists(record, _of("capture")(record), taken(600)) == "conflict"
    assert record.sums() == {"merchant": -AMOUNT, f"provider:{PROVIDER}": AMOUNT}


@pytest.mark.parametrize("notice", ["held", "auth yes"])
def test_a_late_hold_is_no_money_until_it_is_captured(notice: str) -> None:
    record = _declined_hold()
    assert _insists(record, NOTICES[notice](record), held()) == "applied"
    assert (record.payment.amount_authorized, record.sums(), len(record.rejections)) == (AMOUNT, {}, 1)
    assert record.take(NOTICES[notice](record)) in ("duplicate_effect", "stale")
    assert _insists(record, ChargeNotice(verdict=taken(600)), taken(600)) == "applied"
    assert record.sums() == {f"provider:{PROVIDER}": 600, f"suspense:{PROVIDER}": -600}
    assert (record.payment.state, record.payment.amount_authorized, len(record.rejections)) == ("declined", 0, 2)
    assert _insists(record, ChargeNotice(verdict=taken(600)), taken(600)) == "duplicate_effect"


def test_a_late_hold_is_let_go_of() -> None:
    record = _declined_hold()
    assert _insists(record, ChargeNotice(verdict=held()), held()) == "applied"
    assert record.take(ChargeNotice(verdict=voided())) == "applied"
    assert (record.payment.amount_authorized, record.sums()) == (0, {})
    assert record.take(ChargeNotice(verdict=voided())) == "duplicate_effect"


@pytest.mark.parametrize(
    ("situation", "late", "back"),
    [("declined", "auth yes", "auth reversed"), ("refund failed", "refund yes", "refund reversed")],
)
def test_what_went_to_suspense_and_came_back_is_for_a_person(situation: str, late: str, back: str) -> None:
    record = SITUATIONS[situation]()
    word = taken() if late == "auth yes" else BOOKED_REFUND
    assert _insists(record, NOTICES[late](record), word) == "applied"
    sums = record.sums()
    assert record.take(NOTICES[back](record)) == "conflict"
    assert record.sums() == sums and record.rejections[-1].alert


def test_a_capture_booked_by_another_name_that_is_taken_back_is_for_a_person() -> None:
    record = _capture_refused()
    assert record.take(ChargeNotice(verdict=taken(600))) == "applied"
    assert record.take(_of("capture", CAME_BACK)(record)) == "conflict"
    assert record.payment.amount_reversed == 0 and record.rejections[-1].alert
