"""Rounds: one after another, a pause where there was little to do, quiet failures, a prompt end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from structlog.testing import capture_logs

from tallystick.kit.rounds import Rounds, run_rounds
from tests.support.polling import one_turn

#: Longer than any test takes: a pause that is waited for fails the test.
NEVER_MS = 3_600_000

PATIENCE_S = 30


class Work:
    """Counts its rounds. ``does`` says how much each did, or raises."""

    def __init__(self, does: Callable[[int], int | None], *, interval_ms: int = NEVER_MS, **options: Any) -> None:
        self._does = does
        self.count = 0
        self.begun = asyncio.Condition()
        self.rounds = Rounds("test", interval_ms, self._round, **options)

    async def _round(self) -> int | None:
        async with self.begun:
            self.count += 1
            self.begun.notify_all()
        return self._does(self.count)

    async def until(self, count: int) -> None:
        """Until so many rounds have begun."""
        async with asyncio.timeout(PATIENCE_S), self.begun:
            await self.begun.wait_for(lambda: self.count >= count)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.Event]:
        """Rounds go on until the end, which must come without waiting."""
        stop = asyncio.Event()
        running = asyncio.create_task(self.rounds.run(stop))
        yield stop
        stop.set()
        async with asyncio.timeout(PATIENCE_S):
            await running


async def pausing() -> None:
    """Once everything that is ready has run: what comes next is waited for."""
    for _ in range(20):
        await one_turn()


async def test_rounds_follow_at_once_while_there_is_work_and_pause_after() -> None:
    work = Work(lambda count: 1 if count < 5 else 0)
    async with work.running():
        await work.until(5)
        await pausing()
        assert work.count == 5


async def test_a_round_that_says_nothing_did_nothing() -> None:
    work = Work(lambda _: None)
    async with work.running():
        await work.until(1)
        await pausing()
        assert work.count == 1


async def test_a_round_that_is_not_full_pauses() -> None:
    """Where a look is dear, only a full batch means that there is more."""
    work = Work(lambda count: 10 if count < 3 else 9, full_round=10)
    async with work.running():
        await work.until(3)
        await pausing()
        assert work.count == 3


async def test_a_pause_ends_with_the_interval() -> None:
    work = Work(lambda _: 0, interval_ms=1)
    async with work.running():
        await work.until(3)


async def test_a_wake_ends_the_pause() -> None:
    wake = asyncio.Event()
    work = Work(lambda _: 0, wake=wake)
    async with work.running():
        await work.until(1)
        await pausing()
        wake.set()
        await work.until(2)


async def test_a_wake_during_a_round_is_not_lost() -> None:
    """What it announces may have come after the round had looked."""
    wake = asyncio.Event()

    def does(count: int) -> int:
        if count == 1:
            wake.set()
        return 0

    work = Work(does, wake=wake)
    async with work.running():
        await work.until(2)
        await pausing()
        assert work.count == 2, "and it counts once"


async def test_the_round_under_way_ends_first_and_then_what_it_started() -> None:
    order, gate, entered = list[str](), asyncio.Event(), asyncio.Event()

    async def slow() -> int:
        entered.set()
        await gate.wait()
        order.append("round")
        return 1

    async def finish() -> None:
        order.append("finish")

    stop = asyncio.Event()
    running = asyncio.create_task(Rounds("slow", NEVER_MS, slow, finish=finish).run(stop))
    await entered.wait()
    stop.set()
    await pausing()
    assert order == [] and not running.done()
    gate.set()
    async with asyncio.timeout(PATIENCE_S):
        await running
    assert order == ["round", "finish"], "and no other round"


async def test_nothing_runs_once_it_is_stopped() -> None:
    work, stop = Work(lambda _: 1), asyncio.Event()
    stop.set()
    await work.rounds.run(stop)
    assert work.count == 0


async def test_failures_are_counted_in_few_lines_and_rounds_go_on() -> None:
    def does(count: int) -> int:
        if count <= 50:
            raise ConnectionRefusedError("the database is away")
        return 0

    work = Work(does, interval_ms=0, sample_every_s=NEVER_MS)
    with capture_logs() as logged:
        async with work.running():
            await work.until(51)
    assert [line["since_last_line"] for line in logged] == [1, 49], (
        "the first at once, the rest at the end at the latest"
    )
    assert {(line["event"], line["work"], line["log_level"]) for line in logged} == {("round failed", "test", "error")}
    assert "the database is away" in logged[0]["error"]


async def test_another_failure_has_a_line_of_its_own() -> None:
    def does(count: int) -> int:
        if count <= 20:
            raise OSError if count % 2 else LookupError
        return 0

    work = Work(does, interval_ms=0, sample_every_s=NEVER_MS)
    with capture_logs() as logged:
        async with work.running():
            await work.until(21)
    assert sorted((line["error"], line["since_last_line"]) for line in logged) == [
        ("LookupError()", 1),
        ("LookupError()", 9),
        ("OSError()", 1),
        ("OSError()", 9),
    ]


async def test_a_failing_round_pauses_too() -> None:
    def does(_: int) -> int:
        raise OSError

    work = Work(does)
    async with work.running():
        await work.until(1)
        await pausing()
        assert work.count == 1


async def test_pauses_of_a_failing_round_grow_to_a_limit_and_begin_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float | None] = []
    real = asyncio.timeout

    def timeout(delay: float | None) -> asyncio.Timeout:
        asked.append(delay)
        return real(0)  # a pause takes no time here

    def does(count: int) -> int:
        if count <= 12:
            raise ConnectionRefusedError
        return 0

    work = Work(does, interval_ms=100)
    stop = asyncio.Event()
    async with work.begun:
        monkeypatch.setattr("tallystick.kit.rounds.asyncio.timeout", timeout)
        running = asyncio.create_task(work.rounds.run(stop))
        await work.begun.wait_for(lambda: work.count >= 14)
        monkeypatch.undo()
    stop.set()
    await running
    assert asked[:13] == [0.2, 0.4, 0.8, 1.6, *[2.0] * 8, 0.1]


async def test_what_a_watch_says_is_not_said_again() -> None:
    class Watch:
        def __init__(self) -> None:
            self.seen: list[str] = []

        def failed(self, part: str, error: Exception) -> bool:
            self.seen.append(f"{part} {type(error).__name__}")
            return isinstance(error, OSError)

        def worked(self, part: str) -> None:
            self.seen.append(f"{part} worked")

    def does(count: int) -> int:
        if count == 1:
            raise ConnectionRefusedError
        if count == 2:
            raise LookupError
        return 0

    watch = Watch()
    work = Work(does, interval_ms=0, watch=watch)
    with capture_logs() as logged:
        async with work.running():
            await work.until(3)
            await pausing()
    assert watch.seen[:3] == ["test ConnectionRefusedError", "test LookupError", "test worked"]
    assert [line["error"] for line in logged] == ["LookupError()"]


async def test_different_work_does_not_wait_for_each_other() -> None:
    """One hangs in its round, one fails, one pauses for long; the fourth goes on, and all end."""
    gate = asyncio.Event()

    async def hangs() -> None:
        await gate.wait()

    def fails(_: int) -> int:
        raise OSError

    others = [Rounds("hangs", 0, hangs), Work(fails).rounds, Work(lambda _: 0).rounds]
    work, stop = Work(lambda _: 0, interval_ms=1), asyncio.Event()
    running = asyncio.create_task(run_rounds([*others, work.rounds], stop))
    await work.until(5)
    stop.set()
    gate.set()
    async with asyncio.timeout(PATIENCE_S):
        await running
