"""What is said of a movement after what was said last: a table by hand."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tallystick.decisions.reconciliation_messages import is_known, moves_payment
from tallystick.domain.reconciliation import Reconciliation


def said(state: Any, file_id: str) -> Reconciliation:
    at = datetime(2026, 3, 2, tzinfo=UTC)
    return Reconciliation(
        merchant_id="shop",
        reconciliation_id="rcn_x",
        version=1,
        state=state,
        payment_id="pay_x",
        subject_id="pay_x",
        kind="charge",
        reason="same",
        provider="simulator",
        account="main",
        batch="b",
        currency="EUR",
        amount=1_000,
        fee=0,
        net=1_000,
        file_id=file_id,
        position=1,
        evidence_version=1,
        created_at=at,
        updated_at=at,
    )


#: Said last, said now -> whether it is new, and whether the payment has a step of it.
TABLE = (
    (None, "settled one", True, True),
    (None, "withdrawn one", True, False),
    (None, "exception one", True, False),
    ("settled one", "settled one", False, None),
    ("settled one", "settled other", False, None),
    ("settled one", "withdrawn one", True, True),
    ("settled one", "withdrawn other", False, None),
    ("withdrawn one", "settled other", True, True),
    ("withdrawn one", "withdrawn one", False, None),
    ("withdrawn one", "withdrawn other", True, False),
    ("exception one", "exception one", False, None),
)


@pytest.mark.parametrize(("last", "now", "is_new", "moves"), TABLE)
def test_what_is_said_next(last: str | None, now: str, is_new: bool, moves: bool | None) -> None:
    stored = None if last is None else said(*last.split())
    wanted = said(*now.split())
    assert is_known(stored, wanted) is not is_new
    if moves is not None:
        assert moves_payment(stored, wanted) is moves
