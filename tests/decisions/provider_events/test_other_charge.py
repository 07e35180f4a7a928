"""An event that carries our payment's name and is about another charge moves nothing of the payment."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tallystick.decisions.provider_events.dispositions import Decided
from tallystick.decisions.provider_events.route import decide_notice
from tallystick.decisions.terms import Checks
from tallystick.domain.notices import AttemptNotice, ChargeNotice, DisputeNotice, Notice, RefundNotice
from tallystick.domain.subjects import Operation
from tallystick.domain.verdicts import Approved, Declined, Effect
from tests.support.paper_record import AMOUNT, CURRENCY, PROVIDER, PaperRecord

CHECKS = Checks(unknown_in_ms=1, pending_in_ms=1, not_sent_in_ms=1, authorization_deadline_ms=1)


def approved(effect: Effect) -> Approved:
    """Of the other charge."""
    return Approved(amount=AMOUNT, currency=CURRENCY, effect=effect, reference="ch_orphan")


NOTICES: dict[str, tuple[Notice, str]] = {
    "released": (ChargeNotice(verdict=approved("voided")), "stale"),
    "declined": (ChargeNotice(verdict=Declined(code="no", message="No.")), "stale"),
    "held": (ChargeNotice(verdict=approved("authorized")), "conflict"),
    "captured": (ChargeNotice(verdict=approved("captured")), "conflict"),
    "refunded": (RefundNotice(reference="re_1", amount=5, currency=CURRENCY), "conflict"),
    "disputed": (DisputeNotice(reference="dp_1", state="opened", amount=5, currency=CURRENCY), "conflict"),
}


@pytest.mark.parametrize("case", NOTICES)
@pytest.mark.parametrize("automatic", [True, False], ids=["captured", "authorized"])
def test_an_event_about_another_charge(case: str, automatic: bool) -> None:
    notice, disposition = NOTICES[case]
    record = PaperRecord(automatic=automatic)
    record.answer("authorize")
    assert record.payment.provider_reference is not None
    decided = decide_notice(
        record.stored,
        notice,
        provider=PROVIDER,
        account="main",
        cause=record.step(),
        rejection_id="rej_1",
        checks=CHECKS,
        charge="ch_orphan",
    )
    assert isinstance(decided, Decided)
    assert decided.disposition == disposition
    if disposition == "stale":
        assert decided.change is None
    else:
        assert decided.change is not None and not decided.change.transitions
        assert [rejection.alert for rejection in decided.change.rejections] == [True]


@pytest.mark.parametrize("operation", ["authorize", "refund"])
@pytest.mark.parametrize("automatic", [True, False], ids=["captured", "authorized"])
def test_one_call_that_was_carried_out_twice_is_for_a_person(operation: Operation, automatic: bool) -> None:
    """The provider names our call, and a second charge or refund: money moved that nobody asked for."""
    record = PaperRecord(automatic=automatic)
    record.answer("authorize")
    if operation == "refund":
        if not automatic:
            record.capture()
            record.answer("capture")
        record.refund(400)
        record.answer("refund")
    attempt = record.attempt(operation)
    assert attempt is not None and attempt.provider_reference is not None
    effect: Effect = "refunded" if operation == "refund" else "captured" if automatic else "authorized"
    verdict = Approved(amount=attempt.amount, currency=CURRENCY, effect=effect, reference=attempt.provider_reference)
    first = AttemptNotice(operation=operation, attempt_id=attempt.attempt_id, verdict=verdict)
    assert record.decide(first) == Decided("duplicate_effect")
    second = AttemptNotice(
        operation=operation, attempt_id=attempt.attempt_id, verdict=replace(verdict, reference="theirs_2")
    )
    decided = record.decide(second)
    assert isinstance(decided, Decided) and decided.disposition == "conflict"
    assert decided.change is not None and not decided.change.transitions and not decided.change.transfers
    assert [rejection.alert for rejection in decided.change.rejections] == [True]
