"""An operator states what a movement of unknown amount was: a dispute of 65.00 USD, and 0.12 GBP that came back. The
ledgers were written by hand."""

from __future__ import annotations

import pytest

from tallystick.decisions.stated_amounts import NotStateable, left_to_state, state_amount
from tallystick.domain.dispute_movement import Funds, Movement
from tallystick.domain.notices import DisputeNotice
from tallystick.domain.subjects import Dispute, DisputeState
from tests.support.paper_invariants import broken
from tests.support.paper_record import PaperRecord

#: 100.00 USD were captured, and 65.00 are lost. What came back is in no account as long as nobody says what it was.
LOST = {"provider:bank": 3_500, "merchant": -3_500}

TAKEN = Movement(reference="txn_0", funds="withdrawn", amount=6_500, before_verdict=True)


def unknown(reference: str = "txn_1", funds: Funds = "returned") -> Movement:
    return Movement(
        reference=reference,
        funds=funds,
        amount=None,
        before_verdict=funds == "withdrawn",
        moved_amount=12,
        moved_currency="GBP",
    )


def disputed(*movements: Movement, state: DisputeState = "lost") -> PaperRecord:
    record = PaperRecord(automatic=True, amount=10_000, currency="USD")
    record.answer("authorize")
    notice = DisputeNotice(reference="du_1", state=state, amount=6_500, currency="USD", movements=movements)
    assert record.take(notice) == "applied"
    return record


def dispute_of(record: PaperRecord) -> Dispute:
    [dispute] = record.stored.disputes
    return dispute


def say(record: PaperRecord, amount: int, reference: str = "txn_1", dispute_id: str | None = None) -> None:
    step = record.step()
    rejection_id = step.change_id.replace("chg", "rej")
    dispute_id = dispute_id or dispute_of(record).dispute_id
    record.apply(state_amount(record.stored, dispute_id, reference, amount, step, rejection_id))


def test_it_is_posted_as_if_the_provider_had_said_so() -> None:
    stated, told = disputed(TAKEN, unknown()), disputed(TAKEN, unknown())
    assert stated.sums() == LOST
    say(stated, 15)
    by_the_provider = Movement(reference="txn_1", funds="returned", amount=15, before_verdict=False)
    notice = DisputeNotice(reference="du_1", state="lost", amount=6_500, currency="USD", movements=(by_the_provider,))
    assert told.take(notice) == "applied"
    assert stated.sums() == told.sums() == {"provider:bank": 3_515, "merchant": -3_500, "suspense:bank": -15}
    assert dispute_of(stated).movements[1].moved_amount == 12, "what the account moved is kept"
    assert broken(stated) == [], "and verify names it no more"


def test_what_the_provider_says_later_is_no_news() -> None:
    record = disputed(TAKEN, unknown())
    say(record, 15)
    later = Movement(reference="txn_1", funds="returned", amount=16, before_verdict=False)
    notice = DisputeNotice(reference="du_1", state="lost", amount=6_500, currency="USD", movements=(TAKEN, later))
    assert record.take(notice) == "duplicate_effect"
    assert dispute_of(record).movements[1].amount == 15


def test_money_that_was_taken_makes_the_step_that_it_is() -> None:
    record = disputed(unknown(funds="withdrawn"), state="opened")
    assert not dispute_of(record).funds_withdrawn
    version = record.payment.version
    say(record, 6_500)
    assert dispute_of(record).funds_withdrawn
    assert record.payment.version == version + 1, "its message has a place in the payment's order"
    assert record.sums() == {
        "provider:bank": 3_500,
        "merchant": -3_500,
        "dispute_reserve": -6_500,
        "disputes:bank": 6_500,
    }
    assert record.rejections[-1].alert and len(record.rejections) == 1, (
        "of the unknown amount; this is its usual course"
    )


def test_the_operator_and_the_reason_are_in_the_history() -> None:
    record = disputed(TAKEN, unknown())
    step = record.step()
    change = state_amount(record.stored, dispute_of(record).dispute_id, "txn_1", 15, step, "rej_1")
    assert change.transitions[0].actor == step.actor
    [rejection] = change.rejections
    assert (rejection.origin, rejection.alert) == ("operator", True), "it is in suspense, for a person"


@pytest.mark.parametrize("amount", [0, -1, 6_501])
def test_no_more_comes_back_than_was_taken(amount: int) -> None:
    record = disputed(TAKEN, unknown())
    with pytest.raises(NotStateable, match="6500 USD remain"):
        say(record, amount)
    say(record, 6_500)


def test_nothing_comes_back_before_it_is_said_what_was_taken() -> None:
    record = disputed(unknown("txn_0", "withdrawn"), unknown())
    with pytest.raises(NotStateable, match="0 USD remain"):
        say(record, 1)
    say(record, 6_400, "txn_0")
    with pytest.raises(NotStateable, match="6400 USD remain"):
        say(record, 6_401)
    say(record, 15)
    assert broken(record) == []


@pytest.mark.parametrize("amount", [0, -1, 501])
def test_no_more_is_taken_than_the_dispute_is_about(amount: int) -> None:
    taken = Movement(reference="txn_0", funds="withdrawn", amount=6_000, before_verdict=True)
    record = disputed(taken, unknown(funds="withdrawn"))
    assert left_to_state(dispute_of(record), unknown(funds="withdrawn")) == 500
    with pytest.raises(NotStateable, match="500 USD remain"):
        say(record, amount)
    say(record, 500)
    assert broken(record) == []


@pytest.mark.parametrize(
    ("reference", "dispute_id", "why"),
    [("txn_0", None, "is known"), ("txn_9", None, "no movement"), ("txn_1", "dp_other", "no dispute")],
)
def test_only_a_movement_of_unknown_amount(reference: str, dispute_id: str | None, why: str) -> None:
    with pytest.raises(NotStateable, match=why):
        say(disputed(TAKEN, unknown()), 15, reference, dispute_id)


def test_it_is_stated_once() -> None:
    record = disputed(TAKEN, unknown())
    say(record, 15)
    with pytest.raises(NotStateable, match="is known: 15 USD"):
        say(record, 15)
