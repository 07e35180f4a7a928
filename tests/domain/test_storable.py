"""An answer that the record cannot hold as it is costs its outcome no more than it must."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Final

import pytest
from msgspec.structs import replace

from tallystick.domain.storable import CANNOT_KEEP, MAX_NAME_CHARS, storable_verdict
from tallystick.domain.verdicts import (
    Approved,
    Declined,
    KeyTaken,
    NotFound,
    NotSent,
    Pending,
    RequiresAction,
    Reversed,
    Unknown,
    Verdict,
)

NOW: Final = datetime(2026, 11, 26, 5, 23, 7, tzinfo=UTC)
RAW: Final[dict[str, Any]] = {"status": 200, "pan": 4111111111111111, "deep": [{"a": "b"}]}
CARD: Final = 4111111111111111

APPROVED: Final = Approved(
    amount=1000, currency="EUR", effect="captured", reference="ch_1", occurred_at=NOW, raw=RAW, provider_amount=1000
)

EVERY: Final[tuple[Verdict, ...]] = (
    APPROVED,
    Declined(code="card_declined", message="No.", raw=RAW),
    Pending(reference="ch_1", raw=RAW),
    RequiresAction(next_action={"type": "redirect", "n": CARD}, raw=RAW),
    Reversed(code="failed", message="It came back.", raw=RAW),
    Unknown(reason="answered 500", raw=RAW),
    NotFound(raw=RAW),
    NotSent(reason="refused", raw=RAW),
    KeyTaken(reason="used", raw=RAW),
)


@pytest.mark.parametrize("verdict", EVERY, ids=lambda each: type(each).__name__)
def test_an_ordinary_answer_stays_the_same_object(verdict: Verdict) -> None:
    assert storable_verdict(verdict) is verdict


@pytest.mark.parametrize("unfit", ["a\x00b", "\ud800", {"a\x00": 1}, {"deep": [{"a": "\udfff"}]}])
@pytest.mark.parametrize("verdict", EVERY, ids=lambda each: type(each).__name__)
def test_evidence_that_cannot_be_kept_is_left_out(verdict: Verdict, unfit: object) -> None:
    assert storable_verdict(replace(verdict, raw={"body": unfit})) == replace(verdict, raw=None)


@pytest.mark.parametrize(
    "unfit",
    [
        replace(APPROVED, reference="ch\x00"),
        replace(APPROVED, reference="\ud800"),
        replace(APPROVED, reference="c" * (MAX_NAME_CHARS + 1)),
        replace(APPROVED, occurred_at=datetime.max.replace(tzinfo=timezone(timedelta(hours=-23)))),
        replace(APPROVED, occurred_at=datetime.min.replace(tzinfo=timezone(timedelta(hours=23)))),
        replace(APPROVED, occurred_at=NOW.replace(tzinfo=None)),
        replace(APPROVED, currency="E\x00R"),
        replace(APPROVED, amount=CARD),
        replace(APPROVED, provider_amount=CARD),
        Declined(code="a\x00", message="No."),
        Declined(code="a", message="\ud800"),
        RequiresAction(next_action={"type": "a\x00"}),
        Unknown(reason="a\x00"),
    ],
)
def test_an_outcome_that_cannot_be_kept_is_not_known(unfit: Verdict) -> None:
    assert storable_verdict(unfit) == Unknown(reason=CANNOT_KEEP)


@pytest.mark.parametrize("proof", [NotSent, KeyTaken])
def test_proof_stays_proof(proof: type[NotSent] | type[KeyTaken]) -> None:
    assert storable_verdict(proof(reason="a\x00")) == proof(reason=CANNOT_KEEP)
    assert storable_verdict(NotFound(reference="a\x00")) == NotFound()


def test_an_empty_name_names_nothing() -> None:
    assert storable_verdict(replace(APPROVED, reference="")) == replace(APPROVED, reference=None)
