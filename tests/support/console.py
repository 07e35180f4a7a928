"""The operators' console in this process, and browsers of people who are signed in."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, NamedTuple, cast

import httpx

from tallystick.access.accounts import OperatorVersion, insert_invitation, insert_version, secret_hash
from tallystick.access.roles import Role, rights_of
from tallystick.access.totp import STEP_S, code_at
from tallystick.access.viewer import Viewer
from tallystick.flows.console_process import ConsoleProcess
from tallystick.interfaces.console.app import SESSION_COOKIE, ConsoleApplication, create_console
from tallystick.interfaces.console.forms import token_for
from tallystick.interfaces.console.page import Page
from tallystick.interfaces.console.table import PAGES
from tallystick.kit.ids import new_id
from tallystick.providers.port import Provider
from tallystick.settings.load import Settings
from tests.support.api import INSIDE, SEALING_KEY
from tests.support.database import Database

#: As a browser on this machine knows it. Over https in name alone: the client keeps Secure cookies so.
ORIGIN = "https://localhost"

#: Of everybody in these tests.
PASSWORD = "correct horse battery staple"

#: Of everybody who has one.
SECOND_FACTOR = b"not a secret: tests!"

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

    async def send_unseen(self, path: str, **fields: Any) -> httpx.Response:
        """A form that no page of theirs has: whoever has a session can make its token."""
        token = token_for(self.http.cookies[SESSION_COOKIE], path)
        return await self.http.post(path, data={"form_token": token, "key": new_id("opa"), "reason": "mine", **fields})


def token_on(html: str, action: str) -> str:
    """The token of the form that goes to ``action``."""
    form = html.partition(f'action="{action}"')[2]
    found = _TOKEN.search(form)
    assert found is not None, f"no form for {action} on:\n{html}"
    return found[1]


def code_now(secret: bytes = SECOND_FACTOR, steps: int = 0) -> str:
    """What an authenticator shows now, or so many steps later. A step is taken once: first sign-ins take the last."""
    return code_at(secret, int(time.time()) // STEP_S + steps)


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

    async def invite(self, *roles: Role, operator_id: str, invitation: str, **granted: Any) -> None:
        """An operator in the record, with a first sign-in."""
        runtime, now = self.process.runtime, self.process.runtime.clock.now()
        version = OperatorVersion(
            operator_id=operator_id,
            version=1,
            state="active",
            roles=roles,
            actor="shell:test@test",
            request_id=None,
            at=now,
            **granted,
        )
        async with runtime.pool.acquire() as connection, connection.transaction():
            await insert_version(connection, version)
            await insert_invitation(connection, operator_id, secret_hash(invitation), now)

    async def signed_in(
        self, *roles: Role, operator_id: str, second_factor: bytes = SECOND_FACTOR, **granted: Any
    ) -> Person:
        """Somebody in the record, who has signed in for the first time."""
        await self.invite(*roles, operator_id=operator_id, invitation=f"invited-{operator_id}", **granted)
        token = await self.process.sessions.first_sign_in(
            operator_id, f"invited-{operator_id}", PASSWORD, second_factor, code_now(second_factor, -1), "192.0.2.1"
        )
        someone = Person(self.app)
        someone.http.cookies.set(SESSION_COOKIE, token)
        return someone

    @property
    def process(self) -> ConsoleProcess:
        """What the console has open."""
        return cast(ConsoleProcess, self.app.state.console.process)

    @property
    def viewers(self) -> dict[str, Viewer]:
        """By token."""
        return cast(dict[str, Viewer], self.app.state.viewers)


@asynccontextmanager
async def inside_console(
    database: Database, provider: Provider, *, pages: tuple[Page, ...] = PAGES, **settings: Any
) -> AsyncIterator[InsideConsole]:
    """The console under httpx's ASGI transport, with one provider of ours."""
    chosen = replace(Settings(data_dir="unused", sealing_keys=SEALING_KEY, **INSIDE), **settings)
    app = create_console(chosen, database.app_url, providers={"simulator": provider}, pages=pages)
    async with app.lifespan():
        viewers: dict[str, Viewer] = {}
        app.state.viewers = viewers

        sessions = app.state.console.process.sessions

        async def viewer(token: str, *, is_use: bool = True) -> Viewer | None:
            return viewers.get(token) or await sessions.viewer(token, is_use=is_use)

        app.state.console.viewer = viewer
        yield InsideConsole(app)
