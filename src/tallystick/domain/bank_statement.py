"""Bank statements: what their entries moved, and whether one goes on from the last. Plain data.

Amounts are signed minor units of ``currency``: more than 0 is money that came.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Final, Literal

from msgspec import Struct

BankStatementState = Literal["posted"]

#: What an entry's amount goes to: a provider's payout, the bank's own charges, or nothing that is known yet.
BankPart = Literal["arrived", "bank_fees", "unexplained"]

#: Formats whose batches are statements of a bank, one batch each.
STATEMENT_FORMATS: Final = ("camt053", "mt940")


class Arrived(Struct, frozen=True):
    """What of a statement is payouts of one provider."""

    provider: str
    amount: int


class BankStatement(Struct, frozen=True, kw_only=True):
    """One statement in one currency, in the platform's book. ``merchant_id`` is the operators', ``provider`` the bank.

    ``comparisons``: how often entries of it were compared; ``root``: the digest of all of that evidence. ``net`` is
    ``arrived + unexplained + written_off - fees``; ``arrivals`` has ``arrived`` by provider. A later comparison makes
    the next version, which posts the difference.
    """

    merchant_id: str
    statement_id: str
    version: int
    state: BankStatementState
    provider: str
    account: str
    statement: str
    currency: str
    comparisons: int
    root: str
    entries: int
    net: int
    arrived: int
    arrivals: tuple[Arrived, ...]
    fees: int
    unexplained: int
    written_off: int = 0
    created_at: datetime
    updated_at: datetime


class StatementHead(Struct, frozen=True, kw_only=True):
    """A statement as its file has it. ``counts``: whether its entries are posted; of a doubled one they are not.
    ``balance_account``: the bank's own name of the account."""

    provider: str
    account: str
    balance_account: str | None
    currency: str
    batch: str
    file_id: str
    sequence: str | None
    from_on: date | None
    to_on: date | None
    opening: int
    closing: int
    rows: int
    counts: bool
    doubled: bool
    imported_at: datetime
