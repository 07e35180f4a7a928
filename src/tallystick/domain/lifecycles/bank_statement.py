"""The lifecycle of a bank statement. Each version posts the difference to the one before."""

from __future__ import annotations

from typing import Final

from tallystick.domain.ledger.settlement_postings import statement_posted
from tallystick.domain.lifecycles.table import NEW, Edge, Machine

BANK_STATEMENT: Final = Machine(
    "bank_statement",
    {
        NEW: {"posted": Edge("posted", posts=statement_posted)},
        "posted": {"compared_again": Edge("posted", posts=statement_posted)},
    },
    final=frozenset(),
)
