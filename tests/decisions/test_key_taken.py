"""A key that the provider used for another request: the mark stays, absence proves nothing, nothing is sent again or
given up, and nothing is approved by it. Written by hand."""

from __future__ import annotations

from itertools import product

import pytest
from msgspec.structs import replace

from tallystick.decisions.lookups import believes_not_found
from tallystick.decisions.resubmission import Move, in_doubt, next_move, park
from tallystick.domain.subjects import Attempt
from tallystick.domain.traits import Traits
from tallystick.domain.verdicts import Declined, KeyTaken, NotFound, NotSent, Pending, Unknown, Verdict
from tests.support.notices import ACT
from tests.support.paper_record import PaperRecord, approval

TAKEN = KeyTaken(reason="the key was used for another request")

#: What a connector may declare that matters here: deduplicates, a consistent look-up, a look-up at all.
KINDS = [
    Traits(
        deduplicates=deduplicates,
        lookup_is_consistent=consistent,
        can_fetch=can_fetch,
        key_lifetime_ms=None,
        settling_time_ms=1,
        max_delivery_delay_ms=1,
        request_timeout_ms=1,
    )
    for deduplicates, consistent, can_fetch in product((True, False), repeat=3)
]


def marked(state: str) -> Attempt:
    """An attempt in this state whose key was used before."""
    record = PaperRecord(automatic=True)
    attempt = record.attempt("authorize")
    assert attempt is not None
    return replace(attempt, state=state, key_taken=True)


def the_attempt(record: PaperRecord) -> Attempt:
    attempt = record.attempt("authorize")
    assert attempt is not None
    return attempt


@pytest.mark.parametrize("traits", KINDS, ids=str)
@pytest.mark.parametrize("state", ["not_sent", "not_found", "unknown"])
def test_it_is_parked_whatever_else_is_known(traits: Traits, state: str) -> None:
    for submissions, possible, age_ms in product((1, 2, 99), (True, False), (0, 10**9)):
        attempt = replace(marked(state), submissions=submissions)
        assert next_move(attempt, traits, age_ms=age_ms, resubmit_limit=2, possible=possible) is Move.PARK


@pytest.mark.parametrize("traits", KINDS, ids=str)
@pytest.mark.parametrize("state", ["not_sent", "not_found", "unknown", "submitted", "pending"])
def test_a_later_submission_that_was_not_sent_proves_nothing(traits: Traits, state: str) -> None:
    assert in_doubt(marked(state), traits)
    assert not in_doubt(replace(marked("not_sent"), key_taken=False), traits)


@pytest.mark.parametrize("traits", KINDS, ids=str)
def test_absence_proves_nothing(traits: Traits) -> None:
    assert not believes_not_found(traits, settled=True, clocks_agree=True, key_taken=True)
    believed = traits.lookup_is_consistent or traits.deduplicates
    assert believes_not_found(traits, settled=True, clocks_agree=True, key_taken=False) == believed


@pytest.mark.parametrize("before", [None, Unknown(reason="time-out"), NotSent(reason="refused"), NotFound()], ids=repr)
def test_it_moves_nothing_and_tells_nobody(before: Verdict | None) -> None:
    record = PaperRecord(automatic=True)
    if before is not None:
        record.answer("authorize", before)
    version = record.payment.version
    change = record.answer("authorize", TAKEN)
    assert change is not None
    assert [step.event for step in change.transitions] == ["key_taken"]
    assert (change.transfers, change.messages, change.responses) == ((), (), ())
    assert (record.payment.state, record.payment.version) == ("authorizing", version)
    assert (the_attempt(record).state, the_attempt(record).key_taken) == ("unknown", True)
    assert the_attempt(record).schedule.next_check_in_ms is not None, "recovery looks"


def test_it_is_in_history_once() -> None:
    record = PaperRecord(automatic=True)
    record.answer("authorize", TAKEN)
    assert record.answer("authorize", TAKEN) is None
    record.apply(park(record.stored, the_attempt(record).attempt_id, record.step()))
    assert record.answer("authorize", TAKEN) is None, "and it leaves the list of a person alone"


#: What may be said after it -> how the attempt and the payment end.
LATER = {
    "approved": ("approved", "captured"),
    "declined": ("declined", "declined"),
    "pending": ("pending", "authorizing"),
    "requires action": ("requires_action", "requires_action"),
    "not found": ("not_found", "authorizing"),
}


@pytest.mark.parametrize("later", LATER)
def test_the_mark_survives_what_is_said_later(later: str) -> None:
    record = PaperRecord(automatic=True)
    record.answer("authorize", TAKEN)
    said: dict[str, Verdict] = {
        "approved": approval(the_attempt(record)),
        "declined": Declined(code="card_declined", message="No."),
        "pending": Pending(reference="ch_1"),
        "requires action": ACT,
        "not found": NotFound(),
    }
    record.answer("authorize", said[later])
    assert (the_attempt(record).state, record.payment.state) == LATER[later]
    assert the_attempt(record).key_taken


def test_what_was_given_up_is_not_revived_by_it() -> None:
    """It contradicts an end that said that there is no effect: a person hears of it, and nothing moves."""
    record = PaperRecord(automatic=True)
    record.answer("authorize", Declined(code="card_declined", message="No."))
    assert record.answer("authorize", TAKEN) is None, "a decline is the provider's own word"
    ended = replace(the_attempt(record), state="failed")
    record._stored = replace(record.stored, attempts=(ended,))  # as giving up leaves it
    change = record.answer("authorize", TAKEN)
    assert change is not None
    assert ([row.alert for row in change.rejections], change.transitions) == ([True], ())
