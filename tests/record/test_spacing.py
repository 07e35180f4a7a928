"""When the journal starts a batch: at once on an idle system, spaced while changes come together, never too late."""

from __future__ import annotations

import asyncio
import random
from functools import cache

import pytest
from msgspec.structs import replace

from tallystick.domain.change import Change
from tallystick.kit.clock import Clock, utc_now
from tallystick.kit.ids import new_id
from tallystick.lab.bench.workload import approval, create_change, new_instruction, settled_change
from tallystick.record.batch_starts import SECOND_BATCH_PATIENCE_MS, SPACED_FOR
from tallystick.record.journal import FRESH, Journal, JournalLimits
from tallystick.record.postgres.batch import Entry, JournalConnection
from tests.support.loop_clock import LoopClock, settled

SPACING_MS = 10
ENOUGH = 8

LIMITS = JournalLimits(
    connections=2,
    second_batch_changes=ENOUGH,
    spacing_ms=SPACING_MS,
    batch_changes=20,
    batch_rows=4_000,
    batch_bytes=4_194_304,
    queue_limit=1_000,
    commit_timeout_ms=60_000,
)


@cache
def intent() -> Change:
    return create_change(new_instruction(new_id("req")), new_id("pay"))


@cache
def outcome() -> Change:
    return settled_change(intent(), approval("bnc_1", 4999, "EUR", utc_now()))


class Busy:
    """A journal whose writers are played by the test: each takes a batch, and finishes when the test says so."""

    def __init__(self, clock: LoopClock, limits: JournalLimits = LIMITS) -> None:
        async def no_connection() -> JournalConnection:
            raise AssertionError("a test is the writer")

        self.clock = clock
        self.journal = Journal(no_connection, limits, Clock())
        self.starts: list[tuple[float, list[Change]]] = []  # in ms
        self.done: list[asyncio.Event] = []
        self.commits: list[asyncio.Task[object]] = []
        self.writers = [asyncio.create_task(self._write()) for _ in range(limits.connections)]

    async def _write(self) -> None:
        while batch := await self.journal.next_batch():
            self.starts.append((round(self.clock.now_s * 1000, 3), [each.entry.change for each in batch]))
            self.done.append(asyncio.Event())
            await self.done[-1].wait()
            for each in batch:
                each.resolve(FRESH)
            self.journal.batch_done()

    async def at(self, now_ms: float, *changes: Change, done: int | None = None) -> None:
        """Move the clock; then the batch of that number is done, and these changes come."""
        await self.clock.until(now_ms / 1000)
        if done is not None:
            self.done[done].set()
            await settled()
        self.commits += [asyncio.create_task(self.journal.commit(change)) for change in changes]
        await settled()

    @property
    def sizes(self) -> list[tuple[float, int]]:
        """When each batch started, in ms, and how many changes it had."""
        return [(at_ms, len(changes)) for at_ms, changes in self.starts]


@pytest.fixture
async def busy(monkeypatch: pytest.MonkeyPatch) -> Busy:
    return Busy(LoopClock(monkeypatch))


async def test_single_commits_one_after_another_wait_for_nothing(busy: Busy) -> None:
    for number in range(50):
        await busy.at(number * 3, outcome() if number % 2 else intent())
        await busy.at(number * 3 + 2, done=number)
    assert busy.sizes == [(number * 3, 1) for number in range(50)]
    assert busy.clock.all_set == 0


async def test_while_changes_come_together_batches_are_spaced(busy: Busy) -> None:
    await busy.at(0, intent())
    await busy.at(1, intent(), outcome())
    await busy.at(2, done=0)  # the two waited for it
    await busy.at(4, intent(), done=1)
    await busy.at(11.4, outcome())
    assert busy.sizes == [(0, 1), (2, 2)]
    await busy.at(12)
    assert busy.sizes == [(0, 1), (2, 2), (12, 2)]
    assert busy.starts[-1][1] == [outcome(), intent()]


async def test_a_change_alone_does_not_end_the_spacing_at_once(busy: Busy) -> None:
    """At a steady rate some batches have one change by chance."""
    await busy.at(0, intent())
    await busy.at(1, intent(), intent())
    await busy.at(2, done=0)
    await busy.at(4, intent(), done=1)
    await busy.at(12)
    await busy.at(14, intent(), done=2)
    assert busy.sizes == [(0, 1), (2, 2), (12, 1)]
    await busy.at(22)
    assert busy.sizes == [(0, 1), (2, 2), (12, 1), (22, 1)]


