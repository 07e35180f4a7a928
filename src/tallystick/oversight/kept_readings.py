"""Readings that are kept for a while and shared by whoever asks: one at a time, and a hundredth of the time at most."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar, cast

from msgspec import Struct

from tallystick.kit.clock import Clock

Block = TypeVar("Block", bound=Struct)

#: A reading is kept for so many times as long as it took: where the database is slow, readings take a hundredth of the
#: time, however many look.
KEPT_FOR_READING: Final = 100

#: And for no longer than that, in ms; what nobody asked for since is forgotten.
LONGEST_MS: Final = 60_000


class _Kept(Struct, frozen=True, kw_only=True):
    """A reading: when it began, and for how long it is worth keeping because of how long it took, in ms."""

    began_ms: int
    worth_ms: int
    block: Struct


class KeptReadings:
    """The readings of one process, by what they are of."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: dict[Any, _Kept] = {}
        self._under_way: dict[Any, asyncio.Lock] = {}

    async def get(
        self, key: object, keep_ms: int, read: Callable[[], Awaitable[Block]], *, longest_ms: int = LONGEST_MS
    ) -> Block:
        """The kept one, if it is younger than ``keep_ms``, or than it is worth up to ``longest_ms``; or else a new one.
        Whoever asks while it is read waits for it, and has it too. Raises what ``read`` raises."""
        async with self._under_way.setdefault(key, asyncio.Lock()):
            now_ms = self._clock.monotonic_ms()
            kept = self._kept.get(key)
            if kept is not None and now_ms - kept.began_ms < max(keep_ms, min(kept.worth_ms, longest_ms)):
                return cast(Block, kept.block)
            block = await read()
            took_ms = self._clock.monotonic_ms() - now_ms
            self._forget(now_ms)
            self._kept[key] = _Kept(began_ms=now_ms, worth_ms=KEPT_FOR_READING * took_ms, block=block)
            return block

    def _forget(self, now_ms: int) -> None:
        self._kept = {each: held for each, held in self._kept.items() if now_ms - held.began_ms < LONGEST_MS}
        self._under_way = {each: lock for each, lock in self._under_way.items() if each in self._kept or lock.locked()}
