"""The lifecycle of a payment. Refunds and disputes have lifecycles of their own and never move it."""

from __future__ import annotations

from typing import Final

from tallystick.domain.ledger import postings
from tallystick.domain.ledger.postings import Posting
from tallystick.domain.lifecycles.table import NEW, Checkpoint, Edge, Machine
from tallystick.domain.subjects import Payment


def _hold(_: Payment, after: Payment) -> list[Posting]:
    return postings.hold(after.provider, after.amount_authorized)


def _capture(before: Payment, after: Payment) -> list[Posting]:
    """The whole hold is reversed, then what was captured is posted."""
    return postings.capture(after.provider, before.amount_authorized, after.amount_captured)


def _capture_added(before: Payment, after: Payment) -> list[Posting]:
    """One more part of a hold that the first capture has released already."""
    return postings.capture(after.provider, 0, after.amount_captured - before.amount_captured)


def _captured_and_refunded(before: Payment, after: Payment) -> list[Posting]:
    return postings.captured_and_refunded(after.provider, _given_back(after) - _given_back(before))


def _given_back(payment: Payment) -> int:
    return sum(each.amount for each in payment.provider_operations if each.booked == "refunded")


def _release(before: Payment, after: Payment) -> list[Posting]:
    return postings.release(after.provider, before.amount_authorized)


def _capture_reversed(before: Payment, after: Payment) -> list[Posting]:
    return postings.capture_reversed(after.provider, after.amount_reversed - before.amount_reversed)


def _late_capture(before: Payment, after: Payment) -> list[Posting]:
    return postings.late_capture(after.provider, after.amount_late - before.amount_late)


def _late_money_accepted(before: Payment, after: Payment) -> list[Posting]:
    return postings.late_money_accepted(after.provider, after.amount_late_accepted - before.amount_late_accepted)


def _late_money_returned(before: Payment, after: Payment) -> list[Posting]:
    return postings.late_money_returned(after.provider, after.amount_late_returned - before.amount_late_returned)


def _late_money_came_back(before: Payment, after: Payment) -> list[Posting]:
    return postings.late_money_came_back(after.provider, before.amount_late_returned - after.amount_late_returned)


#: The provider has said it, in an answer or an event, or a person has shown that it did.
_SAID: Final[tuple[Checkpoint, ...]] = ("provider's word",)

#: Money is held: somebody looks before the provider lets it go.
_WATCHED: Final[tuple[Checkpoint, ...]] = ("schedule",)

#: It happened after the payment was closed, and a person was alerted.
_LATE: Final[tuple[Checkpoint, ...]] = (*_SAID, "rejection")

_AUTHORIZED: Final = Edge("authorized", posts=_hold, told="payment.authorized", beside=(*_WATCHED, *_SAID))
_CAPTURED: Final = Edge("captured", posts=_capture, told="payment.captured", beside=_SAID)
_CANCELED: Final = Edge("canceled", posts=_release, told="payment.canceled", beside=_SAID)
_EXPIRED: Final = Edge("expired", posts=_release, told="payment.expired", beside=_SAID)
_DECLINED: Final = Edge("declined", told="payment.declined", beside=_SAID)
_FAILED: Final = Edge("failed", told="payment.failed")


def _late_capture_in(state: str, beside: tuple[Checkpoint, ...] = _LATE) -> Edge:
    return Edge(state, posts=_late_capture, beside=beside)


def _closed(state: str) -> dict[str, Edge]:
    """Effects on a closed payment add a version and keep the state. Captured money goes to suspense; a hold and its
    release move no money. ``late_effect`` was the name of all of them, and had no amount: ``late_money_counted`` gave
    it its own.

    ``settled``: a movement of its money is in the provider's settlement, and was posted to the merchant.
    ``settlement_withdrawn``: the file with it was taken back, and so was what it had posted.

    Late money leaves suspense by an operator's act, or because the provider returned it. Money that was accepted for
    the merchant can be refunded and disputed. Refunds and disputes are decided against the payment's version, so each
    of their steps adds a version here, in the same state.
    """
    return {
        "refund_opened": Edge(state),
        "refund_succeeded": Edge(state),
        "refund_failed": Edge(state),
        "refund_resubmitted": Edge(state),
        "dispute_opened": Edge(state),
        "dispute_updated": Edge(state),
        "settled": Edge(state, told="payment.settled"),
        "settlement_withdrawn": Edge(state, told="payment.settlement_withdrawn"),
        "late_money_accepted": Edge(state, posts=_late_money_accepted, told="payment.late_money_accepted"),
        "late_return_opened": Edge(state),
        "late_return_failed": Edge(state),
        "late_money_returned": Edge(state, posts=_late_money_returned, beside=_SAID),
        "late_money_came_back": Edge(state, posts=_late_money_came_back, beside=_SAID),
        "late_capture": _late_capture_in(state),
        "late_hold": Edge(state, beside=_LATE),
        "late_release": Edge(state, beside=_LATE),
        "late_effect": Edge(state, retired=True),
        "late_money_counted": Edge(state, retired=True),  # by migration 0013 alone
    }


PAYMENT: Final = Machine(
    "payment",
    {
        NEW: {"create": Edge("authorizing")},
        "authorizing": {
            "authorized": _AUTHORIZED,
            "captured": _CAPTURED,
            "declined": _DECLINED,
            "failed": _FAILED,
            "action_required": Edge("requires_action", told="payment.requires_action", beside=_SAID),
        },
        "requires_action": {
            "processing": Edge("authorizing", beside=_SAID),
            "authorized": _AUTHORIZED,
            "captured": _CAPTURED,
            "declined": _DECLINED,
            "failed": _FAILED,
            "cancel": Edge("canceling"),
            "canceled": _CANCELED,
            "expired": _EXPIRED,
        },
        "authorized": {
            "capture": Edge("capturing", beside=_WATCHED),
            "cancel": Edge("canceling", beside=_WATCHED),
            "captured": _CAPTURED,
            "canceled": _CANCELED,
            "expired": _EXPIRED,
            "late_capture": _late_capture_in("authorized", (*_WATCHED, *_LATE)),  # more than was held
        },
        "capturing": {
            "captured": _CAPTURED,
            "capture_refused": Edge("authorized", told="payment.capture_refused", beside=_WATCHED),
            "expired": _EXPIRED,
        },
        "canceling": {
            "canceled": _CANCELED,
            "cancel_refused": Edge("authorized", told="payment.cancel_refused", beside=_WATCHED),
            "action_still_required": Edge("requires_action", told="payment.cancel_refused"),
            "captured": _CAPTURED,
            "expired": _EXPIRED,
        },
        # A capture that fails days later keeps the state, which is final; amount_reversed counts it.
        "captured": {
            "capture_added": Edge("captured", posts=_capture_added, told="payment.capture_added", beside=_SAID),
            "capture_reversed": Edge(
                "captured", posts=_capture_reversed, told="payment.capture_reversed", beside=_SAID
            ),
            **_closed("captured"),
        },
        "declined": _closed("declined"),
        "failed": _closed("failed"),
        # Canceled by a word that can mean a refund as well, and captured before it: then that is what it was.
        "canceled": {
            "captured_and_refunded": Edge("canceled", posts=_captured_and_refunded, beside=_SAID),
            **_closed("canceled"),
        },
        "expired": _closed("expired"),
    },
    final=frozenset({"captured", "declined", "failed", "canceled", "expired"}),
)

#: States in which the create instruction has no outcome yet.
CREATE_OPEN: Final = frozenset({"authorizing", "requires_action"})
