"""The lifecycle of what reconciliation said of a movement to its merchant: one step, for it is said once."""

from __future__ import annotations

from typing import Final

from tallystick.domain.lifecycles.table import NEW, Edge, Machine

RECONCILIATION: Final = Machine(
    "reconciliation",
    {
        NEW: {"settled": Edge("settled"), "exception": Edge("exception", told="reconciliation.exception")},
        "settled": {},
        "exception": {},
    },
    final=frozenset({"settled", "exception"}),
)
