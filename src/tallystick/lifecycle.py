"""The lifecycles of payment, attempt, refund and dispute: every edge there is.

Everything that decides which state may follow which lives in this file, as tables. Guards, the published
contract (``tallystick contract``), the OpenAPI enumerations, ``verify`` and the tests are generated from them;
an edge that is not written here cannot happen.

A table reads ``state -> {event: next state}``. The state before a subject exists is ``NEW``.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

NEW: Final = "new"


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


class AttemptState(StrEnum):
    """What we know of one call to a provider. ``unknown`` is not ``pending`` and not ``failed``."""

    SUBMITTED = "submitted"
    PENDING = "pending"
    REQUIRES_ACTION = "requires_action"
    UNKNOWN = "unknown"
    NOT_SENT = "not_sent"
    NOT_FOUND = "not_found"
    APPROVED = "approved"
    DECLINED = "declined"
    FAILED = "failed"
    REVERSED = "reversed"


class RefundState(StrEnum):
    """Where a refund is. A succeeded refund can still fail, weeks later."""

    SUBMITTING = "submitting"
    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class DisputeState(StrEnum):
    """Where a dispute is. It never moves its payment."""

    OPENED = "opened"
    UNDER_REVIEW = "under_review"
    WON = "won"
    LOST = "lost"


Table = Mapping[str, Mapping[str, str]]

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

ATTEMPT: Final[Table] = {
    NEW: {"submit": "submitted"},
    "submitted": {
        "approved": "approved",
        "declined": "declined",
        "pending": "pending",
        "requires_action": "requires_action",
        "unknown": "unknown",
        "not_sent": "not_sent",
        "not_found": "not_found",
    },
    "pending": {
        "approved": "approved",
        "declined": "declined",
        "requires_action": "requires_action",
        "not_found": "not_found",
        "parked": "pending",
    },
    "requires_action": {
        "approved": "approved",
        "declined": "declined",
        "pending": "pending",
        "not_found": "not_found",
        "parked": "requires_action",
    },
    # Sent again without evidence only where the same key never has two effects, and there is nothing to ask.
    "unknown": {
        "resubmit": "submitted",
        "approved": "approved",
        "declined": "declined",
        "pending": "pending",
        "requires_action": "requires_action",
        "not_found": "not_found",
        "parked": "unknown",
    },
    # A stalled sender's answer may still arrive after negative evidence: the provider's word is then the newer one.
    "not_found": {
        "resubmit": "submitted",
        "give_up": "failed",
        "approved": "approved",
        "declined": "declined",
        "pending": "pending",
        "requires_action": "requires_action",
        "parked": "not_found",
    },
    "not_sent": {
        "resubmit": "submitted",
        "give_up": "failed",
        "approved": "approved",
        "declined": "declined",
        "pending": "pending",
        "requires_action": "requires_action",
    },
    # Weeks later, it happens: the refund came back, the captured money never came.
    # A hold that was released, and captured all the same, is marked: its money went to suspense.
    "approved": {"reversed": "reversed", "late_effect": "approved"},
    "declined": {"late_effect": "declined"},
    "failed": {"late_effect": "failed"},
    "reversed": {},
}

REFUND: Final[Table] = {
    NEW: {"create": "submitting"},
    "submitting": {"pending": "pending", "succeeded": "succeeded", "failed": "failed"},
    "pending": {"succeeded": "succeeded", "failed": "failed"},
    "succeeded": {"failed": "failed"},
    "failed": {"late_effect": "failed"},
}

DISPUTE: Final[Table] = {
    NEW: {"open": "opened"},
    # Providers name what they moved (funds_reported), and may move it more often than once each way.
    "opened": {
        "funds_withdrawn": "opened",
        "funds_returned": "opened",
        "funds_reported": "opened",
        "late_effect": "opened",
        "under_review": "under_review",
        "won": "won",
        "lost": "lost",
    },
    "under_review": {
        "funds_withdrawn": "under_review",
        "funds_returned": "under_review",
        "funds_reported": "under_review",
        "late_effect": "under_review",
        "won": "won",
        "lost": "lost",
    },
    # Money that moves once more after the verdict goes to suspense, on a version of its own.
    "won": {"funds_reported": "won", "late_effect": "won"},
    "lost": {"funds_reported": "lost", "late_effect": "lost"},
}

MACHINES: Final[Mapping[str, Table]] = {
    "payment": PAYMENT,
    "attempt": ATTEMPT,
    "refund": REFUND,
    "dispute": DISPUTE,
}

FINAL: Final[Mapping[str, frozenset[str]]] = {
    "payment": frozenset({"captured", "declined", "failed", "canceled", "expired"}),
    "attempt": frozenset({"approved", "declined", "failed", "reversed"}),
    "refund": frozenset({"succeeded", "failed"}),
    "dispute": frozenset({"won", "lost"}),
}

#: States in which the instruction that created a payment has no outcome yet.
CREATE_OPEN: Final = frozenset({"authorizing", "requires_action"})

#: Attempt states that recovery must visit: each of these is scheduled or parked in the in-doubt lane.
ATTEMPT_OPEN: Final = frozenset({"submitted", "pending", "requires_action", "unknown", "not_found", "not_sent"})


def next_state(machine: str, state: str, event: str) -> str | None:
    """The state that ``event`` leads to from ``state``, or None where there is no such edge."""
    return MACHINES[machine].get(state, {}).get(event)


def is_edge(machine: str, from_state: str, to_state: str) -> bool:
    """Whether some event leads from one state to the other: what ``verify`` checks of history."""
    return to_state in MACHINES[machine].get(from_state, {}).values()


def events(machine: str) -> frozenset[str]:
    """Every event the machine knows, whatever the state."""
    return frozenset(event for edges in MACHINES[machine].values() for event in edges)


class Reading(StrEnum):
    """What a provider's verdict means to an attempt that is already stored (the published matrix)."""

    APPLY = "apply"  # a legal edge: commit it
    SAME = "same"  # says what we hold already: a duplicate, or no news
    CONFLICT = "conflict"  # contradicts what we hold: keep a rejection, raise an alert
    LATE_EFFECT = "late_effect"  # money arrived on a closed edge: post to suspense, raise an alert


VERDICTS: Final = (
    "approved",
    "declined",
    "pending",
    "requires_action",
    "unknown",
    "not_found",
    "not_sent",
    "reversed",
)

#: ``unknown``, ``pending`` and ``not_sent`` say nothing against a state that already holds an outcome.
_NEVER_OVERRIDES: Final = frozenset({"unknown", "pending", "not_sent", "requires_action"})


def reading(state: str, verdict: str) -> Reading:
    """How a stored attempt in ``state`` reads ``verdict``; amounts are compared by the caller."""
    if state == verdict:
        return Reading.SAME
    if verdict in ATTEMPT[state]:
        return Reading.APPLY
    if verdict in _NEVER_OVERRIDES:
        return Reading.SAME
    if verdict == "not_found":
        # After an outcome it contradicts the provider's own word; before one (not_sent, failed) it agrees with us.
        return Reading.CONFLICT if state in ("approved", "declined", "reversed") else Reading.SAME
    if verdict == "reversed":
        # Of an attempt without an outcome it says that nothing will come of it; after a decline it is no news.
        return Reading.APPLY if state in ATTEMPT_OPEN else Reading.SAME
    if verdict == "approved":
        # It was approved before it was reversed: overtaken news.
        return Reading.SAME if state == "reversed" else Reading.LATE_EFFECT
    # A decline after a failure: nothing happened either way.
    return Reading.CONFLICT if state == "approved" else Reading.SAME
