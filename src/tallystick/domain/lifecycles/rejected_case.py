"""The lifecycle of a rejected case: a refused transition that somebody has to look at.

It posts nothing and has no messages: what it is about keeps its own state, its ledger and its messages.
"""

from __future__ import annotations

from typing import Final

from tallystick.domain.lifecycles.table import NEW, Edge, Machine

_ESCALATE: Final = {"escalate": Edge("acknowledged")}

#: Nobody looks at it any more.
_GIVE_BACK: Final = {"give_back": Edge("open")}

#: How a case ends. ``settled`` is by rule: the record agrees by now, or what it waited for was decided.
_ENDS: Final = {
    "settled": Edge("resolved"),
    "reprocessed": Edge("resolved"),
    "ignore": Edge("resolved"),
}

#: Reprocessed, and refused again by the same guards.
_AGAIN: Final = "rejected_again"

REJECTED_CASE: Final = Machine(
    "rejected_case",
    {
        NEW: {"reject": Edge("open")},
        "open": {"acknowledge": Edge("acknowledged"), **_ESCALATE, _AGAIN: Edge("open"), **_ENDS},
        "acknowledged": {
            "acknowledge": Edge("acknowledged"),
            **_ESCALATE,
            **_GIVE_BACK,
            _AGAIN: Edge("acknowledged"),
            **_ENDS,
        },
        "resolved": {},
    },
    final=frozenset({"resolved"}),
)
