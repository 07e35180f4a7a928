"""Questions to many merchants: a few at a time, and in order whatever is answered first."""

from __future__ import annotations

import asyncio

import pytest

from tallystick.cli.reading import ASKED_AT_ONCE, of_each
from tests.support.polling import one_turn

NAMES = [f"m{number}" for number in range(3 * ASKED_AT_ONCE)]


async def test_a_few_are_asked_at_a_time_and_the_order_is_theirs() -> None:
    under_way, most = 0, 0

    async def ask(name: str) -> str:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        for _ in range(1 if int(name[1:]) % 2 else 5):  # the second one is answered first
            await one_turn()
        under_way -= 1
        return name.upper()

    assert await of_each(NAMES, ask) == [name.upper() for name in NAMES]
    assert most == ASKED_AT_ONCE
    assert await of_each([], ask) == []


async def test_the_first_failure_ends_all_questions() -> None:
    ended: list[str] = []

    async def ask(name: str) -> None:
        if name == NAMES[1]:
            raise LookupError(name)
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(name)

    with pytest.raises(LookupError, match=NAMES[1]):
        await of_each(NAMES, ask)
    assert set(ended) == set(NAMES[:ASKED_AT_ONCE]) - {NAMES[1]}, "none goes on, and no other one is asked"
