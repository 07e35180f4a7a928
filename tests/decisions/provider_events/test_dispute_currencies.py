"""A dispute whose money moves in another currency than its own, or in parts: the ledger of each, written by hand.

Every one is read by Stripe's receiver from the event as Stripe sends it, and decided as it comes.
"""

from __future__ import annotations

from itertools import permutations
from typing import Any, Final, NamedTuple

import msgspec
import pytest

from tallystick.domain.notices import DisputeNotice
from tallystick.domain.subjects import Dispute
from tallystick.oversight.invariants import ledger
from tallystick.providers.stripe.codes import DISPUTES
from tallystick.providers.stripe.movements import movements_of
from tallystick.providers.stripe.objects import Dispute as StripeDispute
from tests.support.paper_invariants import as_read, broken
from tests.support.paper_record import PROVIDER, PaperRecord

CAPTURED: Final = 10_000
DISPUTED: Final = 6_500

OWED, SUSPENSE = f"provider:{PROVIDER}", f"suspense:{PROVIDER}"


class Told(NamedTuple):
    """One event: the dispute's status, and all of its balance transactions until then: amount, currency, rate."""

    status: str
    moved: tuple[tuple[int, str, str | None], ...]
    withdraws: bool = False


class Course(NamedTuple):
    """Events, and by hand: what the accounts hold then, the dispute's mark, unknown movements, and alerts."""

    events: tuple[Told, ...]
    ledger: dict[str, int]
    funds_withdrawn: bool
    unknown: int = 0
    alerts: int = 0


OUT, GBP_OUT = (-6_500, "usd", None), (-5_100, "gbp", None)

#: The payment is of 100.00 USD, the dispute over 65.00 USD. Without it: {provider: 10000, merchant: -10000}.
COURSES: Final[dict[str, Course]] = {
    "one currency, lost, and 0.50 came back": Course(
        (Told("needs_response", (OUT,), True), Told("lost", (OUT, (50, "usd", None)))),
        {OWED: 3_550, "merchant": -3_500, SUSPENSE: -50},
        True,
        alerts=1,
    ),
    "one currency, open, and 0.50 came back": Course(
        (Told("needs_response", (OUT,), True), Told("under_review", (OUT, (50, "usd", None)))),
        {OWED: 3_550, "merchant": -3_500, "dispute_reserve": -6_500, f"disputes:{PROVIDER}": 6_500, SUSPENSE: -50},
        True,
        alerts=1,
    ),
    "one currency, won, and came back in two parts": Course(
        (
            Told("needs_response", (OUT,), True),
            Told("won", (OUT, (6_000, "usd", None), (500, "usd", None))),
        ),
        {OWED: 10_000, "merchant": -10_000},
        False,
        alerts=1,  # the first of the two parts was in suspense for a moment
    ),
    "pounds, lost, and 0.12 came back": Course(
        (Told("needs_response", (GBP_OUT,), True), Told("lost", (GBP_OUT, (12, "gbp", None)))),
        {OWED: 3_500, "merchant": -3_500},
        True,
        unknown=1,
        alerts=1,
    ),
    "pounds, won, and all returned": Course(
        (Told("needs_response", (GBP_OUT,), True), Told("won", (GBP_OUT, (5_050, "gbp", None)))),
        {OWED: 10_000, "merchant": -10_000},
        False,
    ),
    "pounds, returned before it is won": Course(
        (
            Told("needs_response", (GBP_OUT,), True),
            Told("under_review", (GBP_OUT, (5_050, "gbp", None))),
            Told("won", (GBP_OUT, (5_050, "gbp", None))),
        ),
        {OWED: 10_000, "merchant": -10_000},
        False,
        alerts=1,  # while it was under review nobody had said that it was all of it
    ),
    "pounds, won, and a part of it came back": Course(
        (Told("needs_response", (GBP_OUT,), True), Told("won", (GBP_OUT, (12, "gbp", None)))),
        {OWED: 10_000, "merchant": -10_000},  # a verdict is taken at its word until what it moves is told
        False,
        unknown=1,
        alerts=1,
    ),
    "pounds, won, a part and then all of it": Course(
        (
            Told("needs_response", (GBP_OUT,), True),
            Told("won", (GBP_OUT, (12, "gbp", None), (5_050, "gbp", None))),
        ),
        {OWED: 10_000, "merchant": -10_000},
        False,
        unknown=1,
        alerts=1,
    ),
    "pounds, taken twice": Course(
        (Told("needs_response", (GBP_OUT,), True), Told("lost", (GBP_OUT, (-5_100, "gbp", None)))),
        {OWED: 3_500, "merchant": -3_500},
        True,
        unknown=1,
        alerts=1,
    ),
    "pounds with a rate, lost, and 0.12 came back": Course(
        (
            Told("needs_response", ((-5_100, "gbp", "0.784615"),), True),
            Told("lost", ((-5_100, "gbp", "0.784615"), (12, "gbp", "0.8"))),
        ),
        {OWED: 3_515, "merchant": -3_500, SUSPENSE: -15},
        True,
        alerts=1,
    ),
    "pounds with a rate that makes it more than it is": Course(
        (Told("lost", ((-5_200, "gbp", "0.784615"),)),),
        {OWED: 3_500, "merchant": -3_500},
        True,
    ),
    "pounds with a rate that makes it less than it is": Course(
        (Told("lost", ((-5_000, "gbp", "0.8"),)),),
        {OWED: 3_750, "merchant": -3_500, SUSPENSE: -250},
        True,
        alerts=1,
    ),
}


