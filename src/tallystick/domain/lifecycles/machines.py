"""All lifecycles, by the kind of their subjects: builder, contract, OpenAPI, ``verify`` and tests read them here.

An edge that is not in one of these tables cannot happen. A declared kind adds its own machine (``domain.kinds``).
"""

from __future__ import annotations

from typing import Final

from tallystick.domain.lifecycles.alert import ALERT
from tallystick.domain.lifecycles.attempt import ATTEMPT
from tallystick.domain.lifecycles.bank_statement import BANK_STATEMENT
from tallystick.domain.lifecycles.dispute import DISPUTE
from tallystick.domain.lifecycles.payment import PAYMENT
from tallystick.domain.lifecycles.reconciliation import RECONCILIATION
from tallystick.domain.lifecycles.refund import REFUND
from tallystick.domain.lifecycles.rejected_case import REJECTED_CASE
from tallystick.domain.lifecycles.settled_batch import SETTLED_BATCH
from tallystick.domain.lifecycles.settlement import SETTLEMENT
from tallystick.domain.lifecycles.table import Edge, Machine

MACHINES: Final[dict[str, Machine]] = {
    machine.name: machine
    for machine in (
        PAYMENT,
        ATTEMPT,
        REFUND,
        DISPUTE,
        REJECTED_CASE,
        ALERT,
        SETTLED_BATCH,
        SETTLEMENT,
        BANK_STATEMENT,
        RECONCILIATION,
    )
}


def next_state(machine: str, state: str, event: str) -> str | None:
    """The state that ``event`` leads to from ``state``, or None if there is no such edge."""
    edge = MACHINES[machine].edge(state, event)
    return None if edge is None else edge.to


def recorded_edge(machine: str, state: str, event: str) -> Edge | None:
    """As the machine's own, or None for an unknown machine."""
    try:  # in one step: it is asked for each step of a long history
        return MACHINES[machine].edges[state][event]
    except KeyError:
        return None


def events(machine: str) -> frozenset[str]:
    """Every event of the machine, without retired edges."""
    return frozenset(event for _, event, _ in MACHINES[machine].live_edges())
