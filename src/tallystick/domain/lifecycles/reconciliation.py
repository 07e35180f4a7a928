"""The lifecycle of what reconciliation said of a movement to its merchant.

A movement is settled, and that can be taken back with the file that said it; then another file may settle it again. A
row that disagrees is told once.
"""

from __future__ import annotations

from typing import Final

from tallystick.domain.lifecycles.table import NEW, Edge, Machine

#: What the merchant hears of a movement is a message of its payment. ``withdrawn`` of one of which nothing was said, or
#: that was taken back before, tells nobody: it takes the version from whoever would still say that it is settled.
RECONCILIATION: Final = Machine(
    "reconciliation",
    {
        NEW: {
            "settled": Edge("settled"),
            "exception": Edge("exception", told="reconciliation.exception"),
            "withdrawn": Edge("withdrawn"),
        },
        "settled": {"withdrawn": Edge("withdrawn")},
        "exception": {},
        "withdrawn": {"settled": Edge("settled"), "withdrawn": Edge("withdrawn")},
    },
    final=frozenset({"exception"}),
)
