"""What an edge posts is not proved by the edge: checks that were written by hand must notice a wrong amount, a wrong
side and a missing leg of every one of them.

Each life is lived again with one edge mutated, and only the checks that know nothing of edges are asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from tallystick.oversight.invariants import ledger
from tests.support.mutated_postings import MUTATIONS, POSTING_EDGES, mutate
from tests.support.paper_invariants import as_read
from tests.support.paper_lives import LIVES, edges_taken
from tests.support.paper_record import PaperRecord

pytestmark = pytest.mark.exhaustive

#: Written by hand, and free of the edge table.
INDEPENDENT: Final[tuple[Callable[[Any], Iterator[Any]], ...]] = (
    ledger.holds_match,
    ledger.refunds_in_flight_match,
    ledger.captured_money_is_owed,
    ledger.disputes_are_reserved,
    ledger.suspense_is_explained,
)


def test_every_posting_edge_is_taken_in_some_life() -> None:
    silent = [edge for edge in POSTING_EDGES if not any(edges_taken().get(edge, {}).keys() - {0})]
    assert silent == []


@pytest.mark.parametrize("mutation", MUTATIONS)
@pytest.mark.parametrize(("machine", "event"), POSTING_EDGES)
def test_a_wrong_posting_is_found(monkeypatch: pytest.MonkeyPatch, machine: str, event: str, mutation: str) -> None:
    lives = edges_taken()[(machine, event)]
    for count in sorted(lives.keys() - {0}):
        for at in range(count):
            with monkeypatch.context() as patch:
                mutate(patch, machine, event, count, at, MUTATIONS[mutation])
                patch.setattr(PaperRecord, "_check", lambda _: None)  # its own checks are not what is asked here
                found = [name for name in lives[count] if _wrong(LIVES[name]())]
            assert found, f"{machine}: {event}, leg {at + 1} of {count}: nobody noticed"


def _wrong(record: PaperRecord) -> bool:
    read = as_read(record)
    return any(True for look in INDEPENDENT for _ in look(read))


def test_unmutated_lives_are_clean() -> None:
    assert [name for name, life in LIVES.items() if _wrong(life())] == []
