"""When a batch may start: at once where work comes alone, spaced while it comes together, and beside another where it
is worth it, or the other is blocked."""

from __future__ import annotations

import random

import pytest

from tallystick.record.batch_starts import SECOND_BATCH_PATIENCE_MS, SPACED_FOR, BatchStarts
from tests.support.loop_clock import LoopClock

SPACING_MS = 10
ENOUGH = 8


class Work:
    """Pieces of work that wait, and a clock that the test moves."""

    def __init__(self, clock: LoopClock) -> None:
        self.clock = clock
        self.pieces = self.woken = 0
        self.starts = BatchStarts(
            lambda: self.pieces > 0, lambda: self.pieces >= ENOUGH, self._wake, spacing_ms=SPACING_MS
        )

    def _wake(self) -> None:
        self.woken += 1

    async def at(self, now_ms: float, pieces: int = 0) -> bool:
        """Whether a batch may start then, once so much more has come."""
        await self.clock.until(now_ms / 1000)
        self.pieces += pieces
        return self.starts.may_start()

    def start(self) -> None:
        """Take everything."""
        self.starts.started(self.pieces)
        self.pieces = 0


@pytest.fixture
async def work(monkeypatch: pytest.MonkeyPatch) -> Work:
    return Work(LoopClock(monkeypatch))


async def test_work_that_comes_alone_waits_for_nothing(work: Work) -> None:
    assert not await work.at(0)
    for number in range(20):
        assert await work.at(number * 3, 1)
        work.start()
        work.starts.ended()
    assert work.clock.all_set == 0


async def test_while_work_comes_together_batches_are_spaced(work: Work) -> None:
    assert await work.at(0, 2)
    work.start()
    work.starts.ended()
    assert not await work.at(3, 1)
    assert not await work.at(9)
    assert await work.at(10) and work.woken == 1
    work.start()
    work.starts.ended()
    assert not await work.at(12, 1), "by chance one came alone"
    assert await work.at(20)
    work.start()
    work.starts.ended()
    assert await work.at(SPACED_FOR * SPACING_MS + 1, 1), "work has come alone for a while"


async def test_beside_a_batch_another_starts_when_it_is_worth_it(work: Work) -> None:
    assert await work.at(0, 1)
    work.start()
    assert not await work.at(1, ENOUGH - 1)
    assert await work.at(2, 1)


async def test_a_batch_that_is_blocked_holds_up_no_other(work: Work) -> None:
    assert await work.at(0, 1)
    work.start()
    assert not await work.at(1, 1)
    assert not await work.at(SECOND_BATCH_PATIENCE_MS - 1)
    assert await work.at(SECOND_BATCH_PATIENCE_MS) and work.woken == 1


async def test_a_batch_that_ends_early_shortens_the_wait(work: Work) -> None:
    assert await work.at(0, 2)
    work.start()
    assert not await work.at(1, 1)  # the other batch may be blocked: a timer for that
    work.starts.ended()
    assert not await work.at(2)
    await work.clock.until(SPACING_MS / 1000)
    assert work.woken == 1 and await work.at(SPACING_MS)


async def test_nobody_is_woken_after_the_end(work: Work) -> None:
    assert await work.at(0, 2)
    work.start()
    assert not await work.at(1, 1)
    work.starts.cancel()
    await work.clock.until(1)
    assert work.woken == 0


@pytest.mark.parametrize("seed", range(20))
async def test_nothing_waits_too_long(work: Work, seed: int) -> None:
    """Whatever comes and ends when: while no batch is in flight, none waits beyond the spacing."""
    rng, now_ms, in_flight, since_ms = random.Random(seed), 0.0, 0, 0.0
    for _ in range(200):
        now_ms += rng.choice((0.2, 1, 3, 8))
        if in_flight and rng.random() < 0.5:
            await work.clock.until(now_ms / 1000)
            work.starts.ended()
            in_flight -= 1
        had_none = not work.pieces
        may = await work.at(now_ms, rng.choice((0, 0, 1, 3)))
        since_ms = now_ms if had_none else since_ms
        if may and in_flight < 2:
            work.start()
            in_flight += 1
        elif work.pieces and not in_flight:
            assert now_ms - since_ms <= SPACING_MS
        elif work.pieces and in_flight == 1:
            assert now_ms - since_ms <= SPACING_MS + SECOND_BATCH_PATIENCE_MS
