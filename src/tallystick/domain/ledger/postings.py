"""The postings of every event. Pure.

A posting is a *transfer*: a debit account, a credit account and an amount above zero, so an unbalanced entry cannot be
expressed.
"""

from __future__ import annotations

from typing import NamedTuple

from tallystick.domain.ledger.accounts import (
    DISPUTE_RESERVE,
    MERCHANT,
    authorized_account,
    contra_account,
    disputes_account,
    provider_account,
    refunds_account,
    suspense_account,
)


class Posting(NamedTuple):
    """One leg: ``amount`` minor units leave ``credit`` and arrive at ``debit``."""

    kind: str
    debit: str
    credit: str
    amount: int


def hold(provider: str, amount: int) -> list[Posting]:
    """Authorized: the whole amount is held."""
    return [Posting("hold", authorized_account(provider), contra_account(provider), amount)]


def release(provider: str, amount: int) -> list[Posting]:
    """Void, expiry, or the first half of a capture: the whole hold is reversed."""
    return [Posting("release", contra_account(provider), authorized_account(provider), amount)] if amount else []


def capture(provider: str, held: int, amount: int) -> list[Posting]:
    """Captured ``amount``, after reversing the whole hold (0 if the provider took the money at once)."""
    return [*release(provider, held), Posting("capture", provider_account(provider), MERCHANT, amount)]


def captured_and_refunded(provider: str, amount: int) -> list[Posting]:
    """The provider took the money and had given it back when we heard of it: nobody owes anybody anything."""
    if not amount:
        return []
    return [*capture(provider, 0, amount), *refund_sent(provider, amount), *refund_succeeded(provider, amount)]


def refund_sent(provider: str, amount: int) -> list[Posting]:
    """A refund was sent: the merchant no longer has the money, the payer does not have it yet."""
    return [Posting("refund_sent", MERCHANT, refunds_account(provider), amount)]


def refund_succeeded(provider: str, amount: int) -> list[Posting]:
    """The provider paid the refund out of what it owes us."""
    return [Posting("refund_succeeded", refunds_account(provider), provider_account(provider), amount)]


def refund_failed(provider: str, amount: int, *, had_succeeded: bool) -> list[Posting]:
    """The refund did not arrive: back to the merchant, after first reversing a success."""
    reversal = Posting("refund_reversed", provider_account(provider), refunds_account(provider), amount)
    back = Posting("refund_failed", refunds_account(provider), MERCHANT, amount)
    return [reversal, back] if had_succeeded else [back]


def capture_reversed(provider: str, amount: int) -> list[Posting]:
    """The captured money was never received: neither is it owed to the merchant, nor does the provider owe it."""
    return [Posting("capture_reversed", MERCHANT, provider_account(provider), amount)]


def dispute_opened(amount: int) -> list[Posting]:
    """The customer's bank claims the money back: it is reserved from what we owe the merchant."""
    return [Posting("dispute_reserve", MERCHANT, DISPUTE_RESERVE, amount)]


def dispute_withdrawn(provider: str, amount: int) -> list[Posting]:
    """The provider took the disputed money out of what it owes us."""
    return [Posting("dispute_withdrawn", disputes_account(provider), provider_account(provider), amount)]


def dispute_returned(provider: str, amount: int) -> list[Posting]:
    """The provider gave the disputed money back; the dispute goes on."""
    return [Posting("dispute_returned", provider_account(provider), disputes_account(provider), amount)]


def dispute_won(provider: str, amount: int, *, withdrawn: bool) -> list[Posting]:
    """The reverse of all that the dispute did."""
    back = Posting("dispute_released", DISPUTE_RESERVE, MERCHANT, amount)
    return [back, *dispute_returned(provider, amount)] if withdrawn else [back]


def dispute_lost(provider: str, amount: int, *, withdrawn: bool) -> list[Posting]:
    """The reserve pays for what was withdrawn; if nothing was withdrawn before, it is now."""
    spent = Posting("dispute_lost", DISPUTE_RESERVE, disputes_account(provider), amount)
    return [spent] if withdrawn else [*dispute_withdrawn(provider, amount), spent]


def late_capture(provider: str, amount: int) -> list[Posting]:
    """The provider captured a payment that is closed here: a person decides what to do with the money."""
    return [Posting("late_capture", provider_account(provider), suspense_account(provider), amount)]


def late_money_accepted(provider: str, amount: int) -> list[Posting]:
    """An operator accepts late money for the merchant: it is owed to them as if it had been captured in time."""
    return [Posting("late_money_accepted", suspense_account(provider), MERCHANT, amount)]


def late_money_returned(provider: str, amount: int) -> list[Posting]:
    """Late money has gone back to the payer, out of what the provider owes us."""
    return [Posting("late_money_returned", suspense_account(provider), provider_account(provider), amount)]


def late_money_came_back(provider: str, amount: int) -> list[Posting]:
    """Late money that had gone back is here again, and waits as before."""
    return [Posting("late_money_came_back", provider_account(provider), suspense_account(provider), amount)]


def late_refund(provider: str, amount: int) -> list[Posting]:
    """The provider paid a refund that is failed here: a person decides whose loss it is."""
    return [Posting("late_refund", suspense_account(provider), provider_account(provider), amount)]


def late_movement_in(provider: str, amount: int) -> list[Posting]:
    """The provider gave back more than the dispute's course accounts for."""
    return [Posting("late_movement", provider_account(provider), suspense_account(provider), amount)]


def late_movement_out(provider: str, amount: int) -> list[Posting]:
    """The provider took more than the dispute's course accounts for."""
    return [Posting("late_movement", suspense_account(provider), provider_account(provider), amount)]


def dispute_contested(provider: str, amount: int) -> list[Posting]:
    """A won dispute is reported lost as well: its money is not the merchant's until a person decides."""
    return [Posting("dispute_contested", MERCHANT, suspense_account(provider), amount)]