async def test_changes_alone_for_a_while_end_the_spacing(busy: Busy) -> None:
    await busy.at(0, intent())
    await busy.at(1, intent(), intent())
    await busy.at(2, done=0)
    await busy.at(3, done=1)
    ends_ms = 2 + SPACED_FOR * SPACING_MS
    for number in range(SPACED_FOR - 1):
        await busy.at(12 + number * SPACING_MS, intent())
        await busy.at(14 + number * SPACING_MS, done=2 + number)
    await busy.at(ends_ms - 1, intent())
    assert busy.sizes[-1] == (ends_ms - SPACING_MS, 1), "it waits"
    await busy.at(ends_ms + 0.1)
    assert busy.sizes[-1] == (ends_ms, 1)
    await busy.at(ends_ms + 2, intent(), done=SPACED_FOR + 1)
    assert busy.sizes[-1] == (ends_ms + 2, 1)


async def test_after_a_rest_the_first_change_waits_for_nothing(busy: Busy) -> None:
    await busy.at(0, intent())
    await busy.at(1, intent(), intent())
    await busy.at(2, done=0)
    await busy.at(4, done=1)
    await busy.at(500, intent())
    assert busy.sizes[-1] == (500, 1)


async def test_enough_changes_start_at_once(busy: Busy) -> None:
    await busy.at(0, intent())
    await busy.at(1, intent(), intent())
    await busy.at(2, done=0)
    await busy.at(4, *[intent()] * (ENOUGH - 1), done=1)
    assert busy.sizes[-1] == (2, 2)
    await busy.at(5, intent())
    assert busy.sizes[-1] == (5, ENOUGH)
    await busy.at(6, *[intent()] * ENOUGH)  # beside that one, which is in flight
    assert busy.sizes[-1] == (6, ENOUGH)


async def test_closing_writes_what_waits_at_once(busy: Busy) -> None:
    await busy.at(0, intent())
    await busy.at(1, intent(), intent())
    await busy.at(2, done=0)
    await busy.at(4, intent(), done=1)
    stopping = asyncio.create_task(busy.journal.stop())
    await settled()
    assert busy.sizes[-1] == (4, 1)
    await busy.at(5, done=2)
    await stopping
    await asyncio.gather(*busy.writers, *busy.commits)


async def test_a_batch_that_is_blocked_holds_up_nothing_that_comes_later(busy: Busy) -> None:
    """Nothing waited when it started, so that its own writer is the only one that has anything to do then."""
    await busy.at(0, intent())
    await busy.at(5, outcome())
    await busy.at(SECOND_BATCH_PATIENCE_MS - 1)
    assert busy.sizes == [(0, 1)]
    await busy.at(SECOND_BATCH_PATIENCE_MS)
    assert busy.sizes == [(0, 1), (SECOND_BATCH_PATIENCE_MS, 1)]


async def test_what_a_batch_has_no_room_for_waits_no_longer_than_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    busy = Busy(LoopClock(monkeypatch), replace(LIMITS, batch_rows=2 * Entry(intent()).rows.count))
    await busy.at(0, intent())
    await busy.at(1, *[intent()] * 5)
    await busy.at(2, done=0)
    await busy.at(2.1 + SECOND_BATCH_PATIENCE_MS)
    assert busy.sizes == [(0, 1), (2, 2), (2 + SECOND_BATCH_PATIENCE_MS, 2)]


@pytest.mark.exhaustive
@pytest.mark.parametrize("seed", range(20))
async def test_no_change_waits_longer_than_the_rule_says(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Changes and ends of batches at random moments: while a writer is free, none waits beyond the spacing after the
    last start, or beyond the patience with a batch in flight; and all are written."""
    chance = random.Random(seed)
    busy, expected = Busy(LoopClock(monkeypatch)), 0
    now_ms = 0.0
    for _ in range(200):
        now_ms += chance.choice((0, 0.3, 1, 4, 30))
        open_batches = [n for n, done in enumerate(busy.done) if not done.is_set()]
        ends = chance.choice(open_batches) if open_batches and chance.random() < 0.5 else None
        changes = [chance.choice((intent, outcome))() for _ in range(chance.choice((0, 0, 1, 1, 2, 12)))]
        await busy.at(now_ms, *changes, done=ends)
        expected += len(changes)
        free = sum(done.is_set() for done in busy.done) + len(busy.writers) - len(busy.done)
        if busy.journal.depth() and free:
            in_flight = len(busy.writers) - free
            longest_ms = SECOND_BATCH_PATIENCE_MS if in_flight else SPACING_MS
            assert busy.starts and now_ms < busy.starts[-1][0] + longest_ms
            assert busy.journal.depth() < ENOUGH
    while any(not done.is_set() for done in busy.done) or busy.journal.depth():
        now_ms += 50
        for done in busy.done:
            done.set()
        await busy.at(now_ms)
    assert sum(size for _, size in busy.sizes) == expected
    await asyncio.gather(*busy.commits)
    for writer in busy.writers:
        writer.cancel()
