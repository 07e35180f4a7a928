"""Which outcomes have the provider's answer kept beside them, and how steps name it."""

from __future__ import annotations

import hashlib

import pytest

from tallystick.decisions.kept_answers import is_plain_success, named_answer, with_answer
from tallystick.domain.change import Change
from tallystick.domain.provider_answer import ProviderAnswer
from tallystick.domain.verdicts import (
    Approved,
    Declined,
    KeyTaken,
    NotFound,
    NotSent,
    Pending,
    RequiresAction,
    Unknown,
    Verdict,
)
from tests.support.paper_record import PaperRecord

WELL = Approved(amount=1_000, currency="EUR", effect="captured", reference="ch_1")

#: What the provider says of a charge -> whether that goes well, and needs no answer beside it.
PLAIN: list[tuple[Verdict, bool]] = [
    (WELL, True),
    (Pending(reference="ch_1"), True),
    (RequiresAction(reference="ch_1", next_action={"type": "redirect"}), True),
    (Declined(code="card_declined", message="No."), False),
    (Unknown(reason="answered 500"), False),
    (KeyTaken(reason="its key was used"), False),
    (NotFound(), False),
    (NotSent(reason="rejected with 429, before processing", raw={}), False),
    (Approved(amount=999, currency="EUR", effect="captured", reference="ch_1"), False),  # not what was asked for
    (Approved(amount=1_000, currency="EUR", effect="voided", reference="ch_1"), False),  # released before we knew
]

ANSWER = ProviderAnswer(
    attempt_id="att_1",
    asked="call",
    status=402,
    size_bytes=3,
    at=PaperRecord(automatic=True).stored.payment.created_at,
    sealed=b"sealed",
    raw_key=bytes(16),
)

DIGEST = hashlib.sha256(b"sealed").hexdigest()


def change_of(record: PaperRecord, verdict: Verdict) -> Change:
    change = record.answer("authorize", verdict)
    assert change is not None
    return change


@pytest.mark.parametrize(("verdict", "plain"), PLAIN, ids=lambda each: type(each).__name__)
def test_what_goes_well_needs_no_answer(verdict: Verdict, plain: bool) -> None:
    change = change_of(PaperRecord(automatic=True), verdict)
    assert is_plain_success(change, verdict) is plain


def test_every_step_and_refusal_with_evidence_names_it() -> None:
    conflict = change_of(PaperRecord(automatic=True), PLAIN[-2][0])
    assert conflict.rejections and conflict.transitions
    kept = with_answer(conflict, ANSWER)
    told = [each.evidence for each in kept.transitions if each.evidence is not None]
    told += [each.evidence for each in kept.rejections if each.evidence is not None]
    assert len(told) >= 2 and {named_answer(each) for each in told} == {DIGEST}
    step = next(each for each in kept.transitions if each.evidence is not None)
    assert kept.answer is not None
    assert (kept.answer.subject_id, kept.answer.version) == (step.subject_id, step.version)
    assert kept.answer.rejection_id == kept.rejections[0].rejection_id
    assert [each.evidence for each in conflict.transitions if each.evidence] != told, "the decision is as it was"
    before = [{**(each.evidence or {}), "answer": DIGEST} for each in conflict.transitions if each.evidence]
    assert [each.evidence for each in kept.transitions if each.evidence] == before


def test_what_nothing_names_is_not_kept() -> None:
    declined = change_of(PaperRecord(automatic=True), Declined(code="card_declined", message="No."))
    bare = Change(
        change_id=declined.change_id,
        merchant_id=declined.merchant_id,
        stream_id=declined.stream_id,
        transitions=tuple(each for each in declined.transitions if each.evidence is None),
    )
    assert with_answer(bare, ANSWER) is bare
