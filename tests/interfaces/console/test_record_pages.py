"""What the console shows of the record, and what is done from it, over HTTP in this process."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest

from tallystick.interfaces.console.work_list import digest_of
from tests.support.console import InsideConsole, Person, inside_console, token_on
from tests.support.console_pictures import pages_of
from tests.support.console_scene import HOSTILE, Scene, scene
from tests.support.database import Database, NewDatabase
from tests.support.runtime import BookedProvider


class Here(NamedTuple):
    """A console on a filled record."""

    console: InsideConsole
    scene: Scene
    database: Database


@pytest.fixture
async def here(new_database: NewDatabase) -> AsyncIterator[Here]:
    database = new_database()
    found = await scene(database, "shop")
    async with inside_console(database, BookedProvider()) as console:
        yield Here(console, found, database)


async def test_every_page_shows_what_there_is(here: Here) -> None:
    person = here.console.person("operator", "auditor", "admin")
    for name, path in pages_of(here.scene).items():
        answer = await person.see(path)
        assert answer.status_code == 200, (name, answer.text[-2000:])
        assert "onerror=alert" not in answer.text.replace("&lt;img src=x onerror=alert", ""), name
        assert "<script>alert" not in answer.text, name
