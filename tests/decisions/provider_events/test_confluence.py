"""Whatever order and however often a provider's events arrive, the record ends the same: as in order, once each."""

from __future__ import annotations

from itertools import permutations
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from tallystick.domain.dispute_movement import Funds, Movement
from tallystick.domain.lifecycles.attempt import ATTEMPT_OPEN
from tallystick.domain.notices import AttemptNotice, ChargeNotice, DisputeNotice, Notice, RefundNotice
from tallystick.domain.subjects import DisputeState, Operation
from tallystick.domain.verdicts import Approved, Declined, Effect, Pending, RequiresAction, Reversed, Verdict
from tests.support.database import DEEP
from tests.support.paper_invariants import broken
from tests.support.paper_record import AMOUNT, CURRENCY, PaperRecord, approval

pytestmark = pytest.mark.exhaustive

CAME_BACK = Reversed(code="returned", message="It came back.")
NO = Declined(code="card_declined", message="No.")

#: What an attempt without effect is called depends on who was first: no, no such charge, or taken back.
ENDED_WITHOUT_EFFECT = {"declined", "failed", "reversed"}

#: Rounds of retries after which an event that is still not done never will be.
ROUNDS_LIMIT = 20


class OwnAnswer(Struct, frozen=True):
    """Our own call's answer comes among the events."""

    operation: str
    verdict: Verdict


Arrival = Notice | OwnAnswer


class Life(Struct, frozen=True):
    """How a payment stands when the events begin, what the provider tells of it in order, and its last word on each of
    our calls."""

    begin: str
    arrivals: tuple[Arrival, ...]
    truth: dict[str, Verdict]


def _begun(begin: str) -> PaperRecord:
    record = PaperRecord(automatic=begin in ("charging", "declined", "refunding"))
    match begin:
        case "charging" | "authorizing":
            return record
        case "declined":
            record.answer("authorize", NO)
            return record
    record.answer("authorize")
    match begin:
        case "capturing":
            record.capture()
        case "capturing part":
            record.capture(600)
        case "capture refused":
            record.capture(600)
            record.answer("capture", NO)
        case "canceling":
            record.cancel()
        case "canceled":
            record.cancel()
            record.answer("cancel")
        case "refunding":
            record.refund(300)
    return record


def _charge(effect: Effect, amount: int = AMOUNT) -> Approved:
    return Approved(amount=amount, currency=CURRENCY, effect=effect, reference="ref_att_1")


def _own(record: PaperRecord, operation: Operation, verdict: Verdict | None = None) -> tuple[AttemptNotice, Verdict]:
    attempt = record.attempt(operation)
    assert attempt is not None
    said: Any = approval(attempt) if verdict is None else verdict
    return AttemptNotice(operation=operation, attempt_id=attempt.attempt_id, verdict=said), said


@st.composite
def lives(draw: st.DrawFn) -> Life:
    """Any valid life: what one of the graphs forbids, no provider does."""
    begin = draw(
        st.sampled_from(
            (
                "charging",
                "authorizing",
                "authorized",
                "capturing",
                "capturing part",
                "capture refused",
                "canceling",
                "canceled",
                "declined",
                "refunding",
            )
        )
    )
    record = _begun(begin)
    arrivals: list[Arrival] = []
    truth: dict[str, Verdict] = {}
    captured = AMOUNT
    if begin == "charging":
        waiting: list[Verdict] = [Pending(), RequiresAction(next_action={"type": "redirect"})]
        arrivals += [ChargeNotice(verdict=verdict) for verdict in draw(st.lists(st.sampled_from(waiting), max_size=2))]
    match begin:
        case "charging" | "refunding" | "declined":
            notice, said = _own(record, "authorize")
            arrivals += [ChargeNotice(verdict=_charge("captured")), notice]
            if begin == "charging":
                arrivals.append(OwnAnswer("authorize", said))
            truth["authorize"] = said
        case "authorizing" | "authorized":
            if begin == "authorizing":
                # Not a required action: what is released while the customer is asked was never held, and is declined.
                arrivals += [ChargeNotice(verdict=Pending())] * draw(st.integers(0, 1))
            captured = draw(st.sampled_from((AMOUNT, 600, 0)))
            arrivals.append(ChargeNotice(verdict=_charge("authorized")))
            if captured:
                arrivals.append(ChargeNotice(verdict=_charge("captured", captured)))
                truth["authorize"] = _charge("captured", captured)
            else:
                arrivals.append(ChargeNotice(verdict=_charge("voided"), expired=draw(st.booleans())))
                truth["authorize"] = _charge("voided")
        case "capturing" | "capturing part":
            notice, said = _own(record, "capture")
            captured = AMOUNT if begin == "capturing" else 600
            arrivals += [
                ChargeNotice(verdict=_charge("authorized")),
                ChargeNotice(verdict=_charge("captured", captured)),
                notice,
                OwnAnswer("capture", said),
            ]
            truth |= {"authorize": _charge("captured", captured), "capture": said}
        case "capture refused":
            notice, said = _own(record, "capture")  # it was captured after all, and is told of by two names
            captured = 600
            arrivals += [ChargeNotice(verdict=_charge("captured", captured)), notice]
            truth |= {"authorize": _charge("captured", captured), "capture": said}
        case "canceling":
            notice, said = _own(record, "cancel")
            arrivals += [ChargeNotice(verdict=_charge("voided")), notice, OwnAnswer("cancel", said)]
            truth |= {"authorize": _charge("voided"), "cancel": said}
            captured = 0
        case "canceled":
            arrivals.append(ChargeNotice(verdict=_charge("captured")))
            truth |= {"authorize": _charge("captured"), "cancel": _own(record, "cancel")[1]}
    if captured and begin not in ("canceled", "declined"):
        _afterlife(draw, record, begin, arrivals, truth)
    return Life(begin, tuple(arrivals), truth)


