"""What one process knows of a database that fails it: said at once, then at a bounded rate with counts, and when it is
over."""

from __future__ import annotations

from functools import partial
from typing import Final, Literal

import asyncpg

from tallystick.kit.clock import monotonic_ms
from tallystick.kit.log_sampling import SAMPLE_EVERY_S, SampledLines
from tallystick.kit.logs import get_logger
from tallystick.record.postgres.failures import may_run_again

log = get_logger("tallystick.record.postgres.outage")

#: ``short``: of memory, of connections, or of what a setting allows. ``away``: it does not answer.
Kind = Literal["disk_full", "io_error", "short", "read_only", "away"]

#: A part that has not failed for this long has had nothing to do since: its failure is over with that of the others.
OVER_AFTER_MS: Final = 10_000

#: A restart or a failover is over by then, as a rule: what lasts longer is for a person.
ALERT_AFTER_MS: Final = 10_000


def kind_of(error: BaseException) -> Kind:
    """What is wrong with a database that may do the same later."""
    match error:
        case asyncpg.DiskFullError():
            return "disk_full"
        case asyncpg.PostgresSystemError():
            return "io_error"
        case asyncpg.InsufficientResourcesError():
            return "short"
        case asyncpg.ReadOnlySQLTransactionError():
            return "read_only"
        case _:
            return "away"


class Outage:
    """The failures of one process, by its parts: the journal, the inbox, each piece of periodic work. A part that
    reports here has no line of its own for it, so that one cause is a few lines. Call it inside an event loop."""

    def __init__(self, every_s: float = SAMPLE_EVERY_S) -> None:
        self._lines = SampledLines(every_s)
        self._failed: dict[str, tuple[Kind, int]] = {}
        self._began_ms = 0
        self._failures = 0

    def failed(self, part: str, error: Exception) -> bool:
        """A part met an error. Returns whether it is one of the database that passes; else the part has to say it."""
        if not may_run_again(error):
            return False
        self.note(part, error)
        return True

    def note(self, part: str, error: Exception) -> None:
        """A part met an error that is the database's, whatever it is, such as a refused login."""
        now_ms, kind = monotonic_ms(), kind_of(error)
        if not self._failed:
            self._began_ms, self._failures = now_ms, 0
        self._failed[part] = (kind, now_ms)
        self._failures += 1
        self._lines.line(kind, partial(self._say, kind, part, repr(error)))

    def worked(self, part: str) -> None:
        """A part has done what it does with the database."""
        if not self._failed:
            return
        now_ms = monotonic_ms()
        self._failed.pop(part, None)
        if any(now_ms - at_ms < OVER_AFTER_MS for _, at_ms in self._failed.values()):
            return
        self._failed.clear()
        self._lines.flush()
        # As loud as what it ends: a log of errors alone has both.
        log.error("database works again", after_ms=now_ms - self._began_ms, failures=self._failures)

    def writing_fails(self, parts: tuple[str, ...], within_ms: int) -> Kind | None:
        """Why one of these parts could not write just now, unless it has written since."""
        now_ms = monotonic_ms()
        found = [self._failed[part] for part in parts if part in self._failed]
        return next((kind for kind, at_ms in found if now_ms - at_ms < within_ms), None)

    def flush(self) -> None:
        """Before the process ends: say what was counted."""
        self._lines.flush()

    def _say(self, kind: Kind, part: str, error: str, since_last_line: int) -> None:
        for_ms = monotonic_ms() - self._began_ms
        lasts = {"alert": True, "for_ms": for_ms, "next": "tallystick doctor"} if for_ms >= ALERT_AFTER_MS else {}
        log.error("database fails", kind=kind, part=part, error=error, since_last_line=since_last_line, **lasts)
