"""The lifecycle of a payment."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from tallystick.domain.lifecycles.table import NEW, Table


class PaymentState(StrEnum):
    """Where a payment is. Refunds have lives of their own and never move it."""

    AUTHORIZING = "authorizing"
    REQUIRES_ACTION = "requires_action"
    AUTHORIZED = "authorized"
    CAPTURING = "capturing"
    CANCELING = "canceling"
    CAPTURED = "captured"
    DECLINED = "declined"
    FAILED = "failed"
    CANCELED = "canceled"
    EXPIRED = "expired"


PAYMENT: Final[Table] = {
    NEW: {"create": "authorizing"},
    "authorizing": {
        "authorized": "authorized",
        "captured": "captured",
        "declined": "declined",
        "failed": "failed",
        "action_required": "requires_action",
    },
    "requires_action": {
        "processing": "authorizing",
        "authorized": "authorized",
        "captured": "captured",
        "declined": "declined",
        "failed": "failed",
        "cancel": "canceling",
        "canceled": "canceled",
        "expired": "expired",
    },
    "authorized": {
        "capture": "capturing",
        "cancel": "canceling",
        "captured": "captured",
        "canceled": "canceled",
        "expired": "expired",
    },
    "capturing": {"captured": "captured", "capture_refused": "authorized", "expired": "expired"},
    "canceling": {
        "canceled": "canceled",
        "cancel_refused": "authorized",
        "action_still_required": "requires_action",
        "captured": "captured",
        "expired": "expired",
    },
    # Refunds and disputes are decided against the payment's version, so each step of one adds a version here (same
    # state). A capture that fails days later leaves the state, which is final, and is counted in amount_reversed.
    "captured": {
        "refund_opened": "captured",
        "refund_succeeded": "captured",
        "refund_failed": "captured",
        "capture_reversed": "captured",
        "dispute_opened": "captured",
        "dispute_updated": "captured",
        "late_effect": "captured",
    },
    # Money that arrives on a closed edge is posted to suspense, on a version of its own: never dropped.
    "declined": {"late_effect": "declined"},
    "failed": {"late_effect": "failed"},
    "canceled": {"late_effect": "canceled"},
    "expired": {"late_effect": "expired"},
}


#: States in which the instruction that created a payment has no outcome yet.
CREATE_OPEN: Final = frozenset({"authorizing", "requires_action"})
