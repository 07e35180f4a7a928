"""What many ask for at the same time is one call; what is asked for later is another one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from tallystick.flows.asked_together import AskedTogether
from tests.support.polling import eventually_async

pytestmark = pytest.mark.fast


class Answers:
    """Says of each key its length; of an empty one nothing."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.goes_on = asyncio.Event()
        self.goes_on.set()
        self.error: Exception | None = None

    async def called(self) -> int:
        """How many times."""
        return len(self.calls)

    async def __call__(self, keys: Sequence[str]) -> Mapping[str, int]:
        self.calls.append(list(keys))
        await self.goes_on.wait()
        if self.error is not None:
            raise self.error
        return {each: len(each) for each in keys if each}


async def test_what_is_asked_for_at_once_is_one_call() -> None:
    answers = Answers()
    together = AskedTogether(answers)
    assert await asyncio.gather(*(together.ask(each) for each in ("a", "bb", "a", ""))) == [1, 2, 1, None]
    assert answers.calls == [["a", "bb", ""]]
    assert await together.ask("a") == 1
    assert answers.calls == [["a", "bb", ""], ["a"]], "nobody is answered with what was read before"


async def test_what_is_asked_for_while_a_call_is_under_way_is_the_next_call() -> None:
    answers = Answers()
    together = AskedTogether(answers)
    answers.goes_on.clear()
    first = asyncio.create_task(together.ask("a"))
    await eventually_async(answers.called)
    second = asyncio.create_task(together.ask("a"))
    await eventually_async(answers.called, until=lambda times: times == 2)
    answers.goes_on.set()
    assert [await first, await second] == [1, 1]
    assert answers.calls == [["a"], ["a"]]


async def test_a_call_that_fails_fails_for_all_of_it_and_for_nobody_else() -> None:
    answers = Answers()
    together = AskedTogether(answers)
    answers.error = ConnectionResetError()
    done = await asyncio.gather(together.ask("a"), together.ask("b"), return_exceptions=True)
    assert [type(each) for each in done] == [ConnectionResetError] * 2
    answers.error = None
    assert await together.ask("a") == 1


async def test_who_is_ended_ends_no_other_ones_answer() -> None:
    answers = Answers()
    together = AskedTogether(answers)
    answers.goes_on.clear()
    ended, stays = asyncio.create_task(together.ask("a")), asyncio.create_task(together.ask("a"))
    await eventually_async(answers.called)
    ended.cancel()
    answers.goes_on.set()
    assert await stays == 1
    with pytest.raises(asyncio.CancelledError):
        await ended