def notice_of(told: Told, *, currency: str = "usd", amount: int = DISPUTED) -> DisputeNotice:
    transactions = [
        {
            "id": f"txn_{number}",
            "amount": moved,
            "currency": unit,
            "exchange_rate": None if rate is None else float(rate),
        }
        for number, (moved, unit, rate) in enumerate(told.moved)
    ]
    state = DISPUTES[told.status]
    thing = {"id": "du_1", "object": "dispute", "status": told.status, "amount": amount, "currency": currency}
    read = msgspec.json.decode(msgspec.json.encode(thing | {"balance_transactions": transactions}), type=StripeDispute)
    return DisputeNotice(
        reference="du_1",
        state=state,
        amount=amount,
        currency=currency.upper(),
        movements=movements_of(read, state, takes=told.withdraws),
    )


def _captured() -> PaperRecord:
    record = PaperRecord(automatic=True, amount=CAPTURED, currency="USD")
    record.answer("authorize")
    return record


def _lived(events: Any) -> tuple[PaperRecord, Dispute]:
    record = _captured()
    waiting = list(events)
    for _ in events:
        waiting = [each for each in waiting if record.take(notice_of(each)) == "later"]
    assert not waiting
    [dispute] = record.stored.disputes
    return record, dispute


@pytest.mark.parametrize("name", COURSES)
def test_the_ledger_by_hand(name: str) -> None:
    course = COURSES[name]
    record, dispute = _lived(course.events)
    assert record.sums() == course.ledger
    assert dispute.funds_withdrawn == course.funds_withdrawn
    assert len([each for each in dispute.movements if each.amount is None]) == course.unknown
    assert len([each for each in record.rejections if each.alert]) == course.alerts
    shown = [each.detail for each in ledger.disputed_money_is_known(as_read(record))]
    assert len(shown) == course.unknown and all("GBP" in each and "USD" in each for each in shown)
    assert [each for each in broken(record) if "is not known" not in each.detail] == []


@pytest.mark.parametrize("name", COURSES)
def test_in_any_order_and_twice(name: str) -> None:
    course = COURSES[name]
    for order in permutations(course.events):
        record, dispute = _lived([each for each in order for _ in range(2)])
        assert record.sums() == course.ledger, order
        assert dispute.funds_withdrawn == course.funds_withdrawn
        assert len([each for each in dispute.movements if each.amount is None]) == course.unknown


def test_an_unknown_amount_is_alerted_once() -> None:
    record = _captured()
    told = COURSES["pounds, lost, and 0.12 came back"].events
    assert [record.take(notice_of(each)) for each in (*told, *told, told[1])] == [
        "applied",
        "applied",
        "stale",
        "duplicate_effect",
        "duplicate_effect",
    ]
    [rejection] = record.rejections
    assert rejection.alert and "12 GBP returned (txn_1)" in rejection.reason


@pytest.mark.parametrize(
    ("currency", "disputed", "moved", "rate", "expected"),
    [
        ("usd", 6_500, -5_100, "0.784615", 6_500),
        ("usd", 6_500, -5_099, "2", 2_550),  # 2549.5: half to even
        ("usd", 6_500, -5_097, "2", 2_548),  # 2548.5: half to even
        ("jpy", 1_000, -650, "0.65", 1_000),  # a rate is of the amounts as Stripe writes them
        ("isk", 650_000, -4_700, "0.00723077", 6_500),  # which has hundredths of a króna there and none here
        ("usd", 6_500, -5_100, "0", 6_500),  # not a rate
        ("usd", 6_500, -5_100, "1e-300", 6_500),
        ("usd", 6_500, -1, "1000", None),  # less than a cent
    ],
)
def test_conversion(currency: str, disputed: int, moved: int, rate: str, expected: int | None) -> None:
    told = Told("needs_response", ((moved, "gbp", rate),))
    [found] = notice_of(told, currency=currency, amount=disputed).movements or ()
    assert (found.amount, found.moved_amount, found.moved_currency) == (expected, -moved, "GBP")


def test_a_currency_that_we_do_not_know_is_no_reason_to_refuse_the_event() -> None:
    [found] = notice_of(Told("needs_response", ((-5_100, "xyz", None),))).movements or ()
    assert (found.amount, found.moved_currency) == (DISPUTED, "XYZ")
