"""Late money and its ways out of suspense: 1,000 EUR that were captured after the payment was declined. Written by
hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from tallystick.decisions.late_money import NoLateMoney, accept_late_money, return_late_money
from tallystick.decisions.verdicts import give_up
from tallystick.domain.dispute_movement import Funds, Movement
from tallystick.domain.late_money import unclaimed
from tallystick.domain.left_to_refund import left_to_refund
from tallystick.domain.notices import AttemptNotice, CaptureNotice, ChargeNotice, DisputeNotice, RefundNotice
from tallystick.domain.subjects import DisputeState
from tallystick.domain.verdicts import NotFound, Pending, Reversed
from tests.support.notices import NO, taken
from tests.support.paper_invariants import broken
from tests.support.paper_record import CURRENCY, TERMS, PaperRecord, approval

CAME_BACK = Reversed(code="returned", message="It came back.")

#: The late money stands in suspense, is the merchant's, or is gone.
SUSPENDED = {"provider:bank": 1_000, "suspense:bank": -1_000}
ACCEPTED = {"merchant": -1_000, "provider:bank": 1_000}
GONE: dict[str, int] = {}


def late() -> PaperRecord:
    record = PaperRecord(automatic=True)
    record.answer("authorize", NO)
    assert record.take(ChargeNotice(verdict=taken()), taken()) == "applied"
    assert record.sums() == SUSPENDED
    return record


def accept(record: PaperRecord) -> None:
    record.apply(accept_late_money(record.stored, record.step()))


def send_back(record: PaperRecord) -> None:
    step = record.step()
    record.apply(return_late_money(record.stored, step.change_id.replace("chg", "att"), step, TERMS))


def sound(record: PaperRecord, sums: dict[str, int]) -> None:
    assert record.sums() == sums
    assert record.payment.state == "declined"
    assert broken(record) == []


# Accepted for the merchant.


def test_accepted_money_is_the_merchants_and_is_told() -> None:
    record = late()
    accept(record)
    sound(record, ACCEPTED)
    assert (record.payment.amount_late_accepted, unclaimed(record.payment)) == (1_000, 0)
    assert record.messages[-1].type == "payment.late_money_accepted"
    assert b'"amount_late_accepted":1000' in record.messages[-1].body
    assert left_to_refund(record.payment, ()) == 1_000
    with pytest.raises(NoLateMoney):
        accept(record)
    with pytest.raises(NoLateMoney):
        send_back(record)


def test_accepted_money_is_refunded_as_if_captured() -> None:
    record = late()
    record.refund(1)
    [response] = record.changes[-1].responses
    assert response.status == 409 and b"a payment that is declined cannot be refunded" in response.body
    accept(record)
    record.refund(400)
    attempt = record.attempt("refund")
    assert attempt is not None and attempt.parent_reference == "ch_1"
    record.answer("refund")
    sound(record, {"merchant": -600, "provider:bank": 600})
    record.refund(601)
    assert record.changes[-1].responses[0].status == 409
    assert record.take(RefundNotice(reference="re_x", amount=600, currency=CURRENCY)) == "applied"
    sound(record, GONE)


def test_accepted_money_is_disputed_as_if_captured() -> None:
    record = late()
    accept(record)
    assert record.take(dispute("opened", out("m1"))) == "applied"
    sound(record, {"disputes:bank": 1_000, "dispute_reserve": -1_000})
    assert left_to_refund(record.payment, record.stored.disputes) == 0
    assert record.take(dispute("lost")) == "applied"
    sound(record, GONE)


# Given back by an operator.


def test_only_the_success_of_a_return_posts() -> None:
    record = late()
    send_back(record)
    sound(record, SUSPENDED)
    assert (record.payment.amount_late_returning, unclaimed(record.payment)) == (1_000, 0)
    attempt = record.attempt("refund")
    assert attempt is not None
    assert (attempt.purpose, attempt.parent_reference, attempt.refund_id) == ("late_return", "ch_1", None)
    with pytest.raises(NoLateMoney):
        accept(record)
    record.answer("refund", Pending(reference="ref_1"))
    sound(record, SUSPENDED)
    record.answer("refund")
    sound(record, GONE)
    assert (record.payment.amount_late_returned, record.payment.amount_late_returning) == (1_000, 0)
    assert record.messages[-1].type == "payment.declined", "the merchant never had the money"


def refused(record: PaperRecord) -> None:
    record.answer("refund", NO)


def given_up(record: PaperRecord) -> None:
    record.answer("refund", NotFound())
    attempt = record.attempt("refund")
    assert attempt is not None
    record.apply(give_up(record.stored, attempt.attempt_id, record.step()))


def reversed_later(record: PaperRecord) -> None:
    record.answer("refund")
    sound(record, GONE)
    record.answer("refund", CAME_BACK)


@pytest.mark.parametrize("fails", [refused, given_up, reversed_later])
def test_a_return_that_did_not_arrive_waits_to_be_decided_on_again(fails: Callable[[PaperRecord], None]) -> None:
    record = late()
    send_back(record)
    fails(record)
    sound(record, SUSPENDED)
    assert unclaimed(record.payment) == 1_000
    accept(record)
    sound(record, ACCEPTED)


@pytest.mark.parametrize(("accepted", "sums"), [(False, GONE), (True, ACCEPTED)])
def test_a_return_that_was_executed_after_we_closed_it(accepted: bool, sums: dict[str, int]) -> None:
    """Posted where the money is still there, and otherwise for a person: either way with an alert."""
    record = late()
    send_back(record)
    refused(record)
    if accepted:
        accept(record)
    attempt = record.attempt("refund")
    assert attempt is not None
    notice = AttemptNotice(operation="refund", verdict=approval(attempt), attempt_id=attempt.attempt_id)
    alerts = len([each for each in record.rejections if each.alert])
    assert record.take(notice, approval(attempt)) == "applied"
    assert len([each for each in record.rejections if each.alert]) == alerts + 1
    sound(record, sums)
    assert record.take(notice) == "duplicate_effect"


# Moved by the provider itself.


def dashboard(amount: int, reference: str = "re_x") -> RefundNotice:
    return RefundNotice(reference=reference, amount=amount, currency=CURRENCY)


def test_a_dashboard_refund_of_late_money_goes_out_of_suspense_once() -> None:
    record = late()
    assert record.take(dashboard(600)) == "applied"
    assert record.take(dashboard(600)) == "duplicate_effect"
    sound(record, {"provider:bank": 400, "suspense:bank": -400})
    assert record.take(dashboard(401, "re_y")) == "conflict"
    sound(record, {"provider:bank": 400, "suspense:bank": -400})
    accept(record)
    sound(record, {"merchant": -400, "provider:bank": 400})
    assert left_to_refund(record.payment, ()) == 400


def test_a_dashboard_refund_of_late_money_that_came_back() -> None:
    record = late()
    record.take(dashboard(600))
    back = AttemptNotice(operation="refund", verdict=CAME_BACK, reference="re_x")
    assert record.take(back) == "applied"
    sound(record, SUSPENDED)
    assert record.take(back) == "duplicate_effect"
    assert record.take(AttemptNotice(operation="refund", verdict=CAME_BACK, reference="re_y")) == "later"


def test_a_dashboard_refund_waits_for_a_return_that_is_under_way() -> None:
    record = late()
    send_back(record)
    assert record.take(dashboard(600)) == "later"
    record.answer("refund", NO)
    assert record.take(dashboard(600)) == "applied"
    sound(record, {"provider:bank": 400, "suspense:bank": -400})


def out(name: str, amount: int = 1_000) -> Movement:
    return Movement(reference=name, funds="withdrawn", amount=amount, before_verdict=True)


def back(name: str, amount: int = 1_000) -> Movement:
    return Movement(reference=name, funds="returned", amount=amount, before_verdict=False)


def dispute(state: DisputeState, *moved: Movement, named: bool = True, funds: Funds | None = None) -> DisputeNotice:
    return DisputeNotice(
        reference="dp_1",
        state=state,
        amount=1_000,
        currency=CURRENCY,
        funds=funds,
        movements=moved if named else None,
    )


def test_a_withdrawal_of_unaccepted_money_goes_out_of_suspense_once() -> None:
    record = late()
    assert record.take(dispute("opened")) == "conflict", "a person should know before they accept it"
    assert record.take(dispute("opened", out("m1"))) == "applied"
    assert record.take(dispute("opened", out("m1"))) == "duplicate_effect"
    sound(record, GONE)
    assert record.stored.disputes == ()
    assert record.take(dispute("lost")) == "stale"
    assert record.take(dispute("won", back("m2"))) == "applied"
    sound(record, SUSPENDED)
    assert record.take(dispute("won", out("m3", 1_001))) == "conflict"
    sound(record, SUSPENDED)


def test_no_more_comes_back_than_went() -> None:
    """That it went may be told after it: until then, and beyond it, nothing is posted."""
    record = late()
    assert record.take(dispute("won", back("m2"))) == "later"
    sound(record, SUSPENDED)
    assert record.take(dispute("opened", out("m1", 600))) == "applied"
    assert record.take(dispute("won", back("m2", 601))) == "later"
    sound(record, {"provider:bank": 400, "suspense:bank": -400})
    assert record.take(dispute("won", back("m2", 600))) == "applied"
    assert record.take(dispute("won", back("m3", 1))) == "later"
    sound(record, SUSPENDED)


def test_another_currency_than_the_payment_s_is_for_a_person() -> None:
    record = late()
    refund = RefundNotice(reference="re_1", amount=400, currency="USD")
    assert record.take(refund) == "conflict"
    assert record.take(replace(dispute("opened", out("m1", 400)), currency="USD")) == "conflict"
    sound(record, SUSPENDED)


def test_a_withdrawal_by_a_provider_that_names_none() -> None:
    record = late()
    assert record.take(dispute("opened", named=False, funds="withdrawn")) == "applied"
    assert record.take(dispute("opened", named=False, funds="withdrawn")) == "duplicate_effect"
    sound(record, GONE)
    assert record.take(dispute("won", named=False, funds="returned")) == "applied"
    sound(record, SUSPENDED)


def test_what_an_accepted_dispute_took_before_stays_out_of_the_merchants_book() -> None:
    """600 were taken before anybody accepted the rest: the dispute goes on beside the merchant's money."""
    record = late()
    assert record.take(dispute("opened", out("m1", 600))) == "applied"
    accept(record)
    sound(record, {"merchant": -400, "provider:bank": 400})
    assert record.take(dispute("won", out("m1", 600), back("m2", 600))) == "applied"
    sound(record, {"merchant": -400, "provider:bank": 1_000, "suspense:bank": -600})
    accept(record)
    sound(record, ACCEPTED)


