"""Situations of a payment, and what a provider may say in each."""

from __future__ import annotations

from collections.abc import Callable

from tallystick.decisions.verdicts import give_up
from tallystick.domain.dispute_movement import Funds
from tallystick.domain.notices import AttemptNotice, ChargeNotice, DisputeNotice, Notice, RefundNotice
from tallystick.domain.subjects import DisputeState
from tallystick.domain.verdicts import (
    Approved,
    Declined,
    NotFound,
    Pending,
    RequiresAction,
    Reversed,
    Unknown,
    Verdict,
)
from tests.support.paper_record import AMOUNT, CURRENCY, PaperRecord, approval

NO = Declined(code="card_declined", message="No.")


CAME_BACK = Reversed(code="returned", message="It came back.")


ACT = RequiresAction(next_action={"type": "redirect", "url": "/act"}, reference="ch_1")


#: The provider's word on a refund that it made.
BOOKED_REFUND = Approved(amount=300, currency=CURRENCY, effect="refunded")


def held(amount: int = AMOUNT) -> Approved:
    """The bank holds the money."""
    return Approved(amount=amount, currency=CURRENCY, effect="authorized", reference="ch_1")


def taken(amount: int = AMOUNT, currency: str = CURRENCY) -> Approved:
    """The bank took the money."""
    return Approved(amount=amount, currency=currency, effect="captured", reference="ch_1")


def voided() -> Approved:
    """The bank let go of the money."""
    return Approved(amount=AMOUNT, currency=CURRENCY, effect="voided", reference="ch_1")


def _authorizing() -> PaperRecord:
    return PaperRecord()


def _authorizing_auto() -> PaperRecord:
    return PaperRecord(automatic=True)


def _requires_action() -> PaperRecord:
    record = PaperRecord()
    record.answer("authorize", ACT)
    return record


def _authorized() -> PaperRecord:
    record = PaperRecord()
    record.answer("authorize")
    return record


def _capturing() -> PaperRecord:
    record = _authorized()
    record.capture()
    return record


def _capture_unknown() -> PaperRecord:
    record = _capturing()
    record.answer("capture", Unknown(reason="time-out"))
    return record


def _canceling() -> PaperRecord:
    record = _authorized()
    record.cancel()
    return record


def _canceling_unheld() -> PaperRecord:
    record = _requires_action()
    record.cancel()
    return record


def _captured_auto() -> PaperRecord:
    record = PaperRecord(automatic=True)
    record.answer("authorize")
    return record


def _captured() -> PaperRecord:
    record = _capturing()
    record.answer("capture")
    return record


def _captured_part() -> PaperRecord:
    record = _authorized()
    record.capture(600)
    record.answer("capture")
    return record


def _captured_dashboard() -> PaperRecord:
    record = _authorized()
    assert record.take(ChargeNotice(verdict=taken())) == "applied"
    return record


def _declined() -> PaperRecord:
    record = PaperRecord(automatic=True)
    record.answer("authorize", NO)
    return record


def _failed() -> PaperRecord:
    record = PaperRecord(automatic=True)
    record.answer("authorize", NotFound())
    record.apply(give_up(record.stored, record.stored.attempts[0].attempt_id, record.step()))
    return record


def _canceled() -> PaperRecord:
    record = _canceling()
    record.answer("cancel")
    return record


def _expired() -> PaperRecord:
    record = _authorized()
    assert record.take(ChargeNotice(verdict=voided(), expired=True)) == "applied"
    return record


def _reversed() -> PaperRecord:
    record = _captured_auto()
    record.answer("authorize", CAME_BACK)
    return record


def _refunding() -> PaperRecord:
    record = _captured_auto()
    record.refund(300)
    return record


def _refund_pending() -> PaperRecord:
    record = _refunding()
    record.answer("refund", Pending(reference="ref_pending"))
    return record


def _refunded() -> PaperRecord:
    record = _refunding()
    record.answer("refund")
    return record


def _refund_failed() -> PaperRecord:
    record = _refunding()
    record.answer("refund", NO)
    return record


def _refund_reversed() -> PaperRecord:
    record = _refunded()
    record.answer("refund", CAME_BACK)
    return record


def _dashboard_refund() -> PaperRecord:
    record = _captured_auto()
    assert record.take(NOTICES["dash refund"](record)) == "applied"
    return record


