"""The lifecycle of an attempt: what we know of one call to a provider.

``unknown`` is not ``pending`` and not ``failed``. Attempts post nothing and have no messages: their payment or refund
has both. Each event declares what must exist beside its step (``_BESIDE``), whatever state it leaves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tallystick.domain.lifecycles.table import NEW, Checkpoint, Edge, Machine

#: By event, what must exist beside the step. An outcome that we decide ourselves (``give_up``), and the words that say
#: that no answer came, are not the provider's.
_BESIDE: Final[Mapping[str, tuple[Checkpoint, ...]]] = {
    "submit": ("request", "schedule"),
    "resubmit": ("schedule",),
    "unknown": ("schedule",),
    "not_sent": ("schedule",),
    "parked": ("schedule",),
    "not_found": ("schedule", "provider's word"),
    "key_taken": ("schedule", "provider's word"),
    "pending": ("schedule", "provider's word"),
    "requires_action": ("schedule", "provider's word"),
    "approved": ("recorded answer", "provider's word"),
    "declined": ("recorded answer", "provider's word"),
    "give_up": ("recorded answer",),
    "reversed": ("provider's word",),
    "late_capture": ("provider's word", "rejection"),
    "late_hold": ("provider's word", "rejection"),
    "late_release": ("provider's word", "rejection"),
    "late_refund": ("provider's word", "rejection"),
}


def _edges(**leads_to: str) -> dict[str, Edge]:
    return {event: Edge(state, beside=_BESIDE[event]) for event, state in leads_to.items()}


def _late(state: str, *events: str) -> dict[str, Edge]:
    """Effects after it was closed. Each edge has the name of the payment's or refund's own edge, and posts nothing."""
    return {**_edges(**dict.fromkeys(events, state)), "late_effect": Edge(state, retired=True)}


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
        "approved": {**_edges(reversed="reversed"), **_late("approved", "late_capture")},
        "declined": _late("declined", *_LATE),
        "failed": _late("failed", *_LATE),
        "reversed": {},
    },
    final=frozenset({"approved", "declined", "failed", "reversed"}),
)

#: Attempt states that recovery must visit: each of these is scheduled or parked in the in-doubt list.
ATTEMPT_OPEN: Final = frozenset({"submitted", "pending", "requires_action", "unknown", "not_found", "not_sent"})
