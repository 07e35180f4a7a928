"""Lives of a payment and its disputes on paper: every situation with every notice, and those in which late money,
captures and movements come to what the situations do not."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Final

from tallystick.decisions.late_money import accept_late_money, return_late_money
from tallystick.domain.dispute_movement import Movement
from tallystick.domain.notices import CancelOrRefundNotice, CaptureNotice, ChargeNotice, DisputeNotice, RefundNotice
from tallystick.domain.subjects import DisputeState
from tallystick.domain.verdicts import Reversed
from tests.support.notices import NOTICES, SITUATIONS, taken
from tests.support.paper_record import AMOUNT, CURRENCY, TERMS, PaperRecord, approval

#: Lived anew each time.
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


#: By name.
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
