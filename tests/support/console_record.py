"""A console on a filled record, and its forms sent as a browser sends them."""

from __future__ import annotations

import html
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, NamedTuple

from tests.support.console import InsideConsole, Person, inside_console, token_on
from tests.support.console_scene import COPIED_FOR, Scene, copied_scene
from tests.support.database import Database, NewDatabase
from tests.support.runtime import BookedProvider


class Here(NamedTuple):
    """A console on a filled record."""

    console: InsideConsole
    scene: Scene
    database: Database


@asynccontextmanager
async def filled(
    new_database: NewDatabase, dead: int = 3, *, copied_for: timedelta = COPIED_FOR, **settings: Any
) -> AsyncIterator[Here]:
    database, found = await copied_scene(new_database, dead, copied_for=copied_for)
    async with inside_console(database, BookedProvider(), **settings) as console:
        yield Here(console, found, database)


async def submit(person: Person, shown: str, action: str, **fields: str) -> Any:
    """Send the form that goes to ``action`` with its hidden fields, some of them changed."""
    form = shown.partition(f'action="{action}"')[2].partition("</form>")[0]
    hidden = re.findall(r'<input type="hidden" name="([a-z_]+)" value="([^"]*)">', form)
    values = {name: html.unescape(value) for name, value in hidden}
    return await person.http.post(action, data={**values, "form_token": token_on(shown, action), **fields})
