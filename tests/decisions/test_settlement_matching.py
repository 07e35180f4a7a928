"""Rows against postings: one table, written by hand, of what each defect is called and what it adds to the
difference."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.decisions.provider_fees import FeeCheck
from tallystick.decisions.settlement_matching import FileMatcher, Match
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


def matches(*rows: tuple[SettlementRow, list[Candidate]], expected_fee: int | None = 30) -> list[Match]:
    matcher = FileMatcher()
    found = [
        matcher.add(each, candidates, FeeCheck(charged=each.fee, expected=expected_fee if each.fee else None))
        for each, candidates in rows
    ]
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


@pytest.mark.parametrize("name", DEFECTS)
def test_each_defect_is_named_as_what_it_is(name: str) -> None:
    given, found, expected, difference = DEFECTS[name]
    [match] = matches((given, found))
    assert said(match) == expected
    assert match.difference == difference - given.fee


def test_only_what_agrees_goes_to_a_merchant() -> None:
    for name, (defect, found, expected, _) in DEFECTS.items():
        [match] = matches((defect, found))
        agrees = expected[1] in ("same", "fee")
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
