"""What callers of the flows have to expect of the database."""

from __future__ import annotations

from typing import Final

from tallystick.record.postgres import failures

#: Raised while the database is away or too slow: nothing that a client sent is the cause.
DATABASE_AWAY: Final[tuple[type[Exception], ...]] = failures.DATABASE_AWAY
