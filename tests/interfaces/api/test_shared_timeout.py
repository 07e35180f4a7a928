"""One timer for the time-outs of many tasks: each of them as asyncio.timeout would have it."""

from __future__ import annotations

import asyncio

import pytest

from tallystick.interfaces.api.shared_timeout import SharedTimeout
from tests.support.loop_clock import LoopClock
from tests.support.polling import one_turn

TIMEOUT_MS = 1_000


@pytest.fixture
async def clock(monkeypatch: pytest.MonkeyPatch) -> LoopClock:
    return LoopClock(monkeypatch)


async def waits(timeout: SharedTimeout, gate: asyncio.Event) -> str:
    try:
        with timeout.started():
            await gate.wait()
    except TimeoutError:
        return "timed out"
    return "done"


async def test_each_has_its_own_time(clock: LoopClock) -> None:
    timeout, gate = SharedTimeout(TIMEOUT_MS), asyncio.Event()
    tasks = []
    for start_s in (0.0, 0.4, 0.8):
        await clock.until(start_s)
        tasks.append(asyncio.create_task(waits(timeout, gate)))
        await one_turn()
    ended = []
    for now_s in (0.99, 1.0, 1.39, 1.4, 1.79):
        await clock.until(now_s)
        ended.append([task.done() for task in tasks].count(True))
    assert ended == [0, 1, 1, 2, 2]
    gate.set()
    assert await asyncio.gather(*tasks) == ["timed out", "timed out", "done"]


async def test_one_timer_serves_them_all_and_none_is_left(clock: LoopClock) -> None:
    timeout, open_gate = SharedTimeout(TIMEOUT_MS), asyncio.Event()
    open_gate.set()
    for number in range(100):
        await clock.until(number / 1000)
        assert await waits(timeout, open_gate) == "done"
    assert clock.all_set == 1
    await clock.until(5)
    assert (clock.all_set, clock.timers) == (1, [])


async def test_the_next_one_gets_a_timer_after_the_last_has_ended(clock: LoopClock) -> None:
    timeout, gate = SharedTimeout(TIMEOUT_MS), asyncio.Event()
    for start_s in (0.0, 7.0):
        await clock.until(start_s)
        task = asyncio.create_task(waits(timeout, gate))
        await one_turn()
        await clock.until(start_s + 1)
        assert await task == "timed out"


async def test_a_cancellation_from_elsewhere_is_no_time_out(clock: LoopClock) -> None:
    timeout, gate = SharedTimeout(TIMEOUT_MS), asyncio.Event()
    alone, together = (asyncio.create_task(waits(timeout, gate)) for _ in range(2))
    await one_turn()
    alone.cancel()
    await one_turn()
    assert alone.cancelled()
    clock.end_next()  # the time is over, and in the same turn of the loop
    together.cancel()
    with pytest.raises(asyncio.CancelledError):
        await together


async def test_what_fails_by_itself_fails_as_it_did(clock: LoopClock) -> None:
    timeout = SharedTimeout(TIMEOUT_MS)
    with pytest.raises(KeyError), timeout.started():
        raise KeyError
    await clock.until(2)
    await one_turn()  # where the time-out of what is over would cancel this test
