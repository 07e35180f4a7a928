"""Rows against postings: one table, written by hand, of what each defect is called and what it adds to the
difference."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tallystick.decisions.provider_fees import FeeCheck
from tallystick.decisions.settlement_match import FeesOf, Match
from tallystick.decisions.settlement_matching import FileMatcher
from tallystick.domain.settlement_evidence import Candidate
from tallystick.domain.settlement_row import RowKind, SettlementRow


def row(number: int = 1, kind: RowKind = "charge", gross: int = 1_000, fee: int = 30, **fields: Any) -> SettlementRow:
    given: dict[str, Any] = {
        "position": number,
        "line": number + 1,
        "batch": "b",
        "row_key": f"e{number}",
        "kind": kind,
        "raw_type": kind,
        "currency": "EUR",
        "gross": gross,
        "fee": fee,
        "net": gross - fee,
        "reference": "cap_1",
        "payment_reference": "ch_1",
    }
    return SettlementRow(**{**given, **fields})


def moved(amount: int | None = 1_000, **fields: Any) -> Candidate:
    given: dict[str, Any] = {
        "found_by": "provider_reference",
        "merchant_id": "m1",
        "payment_id": "pay_1",
        "subject_id": "pay_1",
        "state": "captured",
        "kind": "charge",
        "version": 3,
        "amount": amount,
        "currency": "EUR",
    }
    return Candidate(**{**given, **fields})


def fees_of(of: SettlementRow, expected: int | None) -> FeesOf:
    """The agreed fee of any amount is the same one; a row without a fee is checked only as another amount."""

    def fee(gross: int) -> FeeCheck:
        return FeeCheck(charged=of.fee, expected=expected if of.fee or gross != of.gross else None)

    return fee


def matches(*rows: tuple[SettlementRow, list[Candidate]], expected_fee: int | None = 30) -> list[Match]:
    matcher = FileMatcher()
    found = [matcher.add(each, candidates, fees_of(each, expected_fee)) for each, candidates in rows]
    done = [each for each in found if each is not None] + list(matcher.rest())
    return sorted(done, key=lambda each: each.row.position)


def said(match: Match) -> tuple[str, str, str]:
    return match.status, match.reason, match.stage


#: Defect -> the row, what the record has, what it is called, and what the row adds to the difference besides its fee.
DEFECTS: dict[str, tuple[SettlementRow, list[Candidate], tuple[str, str, str], int]] = {
    "none": (row(), [moved()], ("matched", "same", "provider_reference"), 0),
    "by another name": (
        row(reference="x"),
        [moved(found_by="alternative_reference")],
        ("matched", "same", "alternative_reference"),
        0,
    ),
    "by payment, amount and currency": (
        row(reference="x"),
        [moved(found_by="payment_reference")],
        ("matched", "same", "reference_amount_currency"),
        0,
    ),
    "one more": (row(gross=1_001), [moved()], ("mismatched", "amount", "provider_reference"), 1),
    "one less": (row(gross=999), [moved()], ("mismatched", "amount", "provider_reference"), -1),
    "less than it says that was paid": (
        row(gross=900, payer_amount=1_000, payer_currency="EUR"),
        [moved()],
        ("mismatched", "amount", "provider_reference"),
        -100,
    ),
    "less than it says that was paid, by its payment": (
        row(gross=900, payer_amount=1_000, payer_currency="EUR", reference=None),
        [moved(found_by="payment_reference")],
        ("mismatched", "amount", "reference_amount_currency"),
        -100,
    ),
    "costs that are rounded one by one": (
        row(gross=1_001, payer_amount=1_000, payer_currency="EUR", fee_parts={"markup": 10, "interchange": 20}),
        [moved()],
        ("matched", "rounding", "tolerance"),
        1,
    ),
    "further off than its costs' rounding": (
        row(gross=1_002, payer_amount=1_000, payer_currency="EUR", fee_parts={"markup": 10, "interchange": 20}),
        [moved()],
        ("mismatched", "amount", "provider_reference"),
        2,
    ),
    "a wrong fee, rounded": (
        row(gross=999, fee=31, payer_amount=1_000, payer_currency="EUR", fee_parts={"commission": 31}),
        [moved()],
        ("mismatched", "fee", "tolerance"),
        -1,
    ),
    "wrong fee": (row(fee=31), [moved()], ("mismatched", "fee", "provider_reference"), 0),
    "another currency": (
        row(currency="USD"),
        [moved()],
        ("mismatched", "currency", "provider_reference"),
        1_000,
    ),
    "no money moved here": (
        row(),
        [moved(None, kind=None, state="declined", version=0)],
        ("mismatched", "state", "provider_reference"),
        1_000,
    ),
    "a refund by the name of a capture": (
        row(kind="refund", gross=-1_000, fee=0),
        [moved()],
        ("mismatched", "reference", "provider_reference"),
        -1_000,
    ),
    "in an earlier file": (row(), [moved(taken=True)], ("mismatched", "duplicate", "provider_reference"), 1_000),
    "unknown type": (row(kind="unknown", fee=0), [], ("unexplained", "unknown_type", "none"), 1_000),
    "correction": (row(kind="adjustment", fee=0), [], ("unexplained", "needs_a_person", "none"), 1_000),
    "nothing known": (row(), [], ("unexplained", "not_in_record", "none"), 1_000),
    "names nothing": (
        row(reference=None, payment_reference=None),
        [],
        ("unexplained", "no_reference", "none"),
        1_000,
    ),
    "two that fit": (
        row(),
        [moved(), moved(payment_id="pay_2", subject_id="pay_2")],
        ("unexplained", "ambiguous", "provider_reference"),
        1_000,
    ),
    "fee row": (row(kind="fee", gross=0, fee=0), [], ("explained", "provider_fee", "row_type"), 0),
    "reserve": (row(kind="reserve", gross=-500, fee=0), [], ("explained", "reserve", "row_type"), -500),
    "another payment's refund of the same size": (
        row(kind="refund", gross=-100, fee=0, reference="re_9"),
        [moved(found_by="payment_reference")],
        ("unexplained", "not_in_record", "none"),
        -100,
    ),
}


#: Rows that name their payment alone, as one of Stripe's charges does. Defect -> the row, what the payment has, what it
#: is called, and what it covers.
BY_PAYMENT: dict[str, tuple[SettlementRow, list[Candidate], tuple[str, str, str], int]] = {
    "one more": (row(gross=1_001), [moved()], ("mismatched", "amount", "reference_amount_currency"), 1_000),
    "another currency": (row(currency="USD"), [moved()], ("mismatched", "currency", "reference_amount_currency"), 0),
    "at the provider's rate": (
        row(gross=925, currency="USD", rate="0.925"),
        [moved()],
        ("matched", "conversion", "tolerance"),
        0,
    ),
    "not captured here": (
        row(),
        [moved(None, kind=None, state="authorized", version=0)],
        ("mismatched", "state", "reference_amount_currency"),
        0,
    ),
    "in an earlier file": (
        row(gross=1_001),
        [moved(taken=True)],
        ("unexplained", "not_in_record", "none"),
        0,
    ),
    "two captures": (
        row(gross=1_001),
        [moved(600), moved(300, version=4)],
        ("unexplained", "not_in_record", "none"),
        0,
    ),
    "more was taken back": (
        row(kind="charge_reversal", gross=-500, fee=0),
        [moved(), moved(-400, kind="charge_reversal", version=4)],
        ("unexplained", "not_in_record", "none"),
        0,
    ),
    "a refund that names itself": (
        row(kind="refund", gross=-500, fee=0, reference="re_9"),
        [moved(-400, kind="refund", subject_id="ref_1")],
        ("unexplained", "not_in_record", "none"),
        0,
    ),
    "a refund that names its payment alone": (
        row(kind="refund", gross=-500, fee=0, reference=None),
        [moved(-400, kind="refund", subject_id="ref_1")],
        ("unexplained", "not_in_record", "none"),
        0,
    ),
    "a dispute that names its payment alone": (
        row(kind="dispute", gross=-900, fee=0, reference=None),
        [moved(-1_000, kind="dispute", subject_id="dp_1")],
        ("unexplained", "not_in_record", "none"),
        0,
    ),
    "a refund of a payment without one": (
        row(kind="refund", gross=-500, fee=0, reference=None),
        [moved()],
        ("unexplained", "not_in_record", "none"),
        0,
    ),
    "a payout is no payment's": (row(kind="payout", gross=-500, fee=0), [], ("explained", "payout", "row_type"), 0),
}


@pytest.mark.parametrize("name", BY_PAYMENT)
def test_a_row_that_names_its_payment_alone_is_named_as_what_it_is(name: str) -> None:
    given, found, expected, covers = BY_PAYMENT[name]
    [match] = matches((given, [replace(each, found_by="payment_reference") for each in found]))
    assert said(match) == expected
    assert (match.covers, match.difference) == (covers, given.gross - covers - given.fee)


def test_a_capture_with_a_name_of_its_own_is_not_taken_by_a_row_with_another_name() -> None:
    """Where captures have names, a name that the record lacks is a capture that it lacks."""
    found = moved(found_by="payment_reference")
    matcher = FileMatcher()
    assert matcher.add(row(gross=300, reference="cap_2"), [found], fees_of(row(), None)) is None
    assert matcher.payments_in_question() == {("m1", "pay_1")}
    [match] = matcher.rest({("m1", "pay_1")})
    assert said(match) == ("unexplained", "not_in_record", "none")


def test_a_movement_by_its_payment_goes_to_the_row_that_fits_it() -> None:
    """Whichever comes first: one that only nearly fits waits for all others."""
    found = [moved(found_by="payment_reference")]
    off, right = matches((row(1, gross=999, reference="x"), found), (row(2, reference="y"), found))
    assert said(right) == ("matched", "same", "reference_amount_currency")
    assert said(off) == ("unexplained", "not_in_record", "none"), "it may be a capture that the record lacks yet"


def test_a_movement_that_comes_later_is_no_duplicate_of_an_earlier_one() -> None:
    """A payment has several refunds, and a row names the payment alone: it waits, and is the later one then."""
    earlier = moved(-300, kind="refund", subject_id="ref_1", found_by="payment_reference")
    later = moved(-200, kind="refund", subject_id="ref_2", found_by="payment_reference")
    given = row(kind="refund", gross=-200, fee=0, reference=None)
    for known in (earlier, replace(earlier, taken=True)):
        [match] = matches((given, [known]))
        assert said(match) == ("unexplained", "not_in_record", "none")
        [match] = matches((given, [known, later]))
        assert said(match) == ("matched", "same", "reference_amount_currency")


@pytest.mark.parametrize("name", DEFECTS)
def test_each_defect_is_named_as_what_it_is(name: str) -> None:
    given, found, expected, difference = DEFECTS[name]
    [match] = matches((given, found))
    assert said(match) == expected
    assert match.difference == difference - given.fee


def test_only_what_agrees_goes_to_a_merchant() -> None:
    for name, (defect, found, expected, _) in DEFECTS.items():
        [match] = matches((defect, found))
        agrees = expected[1] in ("same", "fee", "rounding")
        assert (match.part == "charges") == agrees, name


def test_a_doubled_row_is_a_duplicate_of_the_first() -> None:
    first, second = matches((row(1), [moved()]), (row(2), [moved()]))
    assert said(first)[0] == "matched" and said(second) == ("mismatched", "duplicate", "provider_reference")
    assert first.difference + second.difference == 1_000 - 60


def test_a_partial_capture_in_two_rows_is_one_movement() -> None:
    found = [moved(600)]
    rows = matches((row(1, gross=1_000), found), (row(2, "charge_reversal", -400, 0), [moved(600)]))
    assert [said(each) for each in rows] == [("matched", "same", "batch_group")] * 2
    assert [each.covers for each in rows] == [1_000, -400] and [each.part for each in rows] == [
        "charges",
        "charge_reversals",
    ]


def test_two_rows_that_are_not_the_movement_stay_what_they_were() -> None:
    first, second = matches((row(1, gross=500), [moved()]), (row(2, gross=400), [moved()]))
    assert said(first) == ("mismatched", "amount", "provider_reference")
    assert said(second) == ("mismatched", "duplicate", "provider_reference")
    assert first.difference + second.difference == 900 - 60 - 1_000


def test_two_equal_postings_of_one_dispute_are_two_rows() -> None:
    found = [moved(-100, kind="dispute", subject_id="dp_1", version=each) for each in (2, 5)]
    given = [row(each, "dispute", -100, 0, reference="du_1") for each in (1, 2, 3)]
    assert [said(each)[:2] for each in matches(*((each, found) for each in given))] == [
        ("matched", "same"),
        ("matched", "same"),
        ("mismatched", "duplicate"),
    ]


def test_what_was_paid_is_compared_and_not_what_it_was_converted_to() -> None:
    given = row(gross=900, fee=30, payer_amount=1_000, payer_currency="USD")
    [match] = matches((given, [moved(currency="USD")]))
    assert said(match) == ("matched", "conversion", "provider_reference")
    assert match.part == "unexplained", "it is posted at the provider's rate, apart"


def test_a_fee_that_was_not_checked_is_neither_right_nor_wrong() -> None:
    [match] = matches((row(fee=77), [moved()]), expected_fee=None)
    assert said(match)[0] == "matched" and match.fee.expected is None


#: Rows of one reference, each (kind, gross), beside postings of it: worked out by hand. What each is called, what it
#: covers, and what of it is rounding.
TOLERANCES: dict[str, tuple[list[tuple[RowKind, int]], list[int], list[tuple[str, str, str, int, int]]]] = {
    "two halves, one up": (
        [("charge", 500), ("charge", 501)],
        [1_000],
        [("matched", "rounding", "tolerance", 500, 0), ("matched", "rounding", "tolerance", 500, 1)],
    ),
    "three rows, one down": (
        [("charge", 333), ("charge", 333), ("charge", 333)],
        [1_000],
        [("matched", "rounding", "tolerance", 333, 0)] * 2 + [("matched", "rounding", "tolerance", 334, -1)],
    ),
    "two rows may not be off by two": (
        [("charge", 500), ("charge", 502)],
        [1_000],
        [
            ("mismatched", "amount", "provider_reference", 1_000, 0),
            ("mismatched", "duplicate", "provider_reference", 0, 0),
        ],
    ),
    "one row may not be off by one": (
        [("charge", 1_001)],
        [1_000],
        [("mismatched", "amount", "provider_reference", 1_000, 0)],
    ),
    "exactly one of two is no ambiguity": (
        [("charge", 500), ("charge", 500)],
        [1_000, 1_001],
        [("matched", "same", "batch_group", 500, 0)] * 2,
    ),
    "two that are near": (
        [("charge", 500), ("charge", 500)],
        [999, 1_001],
        [("unexplained", "ambiguous", "tolerance", 0, 0)] * 2,
    ),
}


@pytest.mark.parametrize("name", TOLERANCES)
def test_rows_of_one_movement_may_be_off_by_half_a_unit_each(name: str) -> None:
    given, amounts, expected = TOLERANCES[name]
    found = [moved(each, version=number) for number, each in enumerate(amounts, 3)]
    done = matches(*((row(number, kind, gross, 0), found) for number, (kind, gross) in enumerate(given, 1)))
    assert [(*said(each), each.covers, each.rounding) for each in done] == expected
    for each in done:
        assert each.difference == each.row.gross - each.covers


#: One row beside several postings of its payment, by their amounts: which of them it is, by their numbers. None: it is
#: ambiguous; (): none.
ONE_TO_MANY: dict[str, tuple[int, list[int], tuple[int, ...] | None]] = {
    "two captures": (1_000, [600, 400], (1, 2)),
    "two of three": (1_000, [600, 400, 50], (1, 2)),
    "all of three": (1_050, [600, 400, 50], (1, 2, 3)),
    "in two ways": (1_000, [600, 400, 400], None),
    "off by one": (1_001, [600, 400], ()),
    "too many to try sets of": (100, [50, 50, *[7] * 11], ()),
    "too many, and all of them": (177, [50, 50, *[7] * 11], tuple(range(1, 14))),
}


@pytest.mark.parametrize("name", ONE_TO_MANY)
def test_one_row_may_be_several_postings_of_its_payment(name: str) -> None:
    gross, amounts, expected = ONE_TO_MANY[name]
    found = [moved(each, version=number, found_by="payment_reference") for number, each in enumerate(amounts, 1)]
    [match] = matches((row(gross=gross, fee=30, reference="x"), found))
    if not expected:
        assert match.further is None and match.covers == 0 and match.part == "unexplained"
        assert said(match)[:2] == ("unexplained", "ambiguous" if expected is None else "not_in_record")
        return
    assert said(match) == ("matched", "same", "batch_group") and match.of is not None and match.further is not None
    assert (match.of.version, *[each.subject_version for each in match.further]) == expected
    assert (match.covers, match.difference, match.part) == (gross, -30, "charges")


def test_the_posting_that_a_row_names_is_one_of_those_that_it_is() -> None:
    others = [moved(each, version=each, found_by="payment_reference") for each in (300, 700)]
    [match] = matches((row(gross=1_000), [moved(400), *others]))
    assert said(match) == ("mismatched", "amount", "provider_reference"), "300 and 700 are not what it names"
    [match] = matches((row(gross=700), [moved(400), *others]))
    assert match.of is not None and match.further is not None and match.covers == 700


def test_postings_of_two_payments_are_never_one_row() -> None:
    found = [
        moved(each, found_by="payment_reference", payment_id=f"pay_{each}", subject_id=f"pay_{each}") for each in (6, 4)
    ]
    [match] = matches((row(gross=10, reference="x"), found))
    assert said(match)[0] == "unexplained" and match.further is None


def test_an_amount_less_its_agreed_fee_is_the_movement() -> None:
    [match] = matches((row(gross=970, fee=0), [moved()]))
    assert said(match) == ("matched", "fee_in_amount", "tolerance") and match.part == "charges"
    assert (match.covers, match.fee_in_amount, match.difference, match.tolerance) == (1_000, 30, -30, 30)


def test_a_refund_with_its_agreed_fee_is_the_movement() -> None:
    [match] = matches((row(kind="refund", gross=-430, fee=0), [moved(-400, kind="refund")]))
    assert said(match) == ("matched", "fee_in_amount", "tolerance") and match.part == "refunds"
    assert (match.covers, match.fee_in_amount, match.difference) == (-400, 30, -30)


@pytest.mark.parametrize(("gross", "fee", "agreed"), [(971, 0, 30), (970, 0, None), (970, 1, 30), (970, 0, 0)], ids=str)
def test_only_the_agreed_fee_explains_an_amount(gross: int, fee: int, agreed: int | None) -> None:
    [match] = matches((row(gross=gross, fee=fee), [moved()]), expected_fee=agreed)
    assert said(match) == ("mismatched", "amount", "provider_reference")


@pytest.mark.parametrize(
    ("gross", "currency", "rate", "agrees"),
    [
        (925, "USD", "0.925", True),
        (926, "USD", "0.9255", True),  # 925.5: half a unit
        (925, "USD", "0.9255", True),
        (926, "USD", "0.9254", False),  # 925.4
        (1_500, "JPY", "150", True),  # no decimals
        (925, "USD", "x", False),
        (925, "USD", "NaN", False),
        (925, "USD", None, False),
    ],
)
def test_what_was_converted_agrees_at_the_providers_rate(
    gross: int, currency: str, rate: str | None, agrees: bool
) -> None:
    [match] = matches((row(gross=gross, currency=currency, rate=rate), [moved()]))
    expected = ("matched", "conversion", "tolerance") if agrees else ("mismatched", "currency", "provider_reference")
    assert said(match) == expected and match.part == "unexplained"


def test_without_a_tolerance_no_name_is_given() -> None:
    """Every match of the last stage says how much was allowed."""
    rows = [(row(each, gross=gross, fee=0), [moved()]) for each, gross in ((1, 500), (2, 501))]
    assert [each.tolerance for each in matches(*rows)] == [1, 1]


@given(
    st.lists(st.integers(-(10**9), 10**9).filter(bool), min_size=1, max_size=8),
    st.lists(st.tuples(st.integers(0, 7), st.integers(-3, 3)), max_size=20),
)
def test_differences_add_up_to_that_of_the_balances(amounts: list[int], defects: list[tuple[int, int]]) -> None:
    """Whatever is missing, doubled or off: the rows' differences less the postings that no row has are the file's
    total less the record's."""
    postings = [
        moved(each, kind="charge" if each > 0 else "refund", subject_id=f"s{number}", payment_id=f"s{number}")
        for number, each in enumerate(amounts)
    ]
    rows = []
    for number, (which, off) in enumerate(defects, 1):
        of = postings[which % len(postings)]
        assert of.amount is not None and of.kind is not None
        gross = of.amount + off
        rows.append((row(number, of.kind, gross, 0, reference=of.subject_id, payment_reference=of.subject_id), [of]))
    found = matches(*rows)
    assert len(found) == len(rows)
    covered: dict[str, int] = {}
    for match in found:
        if match.of is not None and match.covers:
            covered[match.of.subject_id] = covered.get(match.of.subject_id, 0) + match.covers
    assert all(covered[each] == amounts[int(each[1:])] for each in covered), (
        "a posting is accounted for once, and whole"
    )
    missing = sum(each for number, each in enumerate(amounts) if f"s{number}" not in covered)
    file_total, record_total = sum(each.net for each, _ in rows), sum(amounts)
    assert sum(each.difference for each in found) - missing == file_total - record_total
