"""Every event in every situation leaves a record on which the invariants hold: decisions and checks, face to face."""

from __future__ import annotations

import pytest

from tallystick.domain.notices import AttemptNotice, ChargeNotice
from tallystick.domain.verdicts import Approved, Effect
from tests.support.notices import NOTICES, SITUATIONS
from tests.support.paper_invariants import broken
from tests.support.paper_record import AMOUNT, CURRENCY


@pytest.mark.parametrize("situation", SITUATIONS)
def test_every_event_in_every_situation(situation: str) -> None:
    assert broken(SITUATIONS[situation]()) == []
    for name, notice_of in NOTICES.items():
        record = SITUATIONS[situation]()
        notice = notice_of(record)
        if record.take(notice) == "ask" and isinstance(notice, AttemptNotice | ChargeNotice):
            record.take(notice, notice.verdict)  # the provider stands by it
        assert broken(record) == [], f"{situation} x {name}"


@pytest.mark.parametrize("captured", [AMOUNT, 600])
@pytest.mark.parametrize("held_first", [True, False])
def test_late_holds_and_late_money(captured: int, held_first: bool) -> None:
    record = SITUATIONS["authorizing"]()
    record.answer("authorize", NOTICES["no"](record).verdict)  # type: ignore[union-attr]  # a charge's
    effects: tuple[tuple[Effect, int], ...] = (("authorized", AMOUNT),) * held_first + (("captured", captured),)
    for effect, amount in effects:
        word = Approved(amount=amount, currency=CURRENCY, effect=effect, reference="ch_1")
        assert record.take(ChargeNotice(verdict=word)) == "ask"
        assert record.take(ChargeNotice(verdict=word), word) == "applied"
        assert broken(record) == []
    assert record.sums() == {"provider:bank": captured, "suspense:bank": -captured}


def test_they_look() -> None:
    """Each of a few records that are wrong is found wrong."""
    record = SITUATIONS["dispute lost"]()
    assert broken(record) == []
    for wrong in range(len(record.transfers)):
        again = SITUATIONS["dispute lost"]()
        del again.transfers[wrong]
        assert broken(again), wrong
