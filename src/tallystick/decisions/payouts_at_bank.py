"""What became of payouts at our banks: arrived, due, or late. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, time
from typing import Final, Literal
from zoneinfo import ZoneInfo

from tallystick.decisions.bank_matching import Payout
from tallystick.domain.business_days import DueRule
from tallystick.domain.settlement_views import AtBankView, BankState

#: What can have become of a payout that did not arrive as it was sent.
Way = Literal["not_arrived", "came_back", "other_amount"]


def way_of(payout: Payout) -> Way | None:
    """None: it arrived as it was sent."""
    if payout.arrived == payout.amount:
        return None
    if payout.arrivals:
        return "other_amount"
    return "came_back" if payout.returned or payout.amount < 0 else "not_arrived"


#: The state of a batch, by the worst that became of one of its payouts; the worst first.
_WORST: Final[tuple[Way, ...]] = ("other_amount", "not_arrived", "came_back")


def at_bank(payouts: Sequence[Payout], rule: DueRule | None, now: datetime) -> AtBankView:
    """What became of the payouts of one batch in one currency, at least one. ``rule``: when money of the account is
    due; None: nothing is overdue."""
    ways = {way_of(each) for each in payouts}
    worst = next((way for way in _WORST if way in ways), None)
    waiting = [each for each in payouts if way_of(each) == "not_arrived"]
    due = [rule.due_at(_start(each, rule)) for each in waiting if rule is not None and each.sent_on is not None]
    state: BankState = "matched"
    if worst == "other_amount":
        state = "mismatched"
    elif worst == "not_arrived":
        state = "overdue" if due and min(due) <= now else "expected"
    elif worst == "came_back":
        state = "returned"
    return AtBankView(
        state=state,
        sent=sum(each.amount for each in payouts),
        arrived=sum(each.arrived for each in payouts),
        entries=sum(each.arrivals for each in payouts),
        due=min(due, default=None),
    )


def _start(payout: Payout, rule: DueRule) -> datetime:
    """The day on which the provider says that it sends it: no hour of that is late."""
    assert payout.sent_on is not None, "asked for"
    return datetime.combine(payout.sent_on, time(), ZoneInfo(rule.zone))
