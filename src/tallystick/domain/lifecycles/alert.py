"""The lifecycle of an alert. It posts nothing and has no messages to merchants.

A resolved alert opens again when its condition begins to hold once more, so no state is final.
"""

from __future__ import annotations

from typing import Final

from tallystick.domain.lifecycles.table import NEW, Edge, Machine

#: ``resolve`` is a person's; ``cleared`` says that the condition holds no longer.
_ENDS: Final = {"resolve": Edge("resolved"), "cleared": Edge("resolved")}

#: By whoever looks at it, or by somebody else for them.
_TAKEN: Final = {"acknowledge": Edge("acknowledged"), "hand_on": Edge("acknowledged")}

ALERT: Final = Machine(
    "alert",
    {
        NEW: {"open": Edge("open")},
        "open": {**_TAKEN, **_ENDS},
        "acknowledged": {**_TAKEN, "give_back": Edge("open"), **_ENDS},
        "resolved": {"reopen": Edge("open")},
    },
    final=frozenset(),
)
