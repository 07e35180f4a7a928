"""Readings that are kept: for how long, by whom they are shared, and how much of the time they take at most."""

from __future__ import annotations

import asyncio

import pytest
from msgspec import Struct

from tallystick.kit.clock import Clock
from tallystick.oversight.kept_readings import KEPT_FOR_READING, LONGEST_MS, KeptReadings


class Read(Struct, frozen=True):
    number: int


class World:
    """A clock and a reading of the test. ``takes_ms``: how long one takes."""

    def __init__(self, takes_ms: int = 0) -> None:
        self.now_ms, self.read, self.takes_ms = 0, 0, takes_ms
        clock = Clock()
        clock.monotonic_ms = lambda: self.now_ms  # type: ignore[method-assign]
        self.kept = KeptReadings(clock)
        self.may_end = asyncio.Event()
        self.may_end.set()

    async def reading(self) -> Read:
        self.read += 1
        await self.may_end.wait()
        self.now_ms += self.takes_ms
        return Read(self.read)

    async def get(self, key: object = "a", keep_ms: int = 1_000, longest_ms: int = LONGEST_MS) -> int:
        return (await self.kept.get(key, keep_ms, self.reading, longest_ms=longest_ms)).number


async def test_it_is_read_again_when_it_is_too_old_and_not_before() -> None:
    world = World()
    assert [await world.get(), await world.get("b"), await world.get()] == [1, 2, 1]
    world.now_ms = 999
    assert await world.get() == 1
    world.now_ms = 1_000
    assert await world.get() == 3 and await world.get("b", 2_000) == 2


async def test_whoever_asks_meanwhile_has_the_same_reading() -> None:
    world = World()
    world.may_end.clear()
    asking = [asyncio.create_task(world.get()) for _ in range(5)]
    asyncio.get_running_loop().call_soon(world.may_end.set)  # after all five have asked
    assert await asyncio.gather(*asking) == [1] * 5


async def test_a_reading_that_fails_is_begun_again_by_the_next() -> None:
    world = World()

    async def fails() -> Read:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        await world.kept.get("a", 1_000, fails)
    assert await world.get() == 1


async def test_readings_take_a_hundredth_of_the_time_at_most() -> None:
    world = World(takes_ms=300)
    assert await world.get() == 1
    world.now_ms = 300 * KEPT_FOR_READING - 1
    assert await world.get() == 1 and world.read == 1
    world.now_ms += 1
    assert await world.get() == 2


@pytest.mark.parametrize(("takes_ms", "longest_ms", "kept_ms"), [(5_000, LONGEST_MS, LONGEST_MS), (300, 1, 1_000)])
async def test_and_are_kept_no_longer_than_that(takes_ms: int, longest_ms: int, kept_ms: int) -> None:
    world = World(takes_ms)
    assert await world.get(longest_ms=longest_ms) == 1
    world.now_ms = kept_ms - 1
    assert await world.get(longest_ms=longest_ms) == 1
    world.now_ms = kept_ms
    assert await world.get(longest_ms=longest_ms) == 2