def _afterlife(
    draw: st.DrawFn, record: PaperRecord, begin: str, arrivals: list[Arrival], truth: dict[str, Verdict]
) -> None:
    """What may befall captured money, in any mixture."""
    befell: list[list[Arrival]] = []
    if begin == "refunding":
        notice, said = _own(record, "refund")
        steps: list[Arrival] = [notice, OwnAnswer("refund", said)]
        truth["refund"] = said
        if draw(st.booleans()):
            steps.append(_own(record, "refund", CAME_BACK)[0])
            truth["refund"] = CAME_BACK
            if draw(st.booleans()):  # there is room for it only because ours came back
                steps.append(RefundNotice(reference="dash_all", amount=AMOUNT - 300, currency=CURRENCY))
        befell.append(steps)
    for number in range(draw(st.integers(0, 2))):
        refund: list[Arrival] = [RefundNotice(reference=f"dash_{number}", amount=150, currency=CURRENCY)]
        if draw(st.booleans()):
            refund.append(AttemptNotice(operation="refund", reference=f"dash_{number}", verdict=CAME_BACK))
        befell.append(refund)
    for number in range(draw(st.integers(0, 2))):
        befell.append(_dispute(draw, f"dp_{number}"))
    reversible: dict[str, Operation] = {
        "charging": "authorize",
        "refunding": "authorize",
        "capturing": "capture",
        "capturing part": "capture",
    }
    if begin in reversible and draw(st.booleans()):
        operation = reversible[begin]
        befell.append([_own(record, operation, CAME_BACK)[0]])
        truth[operation] = CAME_BACK
    for steps in draw(st.permutations(befell)):
        arrivals += steps


def _dispute(draw: st.DrawFn, reference: str) -> list[Arrival]:
    def step(state: DisputeState, funds: Funds | None = None) -> DisputeNotice:
        return DisputeNotice(reference=reference, state=state, amount=400, currency=CURRENCY, funds=funds)

    withdrawn = draw(st.booleans())
    steps: list[Arrival] = [step("opened")]
    if withdrawn:
        steps.append(step("opened", "withdrawn"))
    if draw(st.booleans()):
        steps.append(step("under_review"))
    match draw(st.sampled_from(("open", "won", "won, taken", "lost", "lost, returned"))):
        case "won":
            steps.append(step("won", "returned" if withdrawn else None))
        case "won, taken":
            steps += [step("won", "returned" if withdrawn else None), step("won", "withdrawn")]
        case "lost":
            steps.append(step("lost", None if withdrawn else "withdrawn"))
        case "lost, returned":
            steps += [step("lost", None if withdrawn else "withdrawn"), step("lost", "returned")]
    return steps


#: One dispute's money -> what the provider tells of it in order: the state with each event, and which way money went.
NAMED = {
    "won": "opened opened:w under_review won:r",
    "won, and the money never moved": "opened under_review won",
    "won, returned untold": "opened opened:w won",
    "won, taken, returned": "opened opened:w won:r won:w won:r",
    "won, taken, returned, taken": "opened opened:w won:r won:w won:r won:w",
    "won, then the return, then taken": "opened opened:w won won:r won:w",
    "lost": "opened opened:w lost",
    "lost with its withdrawal": "opened under_review lost:w",
    "lost, returned, taken": "opened opened:w lost lost:r lost:w",
    "lost, returned, taken, returned": "opened opened:w lost lost:r lost:w lost:r",
    "taken twice, lost": "opened opened:w under_review:r lost:w",
    "taken twice, returned twice, won": "opened opened:w under_review:r under_review:w won:r",
    "taken back before it ends": "opened opened:w under_review:r won",
    "won, then lost": "opened opened:w won:r lost:w",
    "lost, then won": "opened opened:w lost won:r",
    "won, then lost, by word alone": "opened opened:w won:r lost",
    "won and lost, and no return told": "opened opened:w won lost",
    "won and lost, and no money told": "opened under_review won lost",
    "won, then lost, then won": "opened opened:w won:r lost:w won:r",
}


