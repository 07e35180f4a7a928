"""Captures made at the provider, each with a name of its own: equal parts, ours beside theirs, and beyond the hold."""

from __future__ import annotations

from itertools import permutations
from typing import Any, Final, NamedTuple

import pytest

from tallystick.domain.notices import AttemptNotice, CaptureNotice, Notice, RefundNotice
from tallystick.domain.verdicts import Approved, Declined, Reversed
from tests.support.notices import SITUATIONS
from tests.support.paper_invariants import broken
from tests.support.paper_record import CURRENCY, PROVIDER, PaperRecord, approval

OWED, SUSPENSE = f"provider:{PROVIDER}", f"suspense:{PROVIDER}"
CAME_BACK: Final = Reversed(code="capture_failed", message="It never came.")


def part(name: str, amount: int, currency: str = CURRENCY) -> CaptureNotice:
    return CaptureNotice(reference=name, amount=amount, currency=currency)


def failed(name: str) -> AttemptNotice:
    return AttemptNotice(operation="capture", reference=name, verdict=CAME_BACK)


class Course(NamedTuple):
    """Where it begins, what is told, and by hand what it comes to: the hold is 10.00 EUR."""

    begin: str
    told: tuple[Notice, ...]
    captured: int
    reversed: int
    ledger: dict[str, int]
    alerts: int = 0


COURSES: Final[dict[str, Course]] = {
    "two equal parts": Course(
        "authorized", (part("c1", 500), part("c2", 500)), 1_000, 0, {OWED: 1_000, "merchant": -1_000}
    ),
    "three parts, and one never came": Course(
        "authorized",
        (part("c1", 300), part("c2", 300), part("c3", 300), failed("c2")),
        900,
        300,
        {OWED: 600, "merchant": -600},
    ),
    "all of it, refunded there": Course(
        "authorized",
        (part("c1", 500), part("c2", 500), RefundNotice(reference="r1", amount=800, currency=CURRENCY)),
        1_000,
        0,
        {OWED: 200, "merchant": -200},
    ),
    "ours, and the rest there": Course(
        "captured 600", (part("c1", 200), part("c2", 200)), 1_000, 0, {OWED: 1_000, "merchant": -1_000}
    ),
    "beyond the hold": Course(
        "captured 600",
        (part("c1", 401),),
        600,
        0,
        {OWED: 1_001, "merchant": -600, SUSPENSE: -401},
        alerts=1,
    ),
    "more than was held": Course(
        "authorized",
        (part("c1", 1_001),),
        0,
        0,
        {
            OWED: 1_001,
            SUSPENSE: -1_001,
            f"authorized:{PROVIDER}": 1_000,
            f"authorized_contra:{PROVIDER}": -1_000,
        },
        alerts=1,
    ),
    "two equal parts of what is canceled": Course(
        "canceled", (part("c1", 500), part("c2", 500)), 0, 0, {OWED: 1_000, SUSPENSE: -1_000}, alerts=2
    ),
    "one of what is declined": Course("declined", (part("c1", 500),), 0, 0, {OWED: 500, SUSPENSE: -500}, alerts=1),
}


def lived(begin: str, told: Any) -> PaperRecord:
    record = SITUATIONS[begin]()
    waiting = list(told)
    for _ in range(len(waiting) + 1):
        waiting = [each for each in waiting if record.take(each) == "later"]
    assert not waiting
    return record


@pytest.mark.parametrize("name", COURSES)
def test_in_any_order_and_twice(name: str) -> None:
    course = COURSES[name]
    for order in permutations(course.told):
        record = lived(course.begin, [each for each in order for _ in range(2)])
        payment = record.payment
        assert (payment.amount_captured, payment.amount_reversed) == (course.captured, course.reversed), order
        assert record.sums() == course.ledger, order
        assert len(record.rejections) == course.alerts and all(each.alert for each in record.rejections)
        assert broken(record) == []


def test_a_call_of_ours_and_its_capture_are_one() -> None:
    """Told without our name for it, and with the provider's alone."""
    for answered in (True, False):
        record = SITUATIONS["capturing"]()
        attempt = record.attempt("capture")
        assert attempt is not None
        told = part(f"ref_{attempt.attempt_id}", 1_000)
        if answered:
            record.answer("capture")
        else:
            assert record.take(told) == "later"  # nobody knows yet that it is ours
            record.answer("capture")
        assert record.take(told) == "duplicate_effect"
        assert record.sums() == {OWED: 1_000, "merchant": -1_000}


def test_a_part_waits_for_our_own_capture() -> None:
    record = SITUATIONS["authorized"]()
    record.capture(500)
    assert record.take(part("c1", 500)) == "later"
    record.answer("capture")
    assert record.take(part("c1", 500)) == "applied"
    assert (record.payment.amount_captured, record.sums()) == (1_000, {OWED: 1_000, "merchant": -1_000})


@pytest.mark.parametrize(("asked", "captured", "suspense"), [(500, 1_000, 0), (600, 500, 600)])
def test_our_own_capture_that_was_refused_and_happened_beside_theirs(asked: int, captured: int, suspense: int) -> None:
    record = SITUATIONS["authorized"]()
    record.capture(asked)
    record.answer("capture", Declined(code="no", message="No."))
    assert record.take(part("c1", 500)) == "applied"
    attempt = record.attempt("capture")
    assert attempt is not None
    said: Approved = approval(attempt)
    notice = AttemptNotice(operation="capture", attempt_id=attempt.attempt_id, verdict=said)
    assert record.take(notice) == "ask"
    assert record.take(notice, said) == "applied"
    assert record.payment.amount_captured == captured
    assert record.sums().get(SUSPENSE, 0) == -suspense
    assert record.take(notice) == "duplicate_effect"
    assert broken(record) == []


def test_our_own_part_never_came_and_theirs_did() -> None:
    record = SITUATIONS["captured 600"]()
    assert record.take(part("c1", 400)) == "applied"
    attempt = record.attempt("capture")
    assert attempt is not None
    notice = AttemptNotice(operation="capture", attempt_id=attempt.attempt_id, verdict=CAME_BACK)
    assert record.take(notice) == "applied"
    assert (record.payment.amount_reversed, record.sums()) == (600, {OWED: 400, "merchant": -400})
    assert record.take(failed("c1")) == "applied"
    assert (record.payment.amount_reversed, record.sums()) == (1_000, {})


def test_a_part_in_suspense_that_never_came_is_for_a_person() -> None:
    record = lived("canceled", [part("c1", 500)])
    assert record.take(failed("c1")) == "conflict"
    assert record.take(failed("c2")) == "later"


def test_another_currency_is_posted_nowhere() -> None:
    record = SITUATIONS["authorized"]()
    before = record.sums()
    assert record.take(part("c1", 500, "USD")) == "conflict"
    assert record.sums() == before and record.rejections[-1].alert
