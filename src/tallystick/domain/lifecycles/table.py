"""Lifecycles as tables: a machine is a table of edges, and an edge is one row with everything that it does.

The state before a subject exists is ``NEW``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

from tallystick.domain.ledger.postings import Posting

NEW: Final = "new"

#: What an edge posts: a pure function of the subject before it (None for an edge out of ``NEW``) and after it.
Posts = Callable[[Any, Any], Sequence[Posting]]


#: What must exist beside a step, and is looked for when a payment is explained. ``history``: the step itself, with
#: those before it and the step that its change begins with. ``posting`` and ``message``: where the edge posts and
#: tells. ``request``: the instruction under its key. ``recorded answer``: that of the instruction. ``schedule``: when
#: somebody looks again, as long as the subject is in this state. ``provider's word``: what the provider said, or a
#: person's evidence of it. ``rejection``: the refused transition that alerted a person.
Checkpoint = Literal[
    "history", "posting", "message", "request", "recorded answer", "schedule", "provider's word", "rejection"
]


class Edge(NamedTuple):
    """One row of a lifecycle.

    ``posts`` gives the ledger rows of the step. ``told`` is the type of its message to the merchant, or None for a step
    without a message. ``retired`` edges are in old history and are never taken again. ``beside``: what must exist
    beside the step, and does not follow from the other fields.
    """

    to: str
    posts: Posts | None = None
    told: str | None = None
    retired: bool = False
    beside: tuple[Checkpoint, ...] = ()

    @property
    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """All that must exist beside the step."""
        follow: list[Checkpoint] = ["history"]
        if self.posts is not None:
            follow.append("posting")
        if self.told is not None:
            follow.append("message")
        return (*follow, *self.beside)


Edges = Mapping[str, Mapping[str, Edge]]


class Machine:
    """A lifecycle. ``edges`` reads ``state -> {event: edge}`` and has every state; nothing ordinary leaves a ``final``
    state."""

    def __init__(self, name: str, edges: Edges, final: frozenset[str]) -> None:
        self.name = name
        self.edges: Final = edges
        self.final: Final = final
        #: state -> event of each edge that opens a subject in that state.
        self.openings: Final = {edge.to: event for event, edge in edges.get(NEW, {}).items()}

    @property
    def states(self) -> list[str]:
        """Every state of a subject, in the order of the table."""
        return [state for state in self.edges if state != NEW]

    def edge(self, state: str, event: str) -> Edge | None:
        """The edge that ``event`` takes from ``state``, or None if it does not exist or is retired."""
        try:  # the ordinary case finds one
            found = self.edges[state][event]
        except KeyError:
            return None
        return None if found.retired else found

    def recorded_edge(self, state: str, event: str) -> Edge | None:
        """The edge, or None if it does not exist; includes retired edges, which old history has."""
        try:  # the ordinary case finds one
            return self.edges[state][event]
        except KeyError:
            return None

    def live_edges(self) -> list[tuple[str, str, Edge]]:
        """Every edge that can be taken, as (state, event, edge)."""
        return [
            (state, event, edge)
            for state, edges in self.edges.items()
            for event, edge in edges.items()
            if not edge.retired
        ]