_FUNDS: dict[str, Funds | None] = {"w": "withdrawn", "r": "returned", "": None}


def _named(course: str) -> list[Arrival]:
    told: list[Arrival] = []
    for number, step in enumerate(course.split()):
        state, _, way = step.partition(":")
        funds: Funds | None = _FUNDS[way]
        early = state not in ("won", "lost")
        moved = [Movement(reference=f"mv_{number}", funds=funds, amount=400, before_verdict=early)] if funds else []
        notice = DisputeNotice(
            reference="dp", state=cast(DisputeState, state), amount=400, currency=CURRENCY, movements=tuple(moved)
        )
        told.append(notice)
    return told


def money(record: PaperRecord) -> dict[str, Any]:
    """Where the money is. A dispute that got both verdicts is called by the first that came, which says no more."""
    [dispute] = record.stored.disputes
    return {
        "sums": record.sums(),
        "withdrawn": dispute.funds_withdrawn,
        "state": "contested" if dispute.contested else dispute.state,
        "movements": sorted(each.reference for each in dispute.movements),
    }


@pytest.mark.parametrize("course", NAMED)
def test_named_movements_are_posted_once_each_in_any_order(course: str) -> None:
    told = _named(NAMED[course])
    life = Life("refunding", (), {})
    in_order = delivered(life, list(told))
    taken = sum({"w": 400, "r": -400, "": 0}[step.partition(":")[2]] for step in NAMED[course].split())
    untold = {"won, returned untold": -400, "lost": 0}.get(course, 0)
    assert in_order.sums()["provider:bank"] == AMOUNT - taken - untold
    assert broken(in_order) == []
    for order in permutations(told):
        again = delivered(life, [arrival for arrival in order for _ in range(2)])
        assert money(again) == money(in_order), order
        assert broken(again) == [], order


def delivered(life: Life, order: list[Arrival]) -> PaperRecord:
    """The record after these arrivals; what cannot be decided yet is tried again until nothing changes."""
    record = _begun(life.begin)
    waiting: list[Arrival] = order
    for _ in range(ROUNDS_LIMIT):
        later = [arrival for arrival in waiting if not _taken(record, life, arrival)]
        if len(later) == len(waiting):
            break
        waiting = later
    assert not waiting, f"never decided: {waiting}"
    return record


def _taken(record: PaperRecord, life: Life, arrival: Arrival) -> bool:
    if isinstance(arrival, OwnAnswer):
        record.answer(arrival.operation, arrival.verdict)
        return True
    said = record.take(arrival)
    if said == "ask":
        outcome = record.decide(arrival)
        attempt = record.stored.attempt(outcome.attempt_id)  # type: ignore[union-attr]  # an Ask, as it said
        said = record.take(arrival, life.truth[attempt.operation])
    assert said != "conflict", f"a valid life: {arrival}"
    return said != "later"


def shape(record: PaperRecord) -> dict[str, Any]:
    """What must be the same: states, amounts and sums. Versions count the ways there, and may differ."""
    payment = record.payment
    attempts = {}
    for each in record.stored.attempts:
        assert each.state not in ATTEMPT_OPEN
        attempts[each.attempt_id] = "no effect" if each.state in ENDED_WITHOUT_EFFECT else each.state
    return {
        "payment": (payment.state, payment.amount_authorized, payment.amount_captured, payment.amount_reversed),
        "refunded": (payment.amount_refunded, payment.amount_refund_pending),
        "attempts": attempts,
        "refunds": {each.refund_id: (each.state, each.amount) for each in record.stored.refunds},
        "disputes": {each.dispute_id: (each.state, each.funds_withdrawn) for each in record.stored.disputes},
        "sums": record.sums(),
        "in suspense": sum(row.amount for row in record.transfers if row.kind.startswith("late_")),
    }


@settings(max_examples=2_000 if DEEP else 150, deadline=None)
@given(life=lives(), data=st.data())
def test_any_order_and_multiplicity_ends_the_same(life: Life, data: st.DataObject) -> None:
    in_order = shape(delivered(life, list(life.arrivals)))
    times = data.draw(st.lists(st.integers(1, 3), min_size=len(life.arrivals), max_size=len(life.arrivals)))
    all_of_them = [arrival for arrival, count in zip(life.arrivals, times, strict=True) for _ in range(count)]
    order = data.draw(st.permutations(all_of_them))
    assert shape(delivered(life, order)) == in_order
