"""Over lives that no script has the second opinion agrees, transfer by transfer, and it notices every wrong posting."""

from __future__ import annotations

import json
from collections import Counter
from typing import Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.domain.change import Change, Transition
from tallystick.domain.dispute_movement import Funds, Movement
from tallystick.domain.notices import DisputeNotice
from tallystick.domain.subjects import DisputeState
from tests.guarantees.second_opinion.interpreter import Opinion, Transfer, read
from tests.support.mutated_postings import MUTATIONS, POSTING_EDGES, mutate
from tests.support.paper_lives import LIVES, edges_taken
from tests.support.paper_record import AMOUNT, CURRENCY, PaperRecord

pytestmark = pytest.mark.exhaustive

STATES: Final[tuple[DisputeState, ...]] = ("opened", "under_review", "won", "lost")
FUNDS: Final[tuple[Funds, ...]] = ("withdrawn", "returned")

#: Most movements are of the whole amount.
AMOUNTS: Final = (AMOUNT, AMOUNT, AMOUNT, 300)


@st.composite
def named(draw: st.DrawFn) -> list[DisputeNotice]:
    """Events of one dispute, each with some of its movements: those of any provider that names them."""
    known = [
        Movement(
            reference=f"mv_{number}",
            funds=draw(st.sampled_from(FUNDS)),
            amount=draw(st.sampled_from(AMOUNTS)),
            before_verdict=draw(st.booleans()),
        )
        for number in range(draw(st.integers(0, 4)))
    ]
    return [
        DisputeNotice(
            reference="dp",
            state=draw(st.sampled_from(STATES)),
            amount=AMOUNT,
            currency=CURRENCY,
            movements=tuple(each for each in known if draw(st.booleans())),
        )
        for _ in range(draw(st.integers(1, 6)))
    ]


@st.composite
def unnamed(draw: st.DrawFn) -> list[DisputeNotice]:
    """Events of a provider that does not name movements."""
    return [
        DisputeNotice(
            reference="dp",
            state=draw(st.sampled_from(STATES)),
            amount=AMOUNT,
            currency=CURRENCY,
            funds=draw(st.sampled_from((None, *FUNDS))),
        )
        for _ in range(draw(st.integers(1, 6)))
    ]


def as_line(change: Change, step: Transition) -> str:
    """A step as it is exported."""
    row = {name: getattr(step, name) for name in ("merchant_id", "stream_id", "subject", "subject_id", "version")}
    row |= {"from_state": step.from_state, "event": step.event, "to_state": step.to_state, "change": step.change}
    return json.dumps(msgspec.to_builtins(row | {"change_id": change.change_id}))


def opinion_of(record: PaperRecord) -> Opinion:
    """The opinion on a record on paper. Raises AssertionError where its ledger or its states differ."""
    opinion = read(as_line(change, step) for change in record.changes for step in change.transitions)
    assert opinion.objections == []
    posted = [
        Transfer(*(row.merchant_id, row.stream_id, row.subject_id, row.version), *(row.kind, row.debit, row.credit),
                 row.amount, row.currency)
        for row in record.transfers
    ]  # fmt: skip
    assert Counter(posted) == Counter(opinion.transfers)
    stored = {each.dispute_id: (each.version, each.state) for each in record.stored.disputes}
    disputes = {
        each.subject_id: (each.version, each.state) for each in opinion.subjects.values() if each.kind == "dispute"
    }
    assert disputes == stored
    return opinion


@given(st.one_of(named(), unnamed()))
def test_the_second_opinion_agrees_with_a_dispute_in_any_order(notices: list[DisputeNotice]) -> None:
    record = PaperRecord(automatic=True)
    record.answer("authorize")
    for notice in notices:
        record.take(notice)
    opinion_of(record)


@pytest.mark.parametrize("life", LIVES)
def test_the_second_opinion_agrees_with_a_life(life: str) -> None:
    opinion_of(LIVES[life]())


@pytest.mark.parametrize("mutation", MUTATIONS)
@pytest.mark.parametrize(("machine", "event"), POSTING_EDGES)
def test_the_second_opinion_notices_a_wrong_posting(
    monkeypatch: pytest.MonkeyPatch, machine: str, event: str, mutation: str
) -> None:
    lives = edges_taken()[(machine, event)]
    monkeypatch.setattr(PaperRecord, "_check", lambda _: None)  # its own checks are not what is asked here
    for count in sorted(lives.keys() - {0}):
        for at in range(count):
            with monkeypatch.context() as patch:
                mutate(patch, machine, event, count, at, MUTATIONS[mutation])
                record = LIVES[lives[count][0]]()
            with pytest.raises(AssertionError, match="Transfer"):
                opinion_of(record)
