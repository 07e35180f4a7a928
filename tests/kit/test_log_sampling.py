"""Sampled lines: few, and nothing uncounted."""

from __future__ import annotations

import asyncio

from tallystick.kit.log_sampling import SampledLines, Say
from tests.support.polling import eventually_async

#: Longer than any test takes.
LONG_S = 3_600


async def test_the_first_is_said_and_the_rest_of_a_flood_counted() -> None:
    lines, said = SampledLines(LONG_S), list[tuple[str, int]]()

    def sayer(name: str) -> Say:
        return lambda since_last_line: said.append((name, since_last_line))

    for number in range(1_000):
        lines.line("a", sayer(f"a{number}"))
    lines.line("b", sayer("b"))
    assert said == [("a0", 1), ("b", 1)]
    lines.flush()
    assert said == [("a0", 1), ("b", 1), ("a999", 999)]
    lines.flush()
    assert len(said) == 3


async def test_the_end_of_a_flood_is_written_without_another_line() -> None:
    lines, said = SampledLines(0.01), list[int]()
    for _ in range(50):
        lines.line("a", said.append)
    await eventually_async(lambda: sum(said) >= 50)
    assert said[0] == 1 and sum(said) == 50


def test_an_event_loop_that_is_gone_silences_nothing() -> None:
    lines, said = SampledLines(0.001), list[int]()

    async def one() -> None:
        lines.line("a", said.append)

    for _ in range(3):
        asyncio.run(one())
        asyncio.run(asyncio.sleep(0.01))  # longer than the bound on its rate
    assert sum(said) == 3
