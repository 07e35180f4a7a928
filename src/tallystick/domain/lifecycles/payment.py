"""The lifecycle of a payment. Refunds and disputes have lifecycles of their own and never move it."""

from __future__ import annotations

from typing import Final

from tallystick.domain.ledger import postings
from tallystick.domain.ledger.postings import Posting
from tallystick.domain.lifecycles.table import NEW, Edge, Machine
from tallystick.domain.subjects import Payment


def _hold(_: Payment, after: Payment) -> list[Posting]:
    return postings.hold(after.provider, after.amount_authorized)


def _capture(before: Payment, after: Payment) -> list[Posting]:
    """The whole hold is reversed, then what was captured is posted."""
    return postings.capture(after.provider, before.amount_authorized, after.amount_captured)


def _release(before: Payment, after: Payment) -> list[Posting]:
    return postings.release(after.provider, before.amount_authorized)


def _capture_reversed(before: Payment, after: Payment) -> list[Posting]:
    return postings.capture_reversed(after.provider, after.amount_reversed - before.amount_reversed)


def _late_capture(before: Payment, after: Payment) -> list[Posting]:
    return postings.late_capture(after.provider, after.amount_late - before.amount_late)


_AUTHORIZED: Final = Edge("authorized", posts=_hold, told="payment.authorized")
_CAPTURED: Final = Edge("captured", posts=_capture, told="payment.captured")
_CANCELED: Final = Edge("canceled", posts=_release, told="payment.canceled")
_EXPIRED: Final = Edge("expired", posts=_release, told="payment.expired")
_DECLINED: Final = Edge("declined", told="payment.declined")
_FAILED: Final = Edge("failed", told="payment.failed")


def _closed(state: str) -> dict[str, Edge]:
    """Effects on a closed payment add a version and keep the state. Captured money goes to suspense; a hold and its
    release move no money. ``late_effect`` was the name of all of them."""
    return {
        "late_capture": Edge(state, posts=_late_capture),
        "late_hold": Edge(state),
        "late_release": Edge(state),
        "late_effect": Edge(state, retired=True),
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
            "action_required": Edge("requires_action", told="payment.requires_action"),
        },
        "requires_action": {
            "processing": Edge("authorizing"),
            "authorized": _AUTHORIZED,
            "captured": _CAPTURED,
            "declined": _DECLINED,
            "failed": _FAILED,
            "cancel": Edge("canceling"),
            "canceled": _CANCELED,
            "expired": _EXPIRED,
        },
        "authorized": {
            "capture": Edge("capturing"),
            "cancel": Edge("canceling"),
            "captured": _CAPTURED,
            "canceled": _CANCELED,
            "expired": _EXPIRED,
        },
        "capturing": {
            "captured": _CAPTURED,
            "capture_refused": Edge("authorized", told="payment.capture_refused"),
            "expired": _EXPIRED,
        },
        "canceling": {
            "canceled": _CANCELED,
            "cancel_refused": Edge("authorized", told="payment.cancel_refused"),
            "action_still_required": Edge("requires_action", told="payment.cancel_refused"),
            "captured": _CAPTURED,
            "expired": _EXPIRED,
        },
        # Refunds and disputes are decided against the payment's version, so each of their steps adds a version here, in
        # the same state. A capture that fails days later keeps the state, which is final; amount_reversed counts it.
        "captured": {
            "refund_opened": Edge("captured"),
            "refund_succeeded": Edge("captured"),
            "refund_failed": Edge("captured"),
            "capture_reversed": Edge("captured", posts=_capture_reversed, told="payment.capture_reversed"),
            "dispute_opened": Edge("captured"),
            "dispute_updated": Edge("captured"),
            **_closed("captured"),
        },
        "declined": _closed("declined"),
        "failed": _closed("failed"),
        "canceled": _closed("canceled"),
        "expired": _closed("expired"),
    },
    final=frozenset({"captured", "declined", "failed", "canceled", "expired"}),
)

#: States in which the create instruction has no outcome yet.
CREATE_OPEN: Final = frozenset({"authorizing", "requires_action"})
