"""Who waits for a connection, and who gets the next one."""

from __future__ import annotations

import asyncio

from tallystick.providers.fair_slots import FairSlots
from tests.support.polling import one_turn


class _Caller:
    """One that holds a slot until it is told to go."""

    def __init__(self, slots: FairSlots, merchant: str) -> None:
        self.merchant, self.has_it, self._go = merchant, False, asyncio.Event()
        self.task = asyncio.create_task(self._hold(slots))

    async def _hold(self, slots: FairSlots) -> None:
        async with slots.slot(self.merchant):
            self.has_it = True
            await self._go.wait()

    async def ends(self) -> None:
        self._go.set()
        await self.task
        await one_turn()


async def _callers(slots: FairSlots, merchants: str) -> list[_Caller]:
    made = [_Caller(slots, merchant) for merchant in merchants]
    await one_turn()
    return made


def _have_it(callers: list[_Caller]) -> list[bool]:
    return [each.has_it for each in callers]


async def test_the_next_slot_goes_to_who_holds_the_fewest_and_then_to_who_waits_longest() -> None:
    slots = FairSlots(4)
    first = await _callers(slots, "aaabbc")
    assert _have_it(first) == [True, True, True, True, False, False]  # b waits with one, c with none
    await first[0].ends()
    assert _have_it(first)[4:] == [False, True], "c, which came later"
    await first[1].ends()
    assert not first[4].has_it, "the last free one is for who holds none"
    late = await _callers(slots, "de")
    assert _have_it(late) == [True, False]
    await first[2].ends()
    assert _have_it(late) == [True, True]
    await first[3].ends()
    assert first[4].has_it
    for each in (first[4], first[5], *late):
        await each.ends()
    assert slots._shares.free == 4 and not slots._waiting


async def test_who_stops_waiting_leaves_no_trace() -> None:
    slots = FairSlots(1)
    async with slots.slot("a"):
        gone, given, waits = await _callers(slots, "bcd")
        gone.task.cancel()
        await asyncio.gather(gone.task, return_exceptions=True)
    given.task.cancel()  # it has been given the slot, and has not come to know it
    await asyncio.gather(given.task, return_exceptions=True)
    assert not given.has_it
    await one_turn()
    assert waits.has_it
    await waits.ends()
    assert slots._shares.free == 1 and not slots._waiting


async def test_a_merchant_s_own_callers_come_one_after_another() -> None:
    slots = FairSlots(1)
    callers = await _callers(slots, "aaa")
    for number, each in enumerate(callers):
        assert _have_it(callers).count(True) == number + 1 and each.has_it
        await each.ends()


async def test_a_slot_is_never_given_to_one_who_has_just_given_up() -> None:
    """Its caller was canceled in the same turn of the loop, and has not run since."""
    slots = FairSlots(1)
    async with slots.slot("a"):
        gone, waits = await _callers(slots, "bc")
        gone.task.cancel()
    await asyncio.gather(gone.task, return_exceptions=True)
    await one_turn()
    assert waits.has_it
    await waits.ends()
    assert slots._shares.free == 1 and not slots._waiting
