"""The lifecycle of a merchant's part of a settled batch. Each version posts the difference to the one before."""

from __future__ import annotations

from typing import Final

from tallystick.domain.ledger.settlement_postings import part_posted
from tallystick.domain.lifecycles.table import NEW, Edge, Machine

SETTLEMENT: Final = Machine(
    "settlement",
    {
        NEW: {"posted": Edge("posted", posts=part_posted)},
        "posted": {"supplemented": Edge("posted", posts=part_posted)},
    },
    final=frozenset(),
)