def _disputed(*names: str) -> Callable[[], PaperRecord]:
    def situation() -> PaperRecord:
        record = _captured_auto()
        for name in names:
            assert record.take(NOTICES[name](record)) == "applied"
        return record

    return situation


SITUATIONS: dict[str, Callable[[], PaperRecord]] = {
    "authorizing": _authorizing,
    "authorizing, captures": _authorizing_auto,
    "requires action": _requires_action,
    "authorized": _authorized,
    "capturing": _capturing,
    "capture unknown": _capture_unknown,
    "canceling": _canceling,
    "canceling, not held": _canceling_unheld,
    "captured at once": _captured_auto,
    "captured": _captured,
    "captured 600": _captured_part,
    "captured there": _captured_dashboard,
    "declined": _declined,
    "failed": _failed,
    "canceled": _canceled,
    "expired": _expired,
    "reversed": _reversed,
    "refunding": _refunding,
    "refund pending": _refund_pending,
    "refunded": _refunded,
    "refund failed": _refund_failed,
    "refund reversed": _refund_reversed,
    "refunded there": _dashboard_refund,
    "dispute opened": _disputed("dp opened"),
    "dispute withdrawn": _disputed("dp withdrawn"),
    "dispute in review": _disputed("dp review"),
    "dispute won": _disputed("dp won"),
    "dispute lost": _disputed("dp lost"),
    "won, withdrawn": _disputed("dp won", "dp won, taken"),
    "lost, returned": _disputed("dp lost", "dp lost, returned"),
}


def _charge(verdict: Verdict, *, expired: bool = False) -> Callable[[PaperRecord], Notice]:
    return lambda _: ChargeNotice(verdict=verdict, expired=expired)


def _of(operation: str, verdict: Verdict | None = None) -> Callable[[PaperRecord], Notice]:
    """Of our own call, which it names; without one, of a call that is not there. None approves what was asked."""

    def notice(record: PaperRecord) -> Notice:
        attempt = record.attempt(operation)
        if attempt is None:
            said: Verdict = (
                Approved(amount=AMOUNT, currency=CURRENCY, effect="captured") if verdict is None else verdict
            )
            return AttemptNotice(operation=operation, attempt_id="att_nobody", verdict=said)  # type: ignore[arg-type]
        said = approval(attempt) if verdict is None else verdict
        return AttemptNotice(operation=operation, attempt_id=attempt.attempt_id, verdict=said)  # type: ignore[arg-type]

    return notice


def _dispute(state: DisputeState, funds: Funds | None = None) -> Callable[[PaperRecord], Notice]:
    return lambda _: DisputeNotice(reference="dp_1", state=state, amount=AMOUNT, currency=CURRENCY, funds=funds)


def _dash(_: PaperRecord) -> Notice:
    return RefundNotice(reference="dash_1", amount=200, currency=CURRENCY)


def _dash_failed(_: PaperRecord) -> Notice:
    return AttemptNotice(operation="refund", reference="dash_1", verdict=NO)


NOTICES: dict[str, Callable[[PaperRecord], Notice]] = {
    "held": _charge(held()),
    "taken": _charge(taken()),
    "taken 600": _charge(taken(600)),
    "voided": _charge(voided()),
    "expired": _charge(voided(), expired=True),
    "no": _charge(NO),
    "waits": _charge(Pending()),
    "act": _charge(ACT),
    "auth yes": _of("authorize"),
    "auth no": _of("authorize", NO),
    "auth reversed": _of("authorize", CAME_BACK),
    "capture yes": _of("capture"),
    "capture no": _of("capture", NO),
    "capture reversed": _of("capture", CAME_BACK),
    "cancel yes": _of("cancel"),
    "cancel no": _of("cancel", NO),
    "refund yes": _of("refund"),
    "refund no": _of("refund", NO),
    "refund reversed": _of("refund", CAME_BACK),
    "dash refund": _dash,
    "dash failed": _dash_failed,
    "dp opened": _dispute("opened"),
    "dp withdrawn": _dispute("opened", "withdrawn"),
    "dp review": _dispute("under_review"),
    "dp won": _dispute("won"),
    "dp lost": _dispute("lost"),
    "dp won, taken": _dispute("won", "withdrawn"),
    "dp lost, returned": _dispute("lost", "returned"),
}
