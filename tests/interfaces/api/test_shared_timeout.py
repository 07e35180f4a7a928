"""One timer for the time-outs of many tasks: each of them as asyncio.timeout would have it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tallystick.interfaces.api.shared_timeout import SharedTimeout
from tests.support.polling import one_turn

TIMEOUT_MS = 1_000


class Timers:
    """Of a loop: its clock moves, and its timers end, when a test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 0.0
        self.set: list[tuple[float, Any]] = []
        self.all_set = 0
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(loop, "time", lambda: self.now_s)
        monkeypatch.setattr(loop, "call_at", self._call_at)

    def _call_at(self, when: float, callback: Any, *arguments: Any) -> object:
        self.set.append((when, lambda: callback(*arguments)))
        self.all_set += 1
        return self.set[-1]

    async def until(self, now_s: float) -> None:
        """Let what is due until then happen, in its order."""
        while due := [each for each in self.set if each[0] <= now_s]:
            self.set.remove(due[0])
            self.now_s = due[0][0]
            due[0][1]()
            await one_turn()
        self.now_s = now_s


@pytest.fixture
async def timers(monkeypatch: pytest.MonkeyPatch) -> Timers:
    return Timers(monkeypatch)


async def waits(timeout: SharedTimeout, gate: asyncio.Event) -> str:
    try:
        with timeout.started():
            await gate.wait()
    except TimeoutError:
        return "timed out"
    return "done"


async def test_each_has_its_own_time(timers: Timers) -> None:
    timeout, gate = SharedTimeout(TIMEOUT_MS), asyncio.Event()
    tasks = []
    for start_s in (0.0, 0.4, 0.8):
        await timers.until(start_s)
        tasks.append(asyncio.create_task(waits(timeout, gate)))
        await one_turn()
    ended = []
    for now_s in (0.99, 1.0, 1.39, 1.4, 1.79):
        await timers.until(now_s)
        ended.append([task.done() for task in tasks].count(True))
    assert ended == [0, 1, 1, 2, 2]
    gate.set()
    assert await asyncio.gather(*tasks) == ["timed out", "timed out", "done"]


async def test_one_timer_serves_them_all_and_none_is_left(timers: Timers) -> None:
    timeout, open_gate = SharedTimeout(TIMEOUT_MS), asyncio.Event()
    open_gate.set()
    for number in range(100):
        await timers.until(number / 1000)
        assert await waits(timeout, open_gate) == "done"
    assert timers.all_set == 1
    await timers.until(5)
    assert (timers.all_set, timers.set) == (1, [])


async def test_the_next_one_gets_a_timer_after_the_last_has_ended(timers: Timers) -> None:
    timeout, gate = SharedTimeout(TIMEOUT_MS), asyncio.Event()
    for start_s in (0.0, 7.0):
        await timers.until(start_s)
        task = asyncio.create_task(waits(timeout, gate))
        await one_turn()
        await timers.until(start_s + 1)
        assert await task == "timed out"


async def test_a_cancellation_from_elsewhere_is_no_time_out(timers: Timers) -> None:
    timeout, gate = SharedTimeout(TIMEOUT_MS), asyncio.Event()
    alone, together = (asyncio.create_task(waits(timeout, gate)) for _ in range(2))
    await one_turn()
    alone.cancel()
    await one_turn()
    assert alone.cancelled()
    timers.now_s = timers.set[0][0]
    timers.set.pop()[1]()  # the time is over, and in the same turn of the loop
    together.cancel()
    with pytest.raises(asyncio.CancelledError):
        await together


async def test_what_fails_by_itself_fails_as_it_did(timers: Timers) -> None:
    timeout = SharedTimeout(TIMEOUT_MS)
    with pytest.raises(KeyError), timeout.started():
        raise KeyError
    await timers.until(2)
    await one_turn()  # where the time-out of what is over would cancel this test
