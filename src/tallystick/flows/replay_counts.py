"""How often requests are repeated under their keys: counted in memory, and added to the record every few seconds.

A first request is not counted, and nothing waits for the database: while it is unavailable counts are kept here and
written later. A killed process loses the counts of its last seconds; one whose connection is lost at the COMMIT may
count them twice. No answer depends on them.
"""

from __future__ import annotations

import asyncio
from typing import Final, Literal

from tallystick.flows.hourly_counts import WRITE_EVERY_MS, WRITE_TIMEOUT_S
from tallystick.kit.clock import Clock
from tallystick.kit.log_sampling import SampledLines
from tallystick.kit.logs import get_logger
from tallystick.kit.rounds import Rounds
from tallystick.record.postgres.replays import Repeated, ReplayBook, ReplayName

log = get_logger("tallystick.flows.replay_counts")

#: What a repetition got: the recorded answer, 202 with the present state, 409 while the first request is carried out,
#: or 409 because it is another request.
ReplayKind = Literal["replayed", "not_final", "in_flight", "other_request"]

#: Keys and kinds that are kept between two writes. Each is some 300 bytes; a flood of more is counted in the log alone.
KEPT_AT_MOST: Final = 20_000


class ReplayCounts:
    """The counts of one process."""

    def __init__(self, book: ReplayBook, clock: Clock, *, write_every_ms: int = WRITE_EVERY_MS) -> None:
        self._book = book
        self._clock = clock
        self._unwritten: dict[ReplayName, Repeated] = {}
        self._left_out = 0
        self._lines = SampledLines()
        self._rounds = Rounds("replays", write_every_ms, self.write, finish=self.write)
        self._stop = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start to write."""
        self._running = asyncio.create_task(self._rounds.run(self._stop), name="replays")

    async def stop(self) -> None:
        """Write and log the rest."""
        self._stop.set()
        await (self._running or self.write())
        self._lines.flush()

    def count(self, merchant_id: str, idempotency_key: str, kind: ReplayKind) -> None:
        """Count one repetition."""
        now = self._clock.now()
        self._add((merchant_id, idempotency_key, kind), Repeated(1, now, now))

    async def write(self) -> None:
        """Write the counts. Counts that cannot be written are kept."""
        counts, self._unwritten = self._unwritten, {}
        left_out, self._left_out = self._left_out, 0
        if left_out:
            self._say("replays not counted", "too many keys", left_out)
        if not counts:
            return
        try:
            async with asyncio.timeout(WRITE_TIMEOUT_S):
                await self._book.add(counts)
        except Exception as error:
            for name, repeated in counts.items():
                self._add(name, repeated)
            self._say("counts not written yet", type(error).__name__, len(self._unwritten))

    def _add(self, name: ReplayName, more: Repeated) -> None:
        kept = self._unwritten.get(name)
        if kept is not None:
            first_at, last_at = min(kept.first_at, more.first_at), max(kept.last_at, more.last_at)
            self._unwritten[name] = Repeated(kept.number + more.number, first_at, last_at)
        elif len(self._unwritten) < KEPT_AT_MOST:
            self._unwritten[name] = more
        else:
            self._left_out += more.number

    def _say(self, what: str, why: str, number: int) -> None:
        def say(since_last_line: int) -> None:
            log.warning(what, of="replays", error=why, counts=number, since_last_line=since_last_line)

        self._lines.line((what, why), say)
