"""Movements of a dispute's money that a provider names: what is posted of them, and what is a person's."""

from __future__ import annotations

from msgspec.structs import replace

from tallystick.domain.dispute_movement import Movement
from tallystick.domain.notices import DisputeNotice
from tallystick.domain.subjects import DisputeState
from tests.support.paper_invariants import broken
from tests.support.paper_record import AMOUNT, CURRENCY, PROVIDER, PaperRecord

SUSPENSE = f"suspense:{PROVIDER}"
OWED = f"provider:{PROVIDER}"


def _captured() -> PaperRecord:
    record = PaperRecord(automatic=True)
    record.answer("authorize")
    return record


def told(state: DisputeState, *moved: Movement, amount: int = AMOUNT, opens: bool = True) -> DisputeNotice:
    return DisputeNotice(reference="dp", state=state, amount=amount, currency=CURRENCY, movements=moved, opens=opens)


def out(name: str, amount: int = AMOUNT, *, early: bool = True) -> Movement:
    return Movement(reference=name, funds="withdrawn", amount=amount, before_verdict=early)


def back(name: str, amount: int = AMOUNT, *, early: bool = False) -> Movement:
    return Movement(reference=name, funds="returned", amount=amount, before_verdict=early)


def test_a_movement_is_posted_by_the_first_event_that_lists_it() -> None:
    record, first, second = _captured(), out("m1"), back("m2")
    assert record.take(told("opened")) == "applied"
    assert record.take(told("opened", first)) == "applied"
    assert record.take(told("opened", first, first)) == "duplicate_effect"
    assert record.take(told("won", first, second)) == "applied"
    for late in (told("won", first, second), told("won", second), told("won", first), told("won")):
        assert record.take(late) == "duplicate_effect"
    assert record.take(told("opened", first)) == "stale"
    kinds = [row.kind for row in record.transfers if row.kind.startswith("dispute_")]
    assert sorted(kinds) == ["dispute_released", "dispute_reserve", "dispute_returned", "dispute_withdrawn"]
    assert (record.sums().get(SUSPENSE, 0), record.rejections) == (0, [])


def test_every_movement_after_the_verdict_is_posted_and_alerted() -> None:
    record = _captured()
    record.take(told("opened", out("m1")))
    record.take(told("won", back("m2")))
    for number in range(3, 9):
        moved = out(f"m{number}", early=False) if number % 2 else back(f"m{number}")
        assert record.take(told("won", moved)) == "applied"
        assert record.take(told("won", moved)) == "duplicate_effect"
        assert record.sums().get(SUSPENSE, 0) == (AMOUNT if number % 2 else 0)
        assert len(record.rejections) == number - 2
        assert broken(record) == []


def test_what_a_second_chargeback_costs_beside_the_amount_is_in_suspense() -> None:
    record = _captured()
    record.take(told("opened", out("CHARGEBACK")))
    record.take(told("under_review", back("CHARGEBACK_REVERSED", early=True)))
    assert record.rejections == []
    second = out("SECOND_CHARGEBACK", AMOUNT + 150, early=False)
    assert record.take(told("lost", second, amount=AMOUNT + 150)) == "applied"
    assert (record.sums()[OWED], record.sums()[SUSPENSE]) == (-150, 150)
    assert record.rejections[-1].alert
    assert broken(record) == []


def test_money_waits_for_what_it_presupposes() -> None:
    record = _captured()
    assert record.take(told("under_review", back("m2", early=True))) == "later"
    assert record.take(told("lost", opens=False)) == "later"
    assert record.stored.disputes == ()
    assert record.take(told("opened")) == "applied"
    assert record.take(told("won", back("m2"))) == "later"
    assert record.take(told("lost", opens=False)) == "applied"
    assert OWED not in record.sums()
    assert record.take(told("opened", out("m1"))) == "applied"  # the same money, by its name
    assert OWED not in record.sums() and broken(record) == []


def test_both_verdicts_leave_the_money_to_a_person() -> None:
    """The provider took it: the merchant has it no more, though the dispute was won; and nothing is missing."""
    record = _captured()
    record.take(told("opened", out("m1")))
    record.take(told("won", back("m2")))
    assert record.take(told("lost", out("m3", early=False))) == "applied"
    [dispute] = record.stored.disputes
    assert (dispute.state, dispute.contested, dispute.funds_withdrawn) == ("won", True, True)
    assert record.sums() == {} and "won and lost" in record.rejections[-1].reason
    assert record.take(told("won", back("m4"))) == "applied"
    assert record.sums() == {OWED: AMOUNT, SUSPENSE: -AMOUNT}
    assert broken(record) == []


def test_money_that_was_out_before_movements_had_names_comes_back_under_one() -> None:
    record = _captured()
    unnamed = replace(told("opened"), movements=None, funds="withdrawn")
    assert record.take(unnamed) == "applied"
    assert record.take(told("under_review", back("m2", early=True))) == "applied"
    assert record.sums()[OWED] == AMOUNT
    assert record.take(told("won")) == "applied"
    assert SUSPENSE not in record.sums() and broken(record) == []


def test_money_that_was_out_without_a_name_gets_one() -> None:
    record = _captured()
    record.take(replace(told("opened"), movements=None, funds="withdrawn"))
    before = record.sums()
    assert record.take(told("opened", out("m1"))) == "applied"
    assert record.sums() == before
    assert record.take(told("lost", out("m1"))) == "applied"
    assert SUSPENSE not in record.sums() and broken(record) == []
