"""What a person may say of a settlement row."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tallystick.decisions.rows_by_hand import NotResolvable, matched_by_hand, written_off
from tallystick.decisions.superseding import difference_of
from tallystick.domain.settlement_evidence import Candidate, CoveredPosting, Evidence


def evidence(**fields: Any) -> Evidence:
    given: dict[str, Any] = {
        "file_id": "stl_1",
        "position": 1,
        "line": 2,
        "batch": "b",
        "currency": "EUR",
        "kind": "charge",
        "row_key": "k",
        "gross": 1_000,
        "fee": 31,
        "net": 969,
        "status": "unexplained",
        "reason": "not_in_record",
        "stage": "none",
        "difference": 969,
        "part": "unexplained",
        "compared": {},
        "parser": "simulator",
        "parser_version": 1,
        "actor": "service:reconciliation",
        "compared_at": datetime(2026, 3, 2, tzinfo=UTC),
    }
    return Evidence(**{**given, **fields})


def posting(amount: int = 1_000, **fields: Any) -> Candidate:
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


WRONG_FEE: dict[str, Any] = {
    "status": "mismatched",
    "reason": "fee",
    "stage": "provider_reference",
    "covers": 1_000,
    "difference": -31,
    "part": "charges",
    "merchant_id": "m1",
    "subject_id": "pay_1",
    "subject_version": 3,
    "leg": 0,
}


def test_a_wrong_fee_is_accepted_and_moves_nothing_however_often() -> None:
    row = evidence(**WRONG_FEE)
    for version in (2, 3):
        accepted = written_off(row)
        assert (accepted.status, accepted.reason, accepted.stage, accepted.version) == (
            "explained",
            "fee",
            "person",
            version,
        )
        assert accepted.covers == 1_000 and accepted.subject_version == 3, "the posting stays accounted for"
        assert [(each.rows, each.gross, each.fee, each.written_off) for each in difference_of(row, accepted)] == [
            (0, 0, 0, 0)
        ]
        row = accepted


@pytest.mark.parametrize(
    "kept",
    [
        {
            "gross": 3_000,
            "covers": 3_000,
            "further": (CoveredPosting(subject_id="pay_1", subject_version=4, leg=0, covers=2_000),),
            "tolerance": 2,
        },
        {"gross": 1_001, "covers": 1_000, "rounding": 1},
    ],
    ids=["two postings in one row", "rounded"],
)
def test_a_row_whose_wrong_fee_is_accepted_accounts_for_what_it_did(kept: dict[str, Any]) -> None:
    """Of the first, no other row may have either capture of 1,000 and 2,000. Of the second, the merchant has 1,000."""
    row = evidence(**{**WRONG_FEE, **kept})
    accepted = written_off(row)
    assert {name: getattr(accepted, name) for name in kept} == kept
    assert [
        (each.rows, each.gross, each.fee, each.rounding, each.written_off) for each in difference_of(row, accepted)
    ] == [(0, 0, 0, 0, 0)]


def test_a_match_moves_the_row_from_what_nobody_knows_to_its_merchant() -> None:
    row = evidence()
    after = matched_by_hand(row, [posting()], writes_off_difference=False)
    assert (after.covers, after.difference, after.written_off, after.part) == (1_000, -31, 0, "charges")
    assert [(each.merchant_id, each.part, each.rows, each.gross, each.fee) for each in difference_of(row, after)] == [
        ("", "unexplained", -1, -1_000, -31),
        ("m1", "charges", 1, 1_000, 31),
    ]


def test_a_match_that_is_written_off_afterwards_is_taken_back() -> None:
    row = matched_by_hand(evidence(), [posting()], writes_off_difference=False)
    after = written_off(row)
    assert (after.covers, after.written_off, after.subject_id) == (0, 1_000, None)
    assert [(each.merchant_id, each.part, each.gross, each.written_off) for each in difference_of(row, after)] == [
        ("", "unexplained", 0, 1_000),
        ("m1", "charges", -1_000, 0),
    ]


def test_late_money_that_is_matched_waits_for_its_own_decision() -> None:
    after = matched_by_hand(evidence(), [posting(late=True)], writes_off_difference=False)
    assert after.part == "late"


@pytest.mark.parametrize(
    ("row", "postings"),
    [
        ({}, []),
        ({}, [posting(currency="USD")]),
        ({}, [posting(-1_000, kind="refund")]),
        ({}, [posting(kind="dispute_reversal")]),
        ({}, [posting(taken=True)]),
        ({}, [posting(999)]),
        ({}, [posting(500), posting(600, version=4)]),
        ({"kind": "payout"}, [posting()]),
        ({"status": "matched", "reason": "same"}, [posting()]),
    ],
)
def test_what_does_not_fit_is_refused(row: dict[str, Any], postings: list[Candidate]) -> None:
    with pytest.raises(NotResolvable):
        matched_by_hand(evidence(**row), postings, writes_off_difference=False)


def test_of_several_postings_the_one_of_its_amount_is_meant() -> None:
    after = matched_by_hand(evidence(), [posting(600), posting(version=4)], writes_off_difference=True)
    assert (after.subject_version, after.written_off) == (4, 0)


@pytest.mark.parametrize(
    "row", [{"status": "matched", "reason": "conversion"}, {"status": "explained", "reason": "reserve"}], ids=str
)
def test_only_what_is_in_doubt_is_written_off(row: dict[str, Any]) -> None:
    with pytest.raises(NotResolvable):
        written_off(evidence(**row))
