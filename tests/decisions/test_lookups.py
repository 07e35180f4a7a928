"""Negative evidence is about the submissions that were made before it. Written by hand."""

from __future__ import annotations

import pytest

from tallystick.decisions.resubmission import resubmit
from tallystick.decisions.verdicts import apply_verdict
from tallystick.domain.verdicts import NotFound, NotSent, Unknown, Verdict
from tests.support.paper_record import CHECKS, TERMS, PaperRecord

#: What a sender or a look-up of the first submission says -> the attempt's state, if the second one was sent meanwhile.
LATE: dict[str, tuple[Verdict, str]] = {
    "not_sent": (NotSent(reason="too late"), "submitted"),
    "not_found": (NotFound(), "submitted"),
    "unknown": (Unknown(reason="time-out"), "unknown"),
}


def sent_again() -> PaperRecord:
    record = PaperRecord(automatic=True)
    record.answer("authorize", NotFound())
    record.apply(resubmit(record.stored, record.stored.attempts[0].attempt_id, record.step(), TERMS))
    return record


@pytest.mark.parametrize("said", LATE)
def test_what_is_said_of_an_earlier_submission(said: str) -> None:
    record = sent_again()
    verdict, state = LATE[said]
    _settle(record, verdict, submissions=1)
    assert record.stored.attempts[0].state == state


@pytest.mark.parametrize("said", LATE)
def test_what_is_said_of_this_submission(said: str) -> None:
    record = sent_again()
    _settle(record, LATE[said][0], submissions=2)
    assert record.stored.attempts[0].state == said


def _settle(record: PaperRecord, verdict: Verdict, *, submissions: int) -> None:
    attempt_id = record.stored.attempts[0].attempt_id
    change = apply_verdict(record.stored, attempt_id, verdict, record.step(), "rej_1", CHECKS, submissions=submissions)
    if change is not None:
        record.apply(change)
