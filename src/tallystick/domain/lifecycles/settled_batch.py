"""The lifecycle of a settled batch: the platform's side of what a provider's file says.

A batch is ``posting`` from when its evidence counts until every merchant's part is there. Another file with rows of it
makes it ``posting`` again, and so does one that is withdrawn; where nothing is left of it then, it ends
``withdrawn``.
"""

from __future__ import annotations

from typing import Final

from tallystick.domain.ledger.settlement_postings import batch_counted
from tallystick.domain.lifecycles.table import NEW, Edge, Machine

SETTLED_BATCH: Final = Machine(
    "settled_batch",
    {
        NEW: {"counted": Edge("posting", posts=batch_counted)},
        "posting": {
            "supplemented": Edge("posting", posts=batch_counted),
            "completed": Edge("posted"),
            "withdrawn": Edge("withdrawn"),
        },
        "posted": {"supplemented": Edge("posting", posts=batch_counted)},
        "withdrawn": {"supplemented": Edge("posting", posts=batch_counted)},
    },
    final=frozenset(),
)
