"""How the acquirer answers the next instructions, whatever their scripts say: as one that is down, busy or slow."""

from __future__ import annotations

from typing import Any, Final

#: What the next instruction can meet. Of these only a slow one is booked.
HEALTHY: Final = "healthy"
NEXT: Final = (HEALTHY, "unavailable", "busy", "timeout", "reset", "slow")

#: What a busy acquirer asks its callers to wait.
RETRY_AFTER_S: Final = 2

#: Instructions that one call can be about: enough for a drill, and it ends.
CALLS_LIMIT: Final = 10_000


class NextHealth:
    """It is kept in memory: a restart makes the acquirer healthy."""

    def __init__(self) -> None:
        self._next = HEALTHY
        self._calls = 0

    def set(self, health: str, calls: int) -> None:
        """The next ``calls`` instructions meet ``health``, one of ``NEXT``."""
        self._next, self._calls = (health, calls) if health != HEALTHY else (HEALTHY, 0)

    def take(self) -> str:
        """What this instruction meets."""
        met, self._calls = self._next, max(0, self._calls - 1)
        if self._calls == 0:
            self._next = HEALTHY
        return met

    def view(self) -> dict[str, Any]:
        """For people and programs."""
        return {"next": self._next, "calls": self._calls}
