"""What an edge of a lifecycle posts, made wrong: another amount, the other side, a missing leg."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import pytest

from tallystick.domain.ledger.postings import Posting
from tallystick.domain.lifecycles.machines import MACHINES
from tallystick.domain.lifecycles.table import Posts


def _more(legs: Sequence[Posting], at: int) -> list[Posting]:
    return [leg._replace(amount=leg.amount + 1) if n == at else leg for n, leg in enumerate(legs)]


def _other_side(legs: Sequence[Posting], at: int) -> list[Posting]:
    return [leg._replace(debit=leg.credit, credit=leg.debit) if n == at else leg for n, leg in enumerate(legs)]


def _without(legs: Sequence[Posting], at: int) -> list[Posting]:
    return [leg for n, leg in enumerate(legs) if n != at]


#: How the legs of a posting are made wrong at one of them.
MUTATIONS: Final = {"amount": _more, "side": _other_side, "missing leg": _without}

#: Machines of what providers' files say: no life of a payment takes them. Their postings are checked on a real record,
#: by ``test_settled_posts_are_checked.py``.
SETTLED: Final = ("settled_batch", "settlement", "bank_statement")

#: All others that post: machine and event.
POSTING_EDGES: Final = sorted(
    {
        (machine.name, event)
        for machine in MACHINES.values()
        for _, event, edge in machine.live_edges()
        if edge.posts is not None and machine.name not in SETTLED
    }
)


def mutate(
    patch: pytest.MonkeyPatch,
    machine: str,
    event: str,
    count: int,
    at: int,
    change: Callable[[Sequence[Posting], int], list[Posting]],
) -> None:
    """Let an edge post something else, where it posts so many legs, until the end of ``patch``."""
    for state, edges in MACHINES[machine].edges.items():
        edge = edges.get(event)
        if edge is not None and edge.posts is not None:
            posts: Posts = _mutated(edge.posts, count, at, change)
            patch.setitem(edges, event, edge._replace(posts=posts))
            assert MACHINES[machine].edges[state][event].posts is posts


def _mutated(posts: Posts, count: int, at: int, change: Callable[[Sequence[Posting], int], list[Posting]]) -> Posts:
    def wrong(before: Any, after: Any) -> Sequence[Posting]:
        legs = posts(before, after)
        return change(legs, at) if len(legs) == count else legs

    return wrong
