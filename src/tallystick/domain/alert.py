"""An alert: one condition about one thing, for a person. Plain data.

It opens, somebody acknowledges it, and it is resolved: by a person, or because the condition holds no longer. The same
condition about the same thing opens the same alert again, so that its history has each time.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal, get_args

from msgspec import Struct

AlertState = Literal["open", "acknowledged", "resolved"]

ALERT_STATES: Final[tuple[AlertState, ...]] = get_args(AlertState)

#: ``page`` wakes somebody; a ``notice`` waits for the morning.
Severity = Literal["page", "notice"]

#: Where the runbooks are, from the root of the repository.
RUNBOOKS: Final = "docs/operate/alerts"


class Found(Struct, frozen=True, kw_only=True):
    """A condition that holds. ``about``: of what, within the alert's name; from a small set, and never a merchant.
    ``summary``: one sentence with the figures. ``began_at``: since when it holds, by the evidence."""

    name: str
    about: str
    severity: Severity
    owner: str
    summary: str
    began_at: datetime


class Alert(Struct, frozen=True, kw_only=True):
    """An alert as stored. ``merchant_id`` is the operators': alerts are about the platform. ``began_at`` and
    ``opened_at`` are of the last time that it opened, and so is ``summary``. ``openings``: how often it did."""

    merchant_id: str
    alert_id: str
    name: str
    about: str
    created_at: datetime
    version: int
    state: AlertState
    severity: Severity
    owner: str
    summary: str
    began_at: datetime
    opened_at: datetime
    openings: int = 1
    acknowledged_by: str | None = None
    resolved_by: str | None = None
    updated_at: datetime

    @property
    def detected_in_ms(self) -> int:
        """How long the condition had held when the alert opened."""
        return max(0, round((self.opened_at - self.began_at).total_seconds() * 1_000))

    @property
    def runbook(self) -> str:
        """What it means, how to look, what to do."""
        return f"{RUNBOOKS}/{self.name}.md"
