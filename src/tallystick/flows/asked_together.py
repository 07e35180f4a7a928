"""What many ask for at the same time is answered by one call.

Whoever asks waits. Everything that is asked for until the event loop comes round is one call, and what is asked for
after it has begun is the next one: nobody is answered with what was read before they asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class AskedTogether(Generic[Key, Value]):
    """Of one event loop. ``answer``: what is known of all these keys; a key that it leaves out has no answer."""

    def __init__(self, answer: Callable[[Sequence[Key]], Awaitable[Mapping[Key, Value]]]) -> None:
        self._answer = answer
        self._waiting: dict[Key, asyncio.Future[Value | None]] = {}
        self._under_way: set[asyncio.Task[None]] = set()

    async def ask(self, key: Key) -> Value | None:
        """The answer, or None where there is none. Raises what ``answer`` raises: then nobody who asked with it has
        one."""
        waiting = self._waiting.get(key)
        if waiting is None:
            waiting = self._waiting[key] = asyncio.get_running_loop().create_future()
            if len(self._waiting) == 1:
                task = asyncio.create_task(self._answer_all())
                self._under_way.add(task)
                task.add_done_callback(self._under_way.discard)
        return await asyncio.shield(waiting)  # who is ended ends no other one's answer

    async def _answer_all(self) -> None:
        asked, self._waiting = self._waiting, {}
        try:
            found = await self._answer(list(asked))
        except Exception as error:
            for waiting in asked.values():
                waiting.set_exception(error)
                waiting.exception()  # it may be that nobody waits any more
        except BaseException:
            for waiting in asked.values():
                waiting.cancel()
            raise
        else:
            for key, waiting in asked.items():
                waiting.set_result(found.get(key))
