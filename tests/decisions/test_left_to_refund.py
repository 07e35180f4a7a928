"""What is left of a payment to refund, after refunds, reversals and disputes: amounts written by hand. The payment is
of 1,000 EUR."""

from __future__ import annotations

import json

import pytest
from msgspec.structs import replace

from tallystick.decisions.resubmission import resubmit, still_possible
from tallystick.decisions.verdicts import give_up
from tallystick.domain.dispute_movement import Movement
from tallystick.domain.dispute_position import claimed
from tallystick.domain.left_to_refund import beyond_the_capture, left_to_refund, uncommitted
from tallystick.domain.notices import AttemptNotice, DisputeNotice, RefundNotice
from tallystick.domain.subjects import DisputeKind, DisputeState
from tallystick.domain.verdicts import NotSent, Reversed
from tests.support.paper_invariants import broken
from tests.support.paper_record import CURRENCY, TERMS, PaperRecord


def captured() -> PaperRecord:
    record = PaperRecord(automatic=True)
    record.answer("authorize")
    return record


def left(record: PaperRecord) -> int:
    return left_to_refund(record.payment, record.stored.disputes)


def dispute(
    state: DisputeState,
    amount: int = 1_000,
    *,
    name: str = "dp_1",
    kind: DisputeKind = "chargeback",
    moved: tuple[Movement, ...] = (),
) -> DisputeNotice:
    return DisputeNotice(reference=name, state=state, amount=amount, currency=CURRENCY, movements=moved, kind=kind)


def out(name: str, amount: int = 1_000, *, early: bool = True) -> Movement:
    return Movement(reference=name, funds="withdrawn", amount=amount, before_verdict=early)


def back(name: str, amount: int = 1_000) -> Movement:
    return Movement(reference=name, funds="returned", amount=amount, before_verdict=False)


def refused(record: PaperRecord, amount: int | None) -> str:
    """The code of the recorded refusal."""
    record.refund(amount)
    [response] = record.changes[-1].responses
    assert response.status == 409
    assert record.changes[-1].transfers == ()
    return str(json.loads(response.body)["code"])


#: What the provider told, in its order -> what is left of 1,000.
LEFT: dict[str, tuple[tuple[DisputeNotice, ...], int]] = {
    "an inquiry takes nothing": ((dispute("opened", kind="inquiry"),), 1_000),
    "an inquiry that the bank looks at": (
        (dispute("opened", kind="inquiry"), dispute("under_review", kind="inquiry")),
        1_000,
    ),
    "an inquiry for which money was withdrawn": ((dispute("opened", kind="inquiry", moved=(out("m1"),)),), 0),
    "an inquiry for which money was withdrawn and returned": (
        (dispute("opened", kind="inquiry", moved=(out("m1"), back("m2"))),),
        0,
    ),
    "an inquiry with a withdrawal that has no name": (
        (
            DisputeNotice(
                reference="dp_1",
                state="opened",
                amount=1_000,
                currency=CURRENCY,
                funds="withdrawn",
                movements=None,
                kind="inquiry",
            ),
        ),
        0,
    ),
    "an inquiry that was lost": ((dispute("opened", kind="inquiry"), dispute("lost", kind="inquiry")), 0),
    "an inquiry that became a chargeback": ((dispute("opened", kind="inquiry"), dispute("opened")), 0),
    "a late event of the inquiry after that": (
        (dispute("opened", kind="inquiry"), dispute("opened"), dispute("opened", kind="inquiry")),
        0,
    ),
    "an inquiry that was closed": ((dispute("opened", kind="inquiry"), dispute("won", kind="inquiry")), 1_000),
    "a chargeback may take its amount": ((dispute("opened"),), 0),
    "a chargeback of a part": ((dispute("opened", 300),), 700),
    "withdrawn": ((dispute("opened", 300, moved=(out("m1", 300),)),), 700),
    "lost": ((dispute("opened", 300, moved=(out("m1", 300),)), dispute("lost", 300)), 700),
    "lost, and a fee was withdrawn beside it": (
        (dispute("opened", 300, moved=(out("m1", 300),)), dispute("lost", 300, moved=(out("m2", 15, early=False),))),
        700,
    ),
    "won": ((dispute("opened", moved=(out("m1"),)), dispute("won", moved=(back("m2"),))), 1_000),
    "won and called lost": (
        (dispute("opened", moved=(out("m1"),)), dispute("won", moved=(back("m2"),)), dispute("lost")),
        0,
    ),
    "two of a part each": ((dispute("opened", 300), dispute("opened", 250, name="dp_2")), 450),
    "over more than was captured": ((dispute("opened", 1_200),), 0),
    "over more than was captured, and won": ((dispute("opened", 1_200), dispute("won", 1_200)), 1_000),
}


@pytest.mark.parametrize("name", LEFT)
def test_what_is_left(name: str) -> None:
    notices, amount = LEFT[name]
    record = captured()
    for notice in notices:
        record.take(notice)
    assert left(record) == amount
    assert refused(record, amount + 1) == "transition_rejected"
    if amount:
        record.refund(amount)
        assert record.payment.amount_refund_pending == amount
        assert left(record) == 0
    assert refused(record, None) == "transition_rejected"
    assert broken(record) == []


