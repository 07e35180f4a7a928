"""How the acquirer answers the next instructions, whatever their scripts say: as one that is down, busy or slow."""

from __future__ import annotations

from typing import Any, Final, Literal, get_args

#: What the next instruction can meet. Of these only a slow one is booked, beside a healthy one.
Health = Literal["healthy", "unavailable", "busy", "timeout", "reset", "slow"]
NEXT: Final[tuple[Health, ...]] = get_args(Health)
HEALTHY: Final = "healthy"

#: What a busy acquirer asks its callers to wait.
RETRY_AFTER_S: Final = 2

#: Instructions that one call can be about: enough for a drill, and it ends.
CALLS_LIMIT: Final = 10_000


class NextHealth:
    """It is kept in memory: a restart makes the acquirer healthy."""

    def __init__(self) -> None:
        self._next: Health = HEALTHY
        self._calls = 0

    def set(self, health: Health, calls: int) -> None:
        """The next ``calls`` instructions meet ``health``."""
        self._next = health
        self._calls = 0 if health == HEALTHY else calls

    def take(self) -> Health:
        """What this instruction meets."""
        met, self._calls = self._next, max(0, self._calls - 1)
        if self._calls == 0:
            self._next = HEALTHY
        return met

    def view(self) -> dict[str, Any]:
        """For people and programs."""
        return {"next": self._next, "calls": self._calls}
