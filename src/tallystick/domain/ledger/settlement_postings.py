"""The postings of settlements. Pure.

Sums only grow or shrink from one version to the next; a version posts the difference, one transfer a kind, never netted
across kinds. A negative one is posted in reverse.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from tallystick.domain.ledger.accounts import (
    BANK_FEES,
    MERCHANT,
    MERCHANT_AVAILABLE,
    PROVIDER_FEES,
    WRITE_OFF,
    bank_account,
    bank_in_transit_account,
    provider_account,
    provider_balance_account,
    reserve_account,
    rounding_account,
    settled_account,
    tax_account,
    unexplained_account,
)
from tallystick.domain.ledger.postings import Posting
from tallystick.domain.settlement import PAYABLE

Account = Callable[[str], str]

#: Of a sum above zero: debit, credit. The platform's side.
_PLATFORM: Final[dict[str, tuple[Account, Account]]] = {
    "merchants": (provider_balance_account, settled_account),
    "fees": (lambda _: PROVIDER_FEES, provider_balance_account),
    "tax": (tax_account, provider_balance_account),
    "reserve": (provider_balance_account, reserve_account),
    "paid_out": (provider_balance_account, bank_in_transit_account),
    "unexplained": (provider_balance_account, unexplained_account),
    "rounding": (provider_balance_account, rounding_account),
    "written_off": (provider_balance_account, lambda _: WRITE_OFF),
}


#: Kinds of postings to ``provider:<p>`` that settle it.
SETTLED_KINDS: Final = tuple(f"settled_{name}" for name in (*PAYABLE, "late"))


def batch_counted(before: Any, after: Any) -> list[Posting]:
    """The platform's side of a batch: what the provider's balance for us consists of."""
    found: list[Posting] = []
    for name, (debit, credit) in _PLATFORM.items():
        amount = _grown(before, after, name)
        found += _transfer(f"batch_{name}", debit(after.provider), credit(after.provider), amount)
    return found


def part_posted(before: Any, after: Any) -> list[Posting]:
    """A merchant's part: the provider owes it no longer, and it is the merchant's to have paid out. What is late is
    settled and not payable."""
    provider, settled = provider_account(after.provider), settled_account(after.provider)
    found: list[Posting] = []
    for name in (*PAYABLE, "late"):
        found += _transfer(f"settled_{name}", settled, provider, _grown(before, after, name))
    for name in PAYABLE:
        found += _transfer(f"payable_{name}", MERCHANT, MERCHANT_AVAILABLE, _grown(before, after, name))
    return found


def statement_posted(before: Any, after: Any) -> list[Posting]:
    """What the entries of a bank statement moved: payouts that arrived, by provider; the bank's charges; and what
    nobody explains yet."""
    bank = bank_account(after.provider, after.account)
    arrived = {} if before is None else {each.provider: -each.amount for each in before.arrivals}
    for each in after.arrivals:
        arrived[each.provider] = arrived.get(each.provider, 0) + each.amount
    found: list[Posting] = []
    for provider, amount in sorted(arrived.items()):
        found += _transfer("bank_arrived", bank, bank_in_transit_account(provider), amount)
    found += _transfer("bank_charged", BANK_FEES, bank, _grown(before, after, "fees"))
    found += _transfer("bank_unexplained", bank, unexplained_account(bank), _grown(before, after, "unexplained"))
    found += _transfer("bank_written_off", bank, WRITE_OFF, _grown(before, after, "written_off"))
    return found


def _grown(before: Any, after: Any, name: str) -> int:
    now: int = getattr(after, name)
    return now if before is None else now - getattr(before, name)


def _transfer(kind: str, debit: str, credit: str, amount: int) -> list[Posting]:
    if amount > 0:
        return [Posting(kind, debit, credit, amount)]
    return [Posting(kind, credit, debit, -amount)] if amount < 0 else []
