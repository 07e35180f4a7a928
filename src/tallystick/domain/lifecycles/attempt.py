"""The lifecycle of an attempt: what we know of one call to a provider.

``unknown`` is not ``pending`` and not ``failed``. Attempts post nothing and have no messages: their payment or refund
has both.
"""

from __future__ import annotations

from typing import Final

from tallystick.domain.lifecycles.table import NEW, Edge, Machine


def _edges(**leads_to: str) -> dict[str, Edge]:
    return {event: Edge(state) for event, state in leads_to.items()}


def _late(state: str, *events: str) -> dict[str, Edge]:
    """Effects after it was closed. Each edge has the name of the payment's or refund's own edge, and posts nothing."""
    return {**{event: Edge(state) for event in events}, "late_effect": Edge(state, retired=True)}


_LATE: Final = ("late_capture", "late_hold", "late_release", "late_refund")

ATTEMPT: Final = Machine(
    "attempt",
    {
        NEW: _edges(submit="submitted"),
        "submitted": _edges(
            approved="approved",
            declined="declined",
            pending="pending",
            requires_action="requires_action",
            unknown="unknown",
            key_taken="unknown",
            not_sent="not_sent",
            not_found="not_found",
        ),
        "pending": _edges(
            approved="approved",
            declined="declined",
            requires_action="requires_action",
            not_found="not_found",
            parked="pending",
        ),
        "requires_action": _edges(
            approved="approved",
            declined="declined",
            pending="pending",
            not_found="not_found",
            parked="requires_action",
        ),
        # Sent again without evidence only if the provider deduplicates by key and has no lookup.
        "unknown": _edges(
            resubmit="submitted",
            approved="approved",
            declined="declined",
            pending="pending",
            requires_action="requires_action",
            not_found="not_found",
            key_taken="unknown",
            parked="unknown",
        ),
        # A stalled sender's answer may still arrive after negative evidence: the provider's newer statement counts.
        "not_found": _edges(
            resubmit="submitted",
            give_up="failed",
            approved="approved",
            declined="declined",
            pending="pending",
            requires_action="requires_action",
            key_taken="unknown",
            parked="not_found",
        ),
        "not_sent": _edges(
            resubmit="submitted",
            give_up="failed",
            approved="approved",
            declined="declined",
            pending="pending",
            requires_action="requires_action",
            key_taken="unknown",
            parked="not_sent",
        ),
        # Weeks later a refund may come back, or captured money may turn out not to be received.
        # late_capture: the hold was released and captured all the same; the money went to suspense.
        "approved": {"reversed": Edge("reversed"), **_late("approved", "late_capture")},
        "declined": _late("declined", *_LATE),
        "failed": _late("failed", *_LATE),
        "reversed": {},
    },
    final=frozenset({"approved", "declined", "failed", "reversed"}),
)

#: Attempt states that recovery must visit: each of these is scheduled or parked in the in-doubt list.
ATTEMPT_OPEN: Final = frozenset({"submitted", "pending", "requires_action", "unknown", "not_found", "not_sent"})
