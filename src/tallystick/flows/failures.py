"""Database errors that callers of the flows must handle."""

from __future__ import annotations

from typing import Final

from tallystick.record.postgres import failures

#: Raised while the database is unavailable or too slow; no request is the cause.
DATABASE_AWAY: Final[tuple[type[Exception], ...]] = failures.DATABASE_AWAY
