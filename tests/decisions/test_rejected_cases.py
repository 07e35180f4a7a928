"""Which cases need no person any more, by what is stored of their payment."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace

from tallystick.decisions.change_builder import Cause, ChangeBuilder
from tallystick.decisions.rejected_cases import closing_rule
from tallystick.domain.rejected_case import CATEGORIES, RejectedCase
from tallystick.domain.snapshot import PaymentSnapshot
from tests.support.paper_record import PaperRecord

AT = datetime(2026, 11, 26, tzinfo=UTC)


def snapshot_of() -> PaymentSnapshot:
    """A payment that waits for its provider."""
    return PaperRecord(automatic=True).stored


def case(stored: PaymentSnapshot, category: Any, event: str, **fields: Any) -> RejectedCase:
    """A case of the payment's first attempt, opened as a rejection opens it."""
    attempt = stored.attempts[0]
    cause = Cause(
        change_id="chg_1", at=AT, trigger="webhook", actor="provider:simulator", evidence={"event_id": "evt_1"}
    )
    builder = ChangeBuilder(stored.payment.merchant_id, stored.payment.payment_id, cause)
    builder.reject("rej_1", attempt, event, origin="provider", category=category, reason="why")
    change = builder.change(must_not_be_shed=True)
    [opened] = change.beside
    found = opened.one(RejectedCase)
    assert found is not None and change.transitions == ()
    return replace(found, **fields)


def test_a_rejection_that_alerts_opens_its_case_in_the_same_change() -> None:
    opened = case(snapshot_of(), "late", "approved")
    assert (opened.case_id, opened.state, opened.version, opened.event_id) == ("case_1", "open", 1, "evt_1")


def test_a_refusal_of_a_client_opens_none() -> None:
    stored = snapshot_of()
    cause = Cause(change_id="chg_1", at=AT, trigger="instruction", actor="key:k")
    builder = ChangeBuilder(stored.payment.merchant_id, stored.payment.payment_id, cause)
    builder.reject("rej_1", stored.payment, "capture", origin="client", reason="why")
    assert builder.change(must_not_be_shed=False).beside == ()


@pytest.mark.parametrize(
    ("late", "accepted", "returning", "returned", "closes"),
    [
        (1_000, 0, 0, 0, False),
        (1_000, 1_000, 0, 0, True),
        (1_000, 0, 1_000, 0, False),
        (1_000, 0, 0, 1_000, True),
        (1_000, 400, 0, 600, True),
        (1_000, 400, 0, 500, False),
    ],
)
def test_late_money_that_was_decided_on(late: int, accepted: int, returning: int, returned: int, closes: bool) -> None:
    stored = snapshot_of()
    payment = replace(
        stored.payment,
        amount_late=late,
        amount_late_accepted=accepted,
        amount_late_returning=returning,
        amount_late_returned=returned,
    )
    found = closing_rule(case(stored, "late", "approved"), replace(stored, payment=payment))
    assert found == ("late_money_decided" if closes else None)


@pytest.mark.parametrize("category", CATEGORIES)
def test_what_the_record_says_by_now(category: str) -> None:
    stored = snapshot_of()
    opened = case(stored, category, "declined", subject_state="unknown")
    assert closing_rule(opened, stored) is None
    declined = replace(stored, attempts=(replace(stored.attempts[0], state="declined"),))
    by_itself = category in ("late", "conflicting")
    assert closing_rule(opened, declined) == ("agrees" if by_itself else None)
    assert closing_rule(replace(opened, subject_state="declined"), declined) is None, "it met that state already"
