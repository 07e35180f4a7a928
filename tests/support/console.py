"""The operators' console in this process, and browsers of people who are signed in."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, NamedTuple, cast

import httpx

from tallystick.access.roles import Role, rights_of
from tallystick.access.viewer import Viewer
from tallystick.interfaces.console.app import SESSION_COOKIE, ConsoleApplication, create_console
from tallystick.interfaces.console.page import Page
from tallystick.interfaces.console.table import PAGES
from tallystick.providers.port import Provider
from tallystick.settings.load import Settings
from tests.support.api import SEALING_KEY, SHORT
from tests.support.database import Database

#: As a browser on this machine knows it. Over https in name alone: the client keeps Secure cookies so.
ORIGIN = "https://localhost"

_TOKEN = re.compile(r'name="form_token" value="([0-9a-f]{64})"')


class Person:
    """Somebody with a browser: a client with cookies of its own."""

    def __init__(self, app: ConsoleApplication) -> None:
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(cast(Any, app)), base_url=ORIGIN)

    async def see(self, path: str, **parameters: Any) -> httpx.Response:
        """GET a page."""
        return await self.http.get(path, params=parameters or None)

    async def send(self, page: str, action: str, **fields: Any) -> httpx.Response:
        """Load ``page``, and send its form that goes to ``action``."""
        shown = await self.see(page)
        return await self.http.post(action, data={"form_token": token_on(shown.text, action), **fields})


def token_on(html: str, action: str) -> str:
    """The token of the form that goes to ``action``."""
    form = html.partition(f'action="{action}"')[2]
    found = _TOKEN.search(form)
    assert found is not None, f"no form for {action} on:\n{html}"
    return found[1]


class InsideConsole(NamedTuple):
    """The application in this process."""

    app: ConsoleApplication

    def stranger(self) -> Person:
        """Somebody who is not signed in."""
        return Person(self.app)

    def person(
        self,
        *roles: Role,
        operator_id: str = "ada",
        merchants: Sequence[str] | None = None,
        raw_evidence: bool = False,
        signed_in_at: datetime | None = None,
    ) -> Person:
        """Somebody who is signed in with these roles."""
        token = f"test-{operator_id}-{len(self.viewers)}"
        self.viewers[token] = Viewer(
            operator_id=operator_id,
            roles=frozenset(roles),
            merchants=None if merchants is None else frozenset(merchants),
            rights=rights_of(roles, raw_evidence=raw_evidence),
            signed_in_at=signed_in_at or datetime.now(UTC),
        )
        someone = Person(self.app)
        someone.http.cookies.set(SESSION_COOKIE, token)
        return someone

    @property
    def viewers(self) -> dict[str, Viewer]:
        """By token."""
        return cast(dict[str, Viewer], self.app.state.viewers)


@asynccontextmanager
async def inside_console(
    database: Database, provider: Provider, *, pages: tuple[Page, ...] = PAGES, **settings: Any
) -> AsyncIterator[InsideConsole]:
    """The console under httpx's ASGI transport, with one provider of ours."""
    chosen = replace(Settings(data_dir="unused", sealing_keys=SEALING_KEY, **SHORT), **settings)
    app = create_console(chosen, database.app_url, providers={"simulator": provider}, pages=pages)
    async with app.lifespan():
        viewers: dict[str, Viewer] = {}
        app.state.viewers = viewers

        async def viewer(token: str) -> Viewer | None:
            return viewers.get(token)

        app.state.console.viewer = viewer
        yield InsideConsole(app)
