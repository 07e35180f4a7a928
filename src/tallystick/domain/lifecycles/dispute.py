"""The lifecycle of a dispute."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from tallystick.domain.lifecycles.table import NEW, Table


class DisputeState(StrEnum):
    """Where a dispute is. It never moves its payment."""

    OPENED = "opened"
    UNDER_REVIEW = "under_review"
    WON = "won"
    LOST = "lost"


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
