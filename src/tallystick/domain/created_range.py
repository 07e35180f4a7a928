"""When what a list shows was created: a range of time that each list takes. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from msgspec import Struct

from tallystick.domain.errors import ProblemField


class CreatedRange(Struct, frozen=True, kw_only=True):
    """From ``created_gte`` on and before ``created_lt``, each of them aware; None where that side is open."""

    created_gte: datetime | None = None
    created_lt: datetime | None = None

    def faults(self) -> list[ProblemField]:
        """An empty range is a mistake."""
        if self.created_gte is None or self.created_lt is None or self.created_gte < self.created_lt:
            return []
        return [ProblemField("created_lt", "invalid_value", "must be after created_gte")]

    def range_faults(self, longest: timedelta, needed: str, too_long: str) -> list[ProblemField]:
        """Why it is not a range of at most ``longest``: a missing side is ``needed``, and one may be ``too_long``."""
        if self.created_gte is None or self.created_lt is None:
            given = {"created_gte": self.created_gte, "created_lt": self.created_lt}
            return [ProblemField(name, "required", needed) for name, value in given.items() if value is None]
        if self.created_lt - self.created_gte > longest:
            return [ProblemField("created_lt", "out_of_range", too_long)]
        return []
