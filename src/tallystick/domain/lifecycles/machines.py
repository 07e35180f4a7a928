"""Every lifecycle there is, by machine: guards, contract, OpenAPI, ``verify`` and tests are generated from here.

An edge that is not in one of these tables cannot happen.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tallystick.domain.lifecycles.attempt import ATTEMPT
from tallystick.domain.lifecycles.dispute import DISPUTE
from tallystick.domain.lifecycles.payment import PAYMENT
from tallystick.domain.lifecycles.refund import REFUND
from tallystick.domain.lifecycles.table import Table

MACHINES: Final[Mapping[str, Table]] = {
    "payment": PAYMENT,
    "attempt": ATTEMPT,
    "refund": REFUND,
    "dispute": DISPUTE,
}

FINAL: Final[Mapping[str, frozenset[str]]] = {
    "payment": frozenset({"captured", "declined", "failed", "canceled", "expired"}),
    "attempt": frozenset({"approved", "declined", "failed", "reversed"}),
    "refund": frozenset({"succeeded", "failed"}),
    "dispute": frozenset({"won", "lost"}),
}


def next_state(machine: str, state: str, event: str) -> str | None:
    """The state that ``event`` leads to from ``state``, or None where there is no such edge."""
    return MACHINES[machine].get(state, {}).get(event)


def is_edge(machine: str, from_state: str, to_state: str) -> bool:
    """Whether some event leads from one state to the other: what ``verify`` checks of history."""
    return to_state in MACHINES[machine].get(from_state, {}).values()


def events(machine: str) -> frozenset[str]:
    """Every event the machine knows, whatever the state."""
    return frozenset(event for edges in MACHINES[machine].values() for event in edges)
