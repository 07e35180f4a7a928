"""What became of a batch's payouts at our banks: one table, written by hand."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from typing import Any, Final

import pytest

from tallystick.decisions.bank_matching import Payout
from tallystick.decisions.payouts_at_bank import at_bank
from tallystick.domain.business_days import DueRule

#: Sent on Thursday, 5 March 2026, and due two business days later: until the end of Monday in Berlin.
RULE: Final = DueRule(calendar="target-v1", days=2, cut_off=time(9, 0), zone="Europe/Berlin")
SENT_ON: Final = date(2026, 3, 5)
DUE: Final = datetime(2026, 3, 9, 23, 0, tzinfo=UTC)
BEFORE: Final = datetime(2026, 3, 9, 22, 59, tzinfo=UTC)


def payout(amount: int, arrived: int = 0, **more: Any) -> Payout:
    given: dict[str, Any] = {
        "file_id": "stl_1", "position": 1, "provider": "p", "account": "main", "batch": "b", "currency": "EUR",
        "names": (), "sent_on": SENT_ON, "settled": True, "arrivals": int(arrived != 0),
    }  # fmt: skip
    return Payout(amount=amount, arrived=arrived, **{**given, **more})


#: Payouts, the rule, the time -> the state, what was sent and arrived, in how many entries, and when the rest is due.
STATES: Final[dict[str, tuple[list[Payout], DueRule | None, datetime, tuple[Any, ...]]]] = {
    "not there yet": ([payout(900)], RULE, BEFORE, ("expected", 900, 0, 0, DUE)),
    "late": ([payout(900)], RULE, DUE, ("overdue", 900, 0, 0, DUE)),
    "without a calendar nothing is late": ([payout(900)], None, DUE, ("expected", 900, 0, 0, None)),
    "without a day nothing is late": ([payout(900, sent_on=None)], RULE, DUE, ("expected", 900, 0, 0, None)),
    "there": ([payout(900, 900)], RULE, DUE, ("matched", 900, 900, 1, None)),
    "in two entries": ([payout(900, 900, arrivals=2)], RULE, DUE, ("matched", 900, 900, 2, None)),
    "another amount": ([payout(900, 895)], RULE, DUE, ("mismatched", 900, 895, 1, None)),
    "one of two": ([payout(900, 900), payout(50)], RULE, DUE, ("overdue", 950, 900, 1, DUE)),
    "another amount and one late": ([payout(900, 895), payout(50)], RULE, DUE, ("mismatched", 950, 895, 1, DUE)),
    "taken back": ([payout(900, returned=True), payout(-900)], RULE, DUE, ("returned", 0, 0, 0, None)),
}


@pytest.mark.parametrize("name", STATES)
def test_what_became_of_a_batchs_payouts(name: str) -> None:
    payouts, rule, now, expected = STATES[name]
    found = at_bank(payouts, rule, now)
    assert (found.state, found.sent, found.arrived, found.entries, found.due) == expected