# Money beyond a hold, of a payment that has not ended or was captured.


def named(reference: str, amount: int) -> CaptureNotice:
    return CaptureNotice(reference=reference, amount=amount, currency=CURRENCY)


def test_money_beyond_a_hold_waits_until_the_payment_has_ended() -> None:
    record = PaperRecord()
    record.answer("authorize")
    record.take(named("cap_1", 1_200), taken(1_200))
    assert (record.payment.state, record.payment.amount_late) == ("authorized", 1_200)
    with pytest.raises(NoLateMoney):
        accept(record)
    assert record.take(dashboard(1_200)) == "later"
    assert broken(record) == []


def test_money_beyond_a_captured_hold_is_decided_on_beside_it() -> None:
    record = PaperRecord()
    record.answer("authorize")
    assert record.take(named("cap_1", 1_000)) == "applied"
    record.take(named("cap_2", 300), taken(1_300))
    assert (record.payment.state, record.payment.amount_late) == ("captured", 300)
    assert left_to_refund(record.payment, ()) == 1_000
    accept(record)
    assert left_to_refund(record.payment, ()) == 1_300
    record.refund(1_300)
    record.answer("refund")
    assert record.sums() == {}
    assert broken(record) == []


def test_a_dashboard_refund_is_of_the_merchants_money_first() -> None:
    record = PaperRecord()
    record.answer("authorize")
    record.take(named("cap_1", 1_000))
    record.take(named("cap_2", 300), taken(1_300))
    assert record.take(dashboard(900, "re_1")) == "applied"
    assert (record.payment.amount_refunded, record.payment.amount_late_returned) == (900, 0)
    assert record.take(dashboard(300, "re_2")) == "applied"
    assert (record.payment.amount_refunded, record.payment.amount_late_returned) == (900, 300)
    assert record.sums() == {"merchant": -100, "provider:bank": 100}
    assert broken(record) == []
