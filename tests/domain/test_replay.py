"""History as a fold: what it gives, and what it refuses to guess."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tallystick.domain.replay import HistoryStep, differing_fields, replay
from tallystick.domain.subjects import Failure, Payment

AT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)

OPENED = {
    "amount": 1_000,
    "currency": "EUR",
    "payment_method": "ok",
    "provider": "simulator",
    "created_at": "2026-01-02T03:04:05.678901Z",
    "metadata": {"order": "7"},
}
DECLINED = {"failure": {"code": "card_declined", "message": "No.", "retryable": False}}


def step(version: int, state: str, change: dict[str, Any], subject: str = "payment") -> HistoryStep:
    return HistoryStep(
        merchant_id="m1",
        subject_id="pay_1",
        version=version,
        change_id=f"chg_{version}",
        subject=subject,
        stream_id="pay_1",
        from_state="",
        to_state=state,
        event="",
        at=AT + timedelta(seconds=version - 1),
        change=json.dumps(change),
    )


OPENING = step(1, "authorizing", {**OPENED, "capture_method": "manual"})


def test_each_version_is_what_was_set_until_then() -> None:
    after = replay([OPENING, step(2, "declined", DECLINED)])
    first = Payment(
        merchant_id="m1",
        payment_id="pay_1",
        version=1,
        state="authorizing",
        amount=1_000,
        currency="EUR",
        capture_method="manual",
        payment_method="ok",
        provider="simulator",
        metadata={"order": "7"},
        created_at=AT,
        updated_at=AT,
    )
    assert after.fault is None
    assert after.states[1] == first
    last = after.last()
    assert isinstance(last, Payment)
    assert differing_fields(last, first) == ["version", "state", "failure", "updated_at"]
    assert last.failure == Failure(code="card_declined", message="No.", retryable=False)


def test_a_field_set_to_null_is_null_again() -> None:
    last = replay([OPENING, step(2, "declined", DECLINED), step(3, "authorizing", {"failure": None})]).last()
    assert isinstance(last, Payment)
    assert last.failure is None


@pytest.mark.parametrize(
    ("broken", "fault"),
    [
        (step(2, "captured", {"amount_captured": "1000"}), "Expected `int`"),
        (step(2, "captured", {"amount_captured": 10.5}), "Expected `int`"),
        (step(2, "captured", {"colour": "red"}), "sets fields that a payment does not have: colour"),
        (step(2, "captured", {"state": "captured"}), "sets fields that a payment does not have: state"),
        (step(2, "captured", {}, subject="parcel"), "no such subject as 'parcel'"),
    ],
)
def test_what_cannot_be_replayed_says_at_which_version(broken: HistoryStep, fault: str) -> None:
    after = replay([OPENING, broken])
    assert after.fault is not None
    assert after.fault.startswith("version 2: ")
    assert fault in after.fault
    assert after.last() is None
    assert set(after.states) == {1}


def test_history_that_does_not_open_the_payment_is_no_state() -> None:
    after = replay([step(2, "declined", DECLINED)])
    assert after.fault is not None
    assert "missing required field" in after.fault
