"""A payment that ended without money closes its charge at the provider, where its payer held what they could still pay
with: which ends do, and what becomes of the call. Written by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tallystick.decisions.resubmission import park, resubmit
from tallystick.decisions.verdicts import give_up
from tallystick.domain.notices import ChargeNotice
from tallystick.domain.subjects import Attempt
from tallystick.domain.verdicts import Declined, NotFound, Pending, Unknown, Verdict
from tests.support.notices import ACT, NO, taken, voided
from tests.support.paper_invariants import broken
from tests.support.paper_record import TERMS, PaperRecord, approval


def asked_to_act() -> PaperRecord:
    record = PaperRecord(automatic=True)
    record.answer("authorize", ACT)
    return record


def declined_after_action() -> PaperRecord:
    record = asked_to_act()
    record.answer("authorize", NO)
    return record


def declined_while_processing() -> PaperRecord:
    """The payer acted, the bank processed it, and refused."""
    record = asked_to_act()
    record.answer("authorize", Pending(reference="ch_1"))
    record.answer("authorize", NO)
    return record


def declined_by_a_webhook() -> PaperRecord:
    record = asked_to_act()
    record.take(ChargeNotice(verdict=NO))
    return record


def given_up() -> PaperRecord:
    record = asked_to_act()
    record.answer("authorize", NotFound())
    record.apply(give_up(record.stored, record.stored.attempts[0].attempt_id, record.step()))
    return record


def resolved_as_declined() -> PaperRecord:
    """A person says so of an attempt in doubt."""
    record = asked_to_act()
    record.answer("authorize", Pending(reference="ch_1"))
    record.apply(park(record.stored, record.stored.attempts[0].attempt_id, record.step()))
    record.answer("authorize", Declined(code="declined_by_operator", message="Settled by an operator."))
    return record


def closing_of(record: PaperRecord) -> Attempt | None:
    return next((each for each in record.stored.attempts if each.purpose == "close"), None)


ENDS: dict[str, tuple[Callable[[], PaperRecord], str]] = {
    "declined after an action": (declined_after_action, "declined"),
    "declined while processing": (declined_while_processing, "declined"),
    "declined by a webhook": (declined_by_a_webhook, "declined"),
    "given up": (given_up, "failed"),
    "resolved as declined": (resolved_as_declined, "declined"),
}


@pytest.mark.parametrize("name", ENDS)
def test_the_end_and_the_call_are_one_change(name: str) -> None:
    end, state = ENDS[name]
    record = end()
    change = record.changes[-1]
    closing = closing_of(record)
    assert closing is not None and record.payment.state == state
    assert (closing.operation, closing.state, closing.submissions) == ("cancel", "not_sent", 0)
    assert (closing.parent_reference, closing.idempotency_key) == ("ch_1", None)
    assert [(each.subject_id, each.event) for each in change.transitions[-2:]] == [
        (closing.attempt_id, "submit"),
        (closing.attempt_id, "not_sent"),
    ]
    assert [response.status for response in change.responses] == [201], "the answer waits for nothing"
    assert [message.type for message in change.messages] == [f"payment.{state}"]
    assert broken(record) == []


def declined_at_once() -> PaperRecord:
    record = PaperRecord(automatic=True)
    record.answer("authorize", NO)
    return record


def declined_after_a_timeout() -> PaperRecord:
    record = PaperRecord(automatic=True)
    record.answer("authorize", Unknown(reason="time-out"))
    record.answer("authorize", NO)
    return record


def declined_while_the_bank_thought() -> PaperRecord:
    """The provider has named the charge, and gave the payer nothing to act on."""
    record = PaperRecord(automatic=True)
    record.answer("authorize", Pending(reference="ch_1"))
    record.answer("authorize", NO)
    return record


def voided_while_acting() -> PaperRecord:
    record = asked_to_act()
    record.take(ChargeNotice(verdict=voided()))
    return record


def canceled_while_acting() -> PaperRecord:
    record = asked_to_act()
    record.cancel()
    record.answer("cancel")
    return record


def captured_after_action() -> PaperRecord:
    record = asked_to_act()
    record.answer("authorize")
    return record


@pytest.mark.parametrize(
    "life",
    [
        declined_at_once,
        declined_after_a_timeout,
        declined_while_the_bank_thought,
        voided_while_acting,
        canceled_while_acting,
        captured_after_action,
    ],
)
def test_nothing_is_closed_that_nobody_can_pay(life: Callable[[], PaperRecord]) -> None:
    assert closing_of(life()) is None


def sent() -> tuple[PaperRecord, Attempt]:
    record = declined_after_action()
    closing = closing_of(record)
    assert closing is not None
    record.apply(resubmit(record.stored, closing.attempt_id, record.step(), TERMS))
    return record, record.stored.attempt(closing.attempt_id)


@pytest.mark.parametrize(("said", "state"), [(None, "approved"), (NO, "declined")])
def test_its_outcome_moves_nothing_and_tells_nobody(said: Verdict | None, state: str) -> None:
    record, closing = sent()
    payment, messages, rows = record.payment, list(record.messages), list(record.transfers)
    change = record.answer("cancel", approval(closing) if said is None else said)
    assert change is not None
    assert [(each.subject_id, each.to_state) for each in change.transitions] == [(closing.attempt_id, state)]
    assert (change.messages, change.transfers, change.responses, change.rejections) == ((), (), (), ())
    assert (record.payment, record.messages, record.transfers) == (payment, messages, rows)
    assert broken(record) == []


def test_a_provider_that_cannot_be_told_is_an_alert() -> None:
    record, closing = sent()
    record.answer("cancel", NotFound())
    change = give_up(record.stored, closing.attempt_id, record.step())
    record.apply(change)
    assert record.stored.attempt(closing.attempt_id).state == "failed"
    assert [(each.alert, each.origin) for each in change.rejections] == [(True, "recovery")]
    assert record.payment.state == "declined"
    assert broken(record) == []


def test_what_was_captured_meanwhile_is_late_money() -> None:
    record, _ = sent()
    notice = ChargeNotice(verdict=taken())
    assert record.take(notice) == "ask"
    assert record.take(notice, taken()) == "applied"
    record.answer("cancel", NO)
    assert (record.payment.state, record.payment.amount_late) == ("declined", 1_000)
    assert record.sums() == {"provider:bank": 1_000, "suspense:bank": -1_000}
    assert broken(record) == []