def test_the_money_that_was_charged_back_is_not_refunded_too() -> None:
    record = captured()
    record.take(dispute("opened", moved=(out("m1"),)))
    record.take(dispute("lost"))
    assert refused(record, None) == "transition_rejected"
    assert record.sums() == {}


def test_escalation_is_told() -> None:
    record = captured()
    record.take(dispute("opened", kind="inquiry"))
    assert b'"inquiry":true' in record.messages[-1].body
    assert record.take(dispute("opened")) == "applied"
    assert record.messages[-1].type == "dispute.escalated"
    assert b"inquiry" not in record.messages[-1].body


# What providers tell is recorded, with an alert where it passes the capture.


def alerts(record: PaperRecord) -> list[str]:
    return [rejection.reason for rejection in record.rejections if rejection.alert]


def test_a_dispute_after_a_refund_is_recorded_with_an_alert() -> None:
    record = captured()
    record.refund(400)
    record.answer("refund")
    assert record.take(dispute("opened", 600)) == "applied"
    assert alerts(record) == []
    assert record.take(dispute("opened", 1, name="dp_2")) == "applied"
    assert alerts(record) == ["refunds, reversals and disputes pass the capture by 1 EUR"]
    assert left(record) == 0
    assert record.take(dispute("under_review", 1, name="dp_2")) == "applied"
    assert len(alerts(record)) == 1, "the same dispute claims no more than before"
    assert broken(record) == []


def test_an_inquiry_alerts_once_it_is_a_chargeback() -> None:
    record = captured()
    record.refund()
    record.answer("refund")
    record.take(dispute("opened", kind="inquiry"))
    assert alerts(record) == []
    record.take(dispute("opened"))
    assert alerts(record) == ["refunds, reversals and disputes pass the capture by 1000 EUR"]
    assert broken(record) == []


def test_a_dashboard_refund_of_a_lost_dispute_is_recorded_with_an_alert() -> None:
    record = captured()
    record.take(dispute("opened", moved=(out("m1"),)))
    record.take(dispute("lost"))
    assert record.take(RefundNotice(reference="re_x", amount=500, currency=CURRENCY)) == "applied"
    assert record.payment.amount_refunded == 500
    assert alerts(record) == ["refunds, reversals and disputes pass the capture by 500 EUR"]
    # 1,000 came; the dispute took 1,000 and the refund 500, which the merchant owes us and we owe the provider.
    assert record.sums() == {"merchant": 500, "provider:bank": -500}
    assert broken(record) == []


def test_a_capture_that_never_came_after_its_refund_raises_an_alert() -> None:
    record = captured()
    record.refund(300)
    record.answer("refund")
    [authorize, _] = record.stored.attempts
    never = Reversed(code="capture_failed", message="It never came.")
    assert (
        record.take(AttemptNotice(operation="authorize", verdict=never, attempt_id=authorize.attempt_id)) == "applied"
    )
    assert alerts(record) == ["refunds, reversals and disputes pass the capture by 300 EUR"]
    assert broken(record) == []


# A refund that was not sent yet.


def waiting() -> PaperRecord:
    record = captured()
    record.refund(600)
    record.answer("refund", NotSent(reason="refused"))
    return record


def test_a_refund_is_sent_again_while_its_money_is_there() -> None:
    record = waiting()
    record.take(dispute("opened", 400))
    attempt = record.attempt("refund")
    assert attempt is not None and still_possible(record.stored, attempt)
    version = record.payment.version
    record.apply(resubmit(record.stored, attempt.attempt_id, record.step(), TERMS))
    assert record.payment.version == version + 1, "it races with the next dispute"
    assert broken(record) == []


def test_a_refund_whose_money_a_dispute_took_fails() -> None:
    record = waiting()
    record.take(dispute("opened", 401))
    attempt = record.attempt("refund")
    assert attempt is not None and not still_possible(record.stored, attempt)
    record.apply(give_up(record.stored, attempt.attempt_id, record.step()))
    [refund] = record.stored.refunds
    assert (refund.state, refund.failure.code if refund.failure else None) == ("failed", "refund_no_longer_possible")
    assert refund.failure is not None and not refund.failure.retryable
    assert record.payment.amount_refund_pending == 0
    assert left(record) == 599
    assert broken(record) == []


def test_a_dispute_takes_no_more_than_was_captured() -> None:
    """With the bank's costs it may be above the capture: that is no refund too many."""
    record = captured()
    record.take(dispute("opened", 1_500))
    [opened] = record.stored.disputes
    assert opened.amount == 1_500
    assert uncommitted(record.payment, record.stored.disputes) == 0
    assert beyond_the_capture(record.payment, record.stored.disputes) is None


def test_a_lost_inquiry_takes_its_amount_by_itself() -> None:
    """Whatever marks the record has: rows of older versions may have none."""
    record = captured()
    record.take(dispute("opened", kind="inquiry"))
    [asked] = record.stored.disputes
    assert claimed(asked) == 0
    assert claimed(replace(asked, state="lost")) == 1_000
