"""What an open first page asks of the database, counted statement by statement for a minute, on a clock of the test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

import asyncpg
import pytest

from tallystick.interfaces.console.pages import overview
from tallystick.interfaces.console.pages.overview import RENEWED_MS
from tallystick.interfaces.console.plots import Plot
from tallystick.oversight.overview import Trends
from tests.support.console import Person
from tests.support.console_record import Here, filled
from tests.support.database import NewDatabase

_MINE: ContextVar[list[str] | None] = ContextVar("mine", default=None)

#: How often each is read in a minute, and its statements.
A_MINUTE: Final = {
    "who is signed in": (6, 3),
    "what waits: six lists, what recovery asks, cases, alerts, what is under way": (6, 10),
    "the speed of the processes": (6, 1),
    "the audit: two windows, until when, rates": (2, 4),
    "the books: balances, refunds, disputes, late money": (1, 4),
    "trends: times, samples, rates, marks": (1, 4),
}


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Statements go into the list of ``asking``, those of its own task alone."""
    connection: Any = asyncpg.Connection
    execute = connection._execute

    async def noted(self: Any, query: str, *arguments: Any, **more: Any) -> Any:
        if (mine := _MINE.get()) is not None:
            mine.append(query)
        return await execute(self, query, *arguments, **more)

    monkeypatch.setattr(connection, "_execute", noted)


@contextmanager
def asking() -> Iterator[list[str]]:
    """What is asked within, and nothing of what the process does by itself meanwhile."""
    asked: list[str] = []
    token = _MINE.set(asked)
    try:
        yield asked
    finally:
        _MINE.reset(token)


class Minutes:
    """A console whose clock goes as the test says."""

    def __init__(self, here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
        self._now_ms = 1_000_000
        monkeypatch.setattr(here.console.process.runtime.clock, "monotonic_ms", lambda: self._now_ms)

    async def renewed(self, *viewers: Person) -> int:
        """How many statements a minute of open pages takes, each renewed at its own moment."""
        with asking() as asked:
            for _ in range(60_000 // RENEWED_MS):
                for viewer in viewers:
                    self._now_ms += RENEWED_MS // len(viewers)
                    assert "Waiting for somebody" in (await viewer.see("/console/live")).text
        return len(asked)


async def test_a_minute_of_an_open_page_is_a_hundred_statements(
    new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch, counted: None
) -> None:
    """As many for five who look as for one, but for who they are; and the plots are drawn once."""
    async with filled(new_database) as here:
        drawn: list[Trends] = []
        draw = overview.plots_of

        def noted(trends: Trends) -> list[Plot]:
            drawn.append(trends)
            return draw(trends)

        monkeypatch.setattr(overview, "plots_of", noted)
        ada = await here.console.signed_in("operator", operator_id="ada")
        minutes = Minutes(here, monkeypatch)
        expected = sum(times * statements for times, statements in A_MINUTE.values())
        assert (await minutes.renewed(ada), expected, len(drawn)) == (100, 100, 1)
        five = [here.console.person("viewer", operator_id=f"v{number}") for number in range(5)]
        signed_in = 6 * 3
        assert await minutes.renewed(*five) == expected - signed_in and len(drawn) == 2


async def test_whoever_loads_the_page_sees_what_was_done_just_now(
    new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An open page may be ten seconds behind; one that is loaded is not."""
    async with filled(new_database) as here:
        person, now_ms = here.console.person("operator"), [1_000_000]
        monkeypatch.setattr(here.console.process.runtime.clock, "monotonic_ms", lambda: now_ms[0])
        assert 'aria-label="Dead letters: 3"' in (await person.see("/console")).text
        here_is = here.scene.event_ids[0]
        await here.console.process.runtime.stores.dead_letters.discard(here_is, actor="test", reason="noise")
        now_ms[0] += 3_000
        assert 'aria-label="Dead letters: 3"' in (await person.see("/console/live")).text
        assert 'aria-label="Dead letters: 2"' in (await person.see("/console")).text
        assert 'aria-label="Dead letters: 2"' in (await person.see("/console/live")).text
