"""What recovery does next with an attempt of a record that was restored. Written by hand."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tallystick.decisions.resubmission import Move, next_move, park
from tallystick.domain.traits import Traits
from tallystick.domain.verdicts import NotFound, NotSent, Verdict
from tests.support.paper_record import PaperRecord

TRAITS = Traits(
    deduplicates=True,
    lookup_is_consistent=True,
    key_lifetime_ms=None,
    settling_time_ms=100,
    max_delivery_delay_ms=100,
    request_timeout_ms=100,
)

NEGATIVE: dict[str, Verdict] = {"not_sent": NotSent(reason="refused"), "not_found": NotFound()}


@pytest.mark.parametrize("said", NEGATIVE)
@pytest.mark.parametrize(
    ("submissions", "restored", "move"),
    [
        (1, False, Move.RESUBMIT),
        (1, True, Move.RESUBMIT),
        (2, False, Move.GIVE_UP),
        (2, True, Move.PARK),
    ],
)
def test_a_restored_record_gives_nothing_up(said: str, submissions: int, restored: bool, move: Move) -> None:
    record = PaperRecord(automatic=True)
    record.answer("authorize", NEGATIVE[said])
    attempt = replace(record.stored.attempts[0], submissions=submissions)
    assert next_move(attempt, TRAITS, age_ms=0, resubmit_limit=1, record_was_restored=restored) is move


@pytest.mark.parametrize("said", NEGATIVE)
def test_what_is_not_given_up_can_be_parked(said: str) -> None:
    record = PaperRecord(automatic=True)
    record.answer("authorize", NEGATIVE[said])
    record.apply(park(record.stored, record.stored.attempts[0].attempt_id, record.step()))
    assert record.stored.attempts[0].state == said
