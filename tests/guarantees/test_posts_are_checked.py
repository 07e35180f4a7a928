"""What an edge posts is not proved by the edge: checks that were written by hand must notice a wrong amount, a wrong
side and a missing leg of every one of them.

Each life is lived again with one edge mutated, and only the checks that know nothing of edges are asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any, Final

import pytest

from tallystick.decisions.late_money import accept_late_money, return_late_money
from tallystick.domain.dispute_movement import Movement
from tallystick.domain.ledger.postings import Posting
from tallystick.domain.lifecycles.machines import MACHINES
from tallystick.domain.lifecycles.table import Posts
from tallystick.domain.notices import CancelOrRefundNotice, CaptureNotice, ChargeNotice, DisputeNotice, RefundNotice
from tallystick.domain.subjects import DisputeState
from tallystick.domain.verdicts import Reversed
from tallystick.oversight.invariants import ledger
from tests.support.notices import NOTICES, SITUATIONS, taken
from tests.support.paper_invariants import as_read
from tests.support.paper_record import AMOUNT, CURRENCY, TERMS, PaperRecord, approval

pytestmark = pytest.mark.exhaustive

#: Written by hand, and free of the edge table.
INDEPENDENT: Final[tuple[Callable[[Any], Iterator[Any]], ...]] = (
    ledger.holds_match,
    ledger.refunds_in_flight_match,
    ledger.captured_money_is_owed,
    ledger.disputes_are_reserved,
    ledger.suspense_is_explained,
)

Life = Callable[[], PaperRecord]


def _after(situation: str, notice: str) -> Life:
    """A situation, and one notice: where the provider has to be asked, it stands by what it said."""

    def life() -> PaperRecord:
        record = SITUATIONS[situation]()
        said = NOTICES[notice](record)
        if record.take(said) == "ask":
            refund = record.attempt("refund")
            record.take(said, taken() if refund is None else approval(refund))
        return record

    return life


def _dispute(*notices: tuple[DisputeState, tuple[Movement, ...]]) -> Life:
    def life() -> PaperRecord:
        record = SITUATIONS["captured at once"]()
        for state, moved in notices:
            record.take(
                DisputeNotice(
                    reference="dp", state=state, amount=AMOUNT, currency=CURRENCY, movements=moved, opens=True
                )
            )
        return record

    return life


def _captures(*parts: tuple[str, int]) -> Life:
    def life() -> PaperRecord:
        record = SITUATIONS["authorized"]()
        for name, amount in parts:
            record.take(CaptureNotice(reference=name, amount=amount, currency=CURRENCY))
        return record

    return life


def _ended_and_captured() -> PaperRecord:
    record = SITUATIONS["authorized"]()
    record.take(CancelOrRefundNotice(reference="e1", amount=AMOUNT, currency=CURRENCY))
    record.take(CaptureNotice(reference="c1", amount=AMOUNT, currency=CURRENCY))
    return record


def _out(name: str, amount: int = AMOUNT, *, early: bool = True) -> Movement:
    return Movement(reference=name, funds="withdrawn", amount=amount, before_verdict=early)


def _back(name: str, amount: int = AMOUNT, *, early: bool = False) -> Movement:
    return Movement(reference=name, funds="returned", amount=amount, before_verdict=early)


def _late(*acts: Callable[[PaperRecord], object]) -> Life:
    """1,000 that were captured after the payment was declined, and what becomes of them."""

    def life() -> PaperRecord:
        record = SITUATIONS["declined"]()
        record.take(ChargeNotice(verdict=taken()), taken())
        for act in acts:
            act(record)
        return record

    return life


def _accepted(record: PaperRecord) -> None:
    record.apply(accept_late_money(record.stored, record.step()))


def _returned(record: PaperRecord) -> None:
    record.apply(return_late_money(record.stored, "att_return", record.step(), TERMS))
    record.answer("refund")


def _came_back(record: PaperRecord) -> None:
    record.answer("refund", Reversed(code="returned", message="It came back."))


def _refunded_there(record: PaperRecord) -> None:
    record.take(RefundNotice(reference="re_x", amount=600, currency=CURRENCY))


LIVES: Final[dict[str, Life]] = {
    "late money, accepted": _late(_accepted),
    "late money, returned": _late(_returned),
    "late money, returned, came back": _late(_returned, _came_back),
    "late money, refunded there, the rest accepted": _late(_refunded_there, _accepted),
    **{f"{situation}; {notice}": _after(situation, notice) for situation in SITUATIONS for notice in NOTICES},
    "captures, equal parts": _captures(("1", 500), ("2", 500)),
    "captures, beyond the hold": _captures(("1", 700), ("2", 500)),
    "ended there, and captured": _ended_and_captured,
    "movements, won": _dispute(("opened", (_out("m1"),)), ("won", (_back("m2"),)), ("won", (_out("m3", early=False),))),
    "movements, won twice": _dispute(
        ("opened", (_out("m1"),)),
        ("won", (_back("m2"),)),
        ("won", (_out("m3", early=False),)),
        ("won", (_back("m4"),)),
    ),
    "movements, lost": _dispute(("opened", (_out("m1"),)), ("under_review", (_back("m2", early=True),)), ("lost", ())),
    "movements, a fee beside": _dispute(("opened", (_out("m1", AMOUNT + 150),)), ("lost", ())),
    "movements, a part back": _dispute(("opened", (_out("m1"),)), ("lost", (_back("m2", 50),))),
    "movements, a part back while it is open": _dispute(
        ("opened", (_out("m1"),)), ("under_review", (_back("m2", 50, early=True),)), ("won", ())
    ),
    "movements, contested": _dispute(("opened", (_out("m1"),)), ("won", (_back("m2"),)), ("lost", ())),
}


@cache
def edges_taken() -> dict[tuple[str, str], dict[int, list[str]]]:
    """By edge and number of legs: the lives in which it posted so many."""
    found: dict[tuple[str, str], dict[int, list[str]]] = {}
    for name, life in LIVES.items():
        record = life()
        legs: dict[tuple[str, int], int] = {}
        for row in record.transfers:
            legs[(row.subject_id, row.version)] = legs.get((row.subject_id, row.version), 0) + 1
        for change in record.changes:
            for step in change.transitions:
                count = legs.get((step.subject_id, step.version), 0)
                lives = found.setdefault((step.subject, step.event), {}).setdefault(count, [])
                if name not in lives:
                    lives.append(name)
    return found


def _more(legs: Sequence[Posting], at: int) -> list[Posting]:
    return [leg._replace(amount=leg.amount + 1) if n == at else leg for n, leg in enumerate(legs)]


def _other_side(legs: Sequence[Posting], at: int) -> list[Posting]:
    return [leg._replace(debit=leg.credit, credit=leg.debit) if n == at else leg for n, leg in enumerate(legs)]


def _without(legs: Sequence[Posting], at: int) -> list[Posting]:
    return [leg for n, leg in enumerate(legs) if n != at]


MUTATIONS: Final = {"amount": _more, "side": _other_side, "missing leg": _without}

#: Machines of what providers' files say: no life of a payment takes them. Their postings are checked on a real record,
#: by ``test_settled_posts_are_checked.py``.
SETTLED: Final = ("settled_batch", "settlement", "bank_statement")

POSTING_EDGES: Final = sorted(
    {
        (machine.name, event)
        for machine in MACHINES.values()
        for _, event, edge in machine.live_edges()
        if edge.posts is not None and machine.name not in SETTLED
    }
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


def _wrong(record: PaperRecord) -> bool:
    read = as_read(record)
    return any(True for look in INDEPENDENT for _ in look(read))


def test_unmutated_lives_are_clean() -> None:
    assert [name for name, life in LIVES.items() if _wrong(life())] == []
