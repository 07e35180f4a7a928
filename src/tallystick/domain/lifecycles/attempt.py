"""The lifecycle of an attempt: one money-moving call to a provider."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from tallystick.domain.lifecycles.table import NEW, Table


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


#: Attempt states that recovery must visit: each of these is scheduled or parked in the in-doubt lane.
ATTEMPT_OPEN: Final = frozenset({"submitted", "pending", "requires_action", "unknown", "not_found", "not_sent"})
