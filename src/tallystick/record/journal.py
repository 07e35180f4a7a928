"""The journal: ``Journal.commit`` writes every state change of the platform, and nothing else writes state.

Group commit: a change joins an in-process queue. While one batch is on its way to disk, the next one collects. An idle
system adds no delay, and a busy one writes hundreds of changes per transaction.

Batches cost much the same whatever their size. So while changes come together, the next batch starts ``spacing_ms``
after the last one started, and not as soon as it could (decision 0085).
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from msgspec import Struct

from tallystick.domain.change import Change
from tallystick.domain.errors import ChangeRefused, OutcomeUnknown, Overloaded
from tallystick.domain.instruction import StoredInstruction
from tallystick.domain.measures import BATCH_CHANGES, BATCH_TIME, BATCH_WAIT, LOST_RACES, REJECTIONS, TRANSITIONS
from tallystick.kit.clock import Clock, monotonic_ms
from tallystick.kit.logs import get_logger
from tallystick.kit.steps import begin
from tallystick.record.batch_starts import BatchStarts
from tallystick.record.commit_lines import COMMITTED, ends_another, reported
from tallystick.record.postgres.batch import BatchResult, Entry, JournalConnection, LostRace, committed, run_batch
from tallystick.record.postgres.connections import FORGET_PLANS, KeptPlans
from tallystick.record.postgres.failures import (
    CONNECTION_IS_FINE,
    RETRY_SAME_CONNECTION,
    may_run_again,
    pause_ms,
)
from tallystick.record.postgres.outage import Outage
from tallystick.record.postgres.repeated_keys import RepeatedKeys
from tallystick.settings.load import Settings

log = get_logger("tallystick.record.journal")

#: Pause before a batch that met a deadlock, a serialization failure or a lost connection runs again: long enough for
#: the other side to finish, short compared with a commit time-out of seconds.
RETRY_PAUSE_MS: Final = 20

#: The longest pause while the database stays away: a writer is back this soon after it.
RETRY_CAP_MS: Final = 500

#: The journal's name in what is said of an outage.
PART: Final = "journal"

#: An outcome (money may have moved) is retried this many times longer than an intent, before recovery must find it.
OUTCOME_PATIENCE: Final = 6


class Fresh(Struct, frozen=True):
    """The change is committed."""


class Existing(Struct, frozen=True):
    """The idempotency key was taken before; nothing was written."""

    stored: StoredInstruction


class Stale(Struct, frozen=True):
    """Another change took one of the versions first; nothing was written. Load and decide again."""


Committed = Fresh | Existing | Stale
FRESH: Final = Fresh()
STALE: Final = Stale()


class JournalLimits(Struct, frozen=True, kw_only=True):
    """Bounds of the journal; see the settings of the same names."""

    connections: int
    second_batch_changes: int
    spacing_ms: int
    batch_changes: int
    batch_rows: int
    batch_bytes: int
    queue_limit: int
    commit_timeout_ms: int


def limits_of(settings: Settings) -> JournalLimits:
    """The bounds by the settings."""
    return JournalLimits(
        connections=settings.journal_connections,
        second_batch_changes=settings.journal_second_batch_changes,
        spacing_ms=settings.journal_spacing_ms,
        batch_changes=settings.journal_batch_changes,
        batch_rows=settings.journal_batch_rows,
        batch_bytes=settings.journal_batch_bytes,
        queue_limit=settings.journal_queue_limit,
        commit_timeout_ms=settings.journal_commit_timeout_ms,
    )


class _QueuedChange:
    __slots__ = ("entry", "future", "give_up_at_ms", "since_ms")

    def __init__(self, entry: Entry, future: asyncio.Future[Committed], since_ms: int, patience_ms: int) -> None:
        self.entry = entry
        self.future = future
        self.since_ms = since_ms
        self.give_up_at_ms = since_ms + patience_ms

    def resolve(self, outcome: Committed) -> None:
        if not self.future.done():
            self.future.set_result(outcome)

    def fail(self, error: Exception) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class Journal:
    """The one writer of state, history and ledger in this process. ``connect`` opens a dedicated connection."""

    def __init__(
        self,
        connect: Callable[[], Awaitable[JournalConnection]],
        limits: JournalLimits,
        clock: Clock,
        outage: Outage | None = None,
    ) -> None:
        self._connect = connect
        self.outage = outage or Outage()
        self._limits = limits
        self.clock = clock
        self._intents: deque[_QueuedChange] = deque()
        self._outcomes: deque[_QueuedChange] = deque()
        self._wake = asyncio.Event()
        self._writers: list[asyncio.Task[None]] = []
        self.repeated: Final = RepeatedKeys()
        self._closing = False
        self._starts = BatchStarts(
            lambda: bool(self._intents or self._outcomes),
            self._has_enough,
            self._wake.set,
            spacing_ms=limits.spacing_ms,
        )

    async def start(self) -> None:
        """Open the connections. Raises what the database raises, so that a failure shows at the start."""
        connections = [await self._connect() for _ in range(self._limits.connections)]
        self._writers = [
            asyncio.create_task(_Writer(self, connection).run(), name=f"journal-{number}")
            for number, connection in enumerate(connections)
        ]

    async def stop(self) -> None:
        """Commit the queued changes, then close."""
        self._closing = True
        self._wake.set()
        await asyncio.gather(*self._writers)
        self._starts.cancel()

    def depth(self) -> int:
        """Changes waiting for a batch."""
        return len(self._intents) + len(self._outcomes)

    def room(self, share: float) -> bool:
        """Whether intents fill less than ``share`` of the queue: work that is shed first passes a smaller share."""
        return len(self._intents) < self._limits.queue_limit * share

    async def commit(self, change: Change) -> Committed:
        """Write the whole change durably, or nothing of it.

        Raises Overloaded (an intent met a full queue: nothing was written), OutcomeUnknown (the database could not be
        reached in time: the change may be committed) and ChangeRefused (the database will never accept this change).
        """
        step = begin(COMMITTED, "client")
        committed = self._queued(change)
        if step is None and not ends_another(change):
            return await committed
        return await reported(change, step, committed)

    def _queued(self, change: Change) -> asyncio.Future[Committed]:
        """Raises Overloaded."""
        patience_ms = self._limits.commit_timeout_ms
        if change.must_not_be_shed:
            patience_ms *= OUTCOME_PATIENCE
        elif self._closing or not self.room(1.0):
            raise Overloaded("the journal's queue is full" if not self._closing else "the journal is closing")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Committed] = loop.create_future()
        waiting = _QueuedChange(Entry(change), future, monotonic_ms(), patience_ms)
        (self._outcomes if change.must_not_be_shed else self._intents).append(waiting)
        if self._starts.may_start():
            self._wake.set()
        return future

    async def next_batch(self) -> list[_QueuedChange]:
        """The changes of the next transaction, outcomes first; empty once the journal closes and nothing is left."""
        while not self._starts.may_start():
            if self._closing and not self.depth():
                return []
            self._wake.clear()
            await self._wake.wait()
        batch = self._take()
        self._starts.started(len(batch))
        return batch

    def batch_done(self) -> None:
        """A writer has finished its batch, and asks for the next."""
        self._starts.ended()

    def _has_enough(self) -> bool:
        """Whether what waits need not wait for more."""
        return self._closing or self.depth() >= self._limits.second_batch_changes

    def _take(self) -> list[_QueuedChange]:
        batch: list[_QueuedChange] = []
        rows = size_bytes = 0
        limits = self._limits
        for queue in (self._outcomes, self._intents):
            while queue and len(batch) < limits.batch_changes:
                entry = queue[0].entry
                rows += entry.rows.count
                size_bytes += entry.rows.size_bytes
                if batch and (rows > limits.batch_rows or size_bytes > limits.batch_bytes):
                    return batch
                batch.append(queue.popleft())
        return batch

    async def reconnect(self) -> JournalConnection:
        """A new connection for a writer that lost its own."""
        return await self._connect()


class _Writer:
    """One connection, and the batches that it writes."""

    def __init__(self, journal: Journal, connection: JournalConnection) -> None:
        self._journal = journal
        self._connection = connection
        self._plans = KeptPlans()
        self._failures = 0  # in a row

    async def run(self) -> None:
        while batch := await self._journal.next_batch():
            started_ms = monotonic_ms()
            try:
                await self._commit(batch)
            except Exception as error:  # a defect here must answer its callers, and must not end the writer
                log.error("journal writer failed", error=repr(error))
                for waiting in batch:
                    waiting.fail(OutcomeUnknown("the journal failed"))
            finally:
                self._journal.batch_done()
                _count_batch(batch, started_ms)
        if not self._connection.is_closed():
            await self._connection.close()

    async def _commit(self, batch: Sequence[_QueuedChange]) -> None:
        """Run the batch until each of its changes has an answer."""
        by_entry = {id(waiting.entry): waiting for waiting in batch}
        pending = list(batch)
        after_loss = False
        while pending:
            try:
                if self._plans.are_old():
                    await self._connection.execute(FORGET_PLANS)
                result = await run_batch(
                    self._connection,
                    [waiting.entry for waiting in pending],
                    self._journal.clock,
                    after_loss=after_loss,
                    repeated=self._journal.repeated,
                )
            except LostRace as lost:
                losers = {id(entry) for entry in lost.losers}
                await self._answer_losers(lost.losers, by_entry, after_loss=after_loss)
                pending = [waiting for waiting in pending if id(waiting.entry) not in losers]
            except Exception as error:
                if may_run_again(error):
                    after_loss = True
                    pending = await self._recover(pending, error)
                else:
                    await self._bisect(pending, error)
                    return
            else:
                self._failures = 0
                self._journal.outage.worked(PART)
                pending = self._answer(result, by_entry)

    async def _answer_losers(
        self, losers: Sequence[Entry], by_entry: dict[int, _QueuedChange], *, after_loss: bool
    ) -> None:
        """Answer Stale, unless the earlier version is this very change, from a commit that seemed lost."""
        ours: set[str] = set()
        if after_loss:
            try:
                ours = await committed(self._connection, losers)
            except Exception as error:
                if not self._journal.outage.failed(PART, error):
                    log.warning("journal cannot read back", error=type(error).__name__)
                for entry in losers:
                    by_entry[id(entry)].fail(OutcomeUnknown("the commit could not be read back"))
        LOST_RACES[()] += len(losers) - len(ours)
        for entry in losers:
            by_entry[id(entry)].resolve(FRESH if entry.change.change_id in ours else STALE)

    def _answer(self, result: BatchResult, by_entry: dict[int, _QueuedChange]) -> list[_QueuedChange]:
        for entry in result.fresh:
            by_entry[id(entry)].resolve(FRESH)
            _count_steps(entry.change)
        for entry, stored in result.existing:
            by_entry[id(entry)].resolve(Existing(stored))
        return [by_entry[id(entry)] for entry in result.look_again]

    async def _bisect(self, pending: list[_QueuedChange], error: Exception) -> None:
        """The database refused something permanently: find it, so that only that change fails."""
        if len(pending) == 1:
            change = pending[0].entry.change
            log.error("change refused by the database", stream_id=change.stream_id, error=type(error).__name__)
            refusal = ChangeRefused(f"the database refused the change ({type(error).__name__})")
            refusal.__cause__ = error
            pending[0].fail(refusal)
            return
        middle = len(pending) // 2
        await self._commit(pending[:middle])
        await self._commit(pending[middle:])

    async def _recover(self, pending: list[_QueuedChange], error: Exception) -> list[_QueuedChange]:
        """Pause, replace a lost connection, and give up on changes whose time is over."""
        if isinstance(error, RETRY_SAME_CONNECTION):
            await asyncio.sleep(RETRY_PAUSE_MS * (1 + random.random()) / 1000)
        else:
            self._journal.outage.failed(PART, error)
            await asyncio.sleep(pause_ms(self._failures, RETRY_PAUSE_MS, RETRY_CAP_MS) / 1000)
            self._failures += 1
        if not isinstance(error, CONNECTION_IS_FINE):
            self._connection.terminate()
            try:
                self._connection = await self._journal.reconnect()
                self._plans = KeptPlans()
            except Exception as refused:  # the next round tries again
                self._journal.outage.note(PART, refused)
        now_ms = monotonic_ms()
        for waiting in pending:
            if waiting.give_up_at_ms <= now_ms:
                waiting.fail(OutcomeUnknown("the database could not be reached in time"))
        return [waiting for waiting in pending if not waiting.future.done()]


def _count_steps(change: Change) -> None:
    """For the numbers of this process: a few dict entries for each change."""
    for part in (change, *change.beside):
        for step in part.transitions:
            TRANSITIONS[step.subject, step.from_state, step.event] += 1
    for refused in change.rejections:
        REJECTIONS[refused.subject, refused.state, refused.event, refused.origin] += 1


def _count_batch(batch: Sequence[_QueuedChange], started_ms: int) -> None:
    BATCH_CHANGES.observe((), len(batch))
    BATCH_WAIT.observe((), started_ms - min(waiting.since_ms for waiting in batch))
    BATCH_TIME.observe((), monotonic_ms() - started_ms)
