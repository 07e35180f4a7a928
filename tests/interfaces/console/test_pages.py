"""Every page of the console: who may see it, what its answers carry, and that nothing else is served."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from tallystick.access.roles import RIGHTS_OF, ROLES, Role
from tallystick.interfaces.console.forms import token_for
from tallystick.interfaces.console.page import Page, PageRequest, Redirect
from tallystick.interfaces.console.security import HEADERS
from tallystick.interfaces.console.table import PAGES
from tests.support.console import ORIGIN, InsideConsole, inside_console, token_on
from tests.support.database import Database
from tests.support.runtime import BookedProvider

#: Pages for everybody. Whoever adds one says why.
OPEN = {
    "healthz": "supervisors have no session",
    "readyz": "supervisors have no session",
    "static": "our own files, the same for everybody",
    "start": "leads to the first page",
    "sign_in": "how one gets a session",
    "signing_in": "how one gets a session",
    "first_sign_in": "how one gets a password",
    "signing_in_first": "how one gets a password",
    "sign_out": "the form's token is the session's",
}


async def _done(_: PageRequest) -> Redirect:
    return Redirect("/console")


ACT = Page(name="act", path="/console/act", handle=_done, right="act", title="Act", method="POST")
FRESH = Page(name="pay", path="/console/pay", handle=_done, right="money", title="Pay", method="POST", fresh=True)


def _opened(database: Database) -> AbstractAsyncContextManager[InsideConsole]:
    return inside_console(database, BookedProvider(), pages=(*PAGES, ACT, FRESH))


def _address(page: Page) -> str:
    """The address of a page, with something in each part that varies."""
    parts = [part if not part.startswith("{") else "anything" for part in page.path.split("/")]
    return "/".join(parts) or "/"


def test_only_named_pages_are_for_everybody() -> None:
    assert {page.name for page in PAGES if page.right is None} == OPEN.keys()


def test_names_and_addresses_are_given_once() -> None:
    assert len({page.name for page in PAGES}) == len(PAGES)
    assert len({(page.method, page.path) for page in PAGES}) == len(PAGES)


async def test_nothing_is_served_that_the_table_lacks(database: Database) -> None:
    async with _opened(database) as console:
        served = {(route.path, method) for route in console.app.routes for method in getattr(route, "methods", ())}
        wanted = {(page.path, page.method) for page in (*PAGES, ACT, FRESH)}
        assert {(path.rstrip("/") or "/", method) for path, method in served if method != "OPTIONS"} == wanted


@pytest.mark.parametrize("role", ROLES)
async def test_each_page_is_refused_to_roles_without_its_right(database: Database, role: Role) -> None:
    async with _opened(database) as console:
        person = console.person(role)
        stranger = console.stranger()
        for page in (*PAGES, ACT):
            if page.right is None:
                continue
            asked = await person.http.request(page.method, _address(page))
            if page.right in RIGHTS_OF[role]:
                assert asked.status_code != 403, page.name
            else:
                assert asked.status_code == 403, page.name
                assert page.right in asked.text
            unknown = await stranger.http.request(page.method, _address(page))
            assert unknown.status_code == (303 if page.method == "GET" else 401), page.name


async def test_every_answer_has_the_headers(database: Database) -> None:
    async with _opened(database) as console:
        person = console.person("viewer")
        for path in ("/", "/console", "/console/sign-in", "/console/none", "/healthz", "/console/act"):
            answer = await person.see(path)
            for name, value in HEADERS:
                assert answer.headers[name.decode()] == value.decode(), path
            assert answer.headers["cache-control"] == "no-store"
        policy = answer.headers["content-security-policy"]
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy


async def test_other_names_are_refused(database: Database) -> None:
    async with _opened(database) as console:
        person = console.person("viewer")
        for host in ("evil.example", "localhost.evil.example", "", "127.0.0.2"):
            answer = await person.http.get("/console", headers={"Host": host})
            assert answer.status_code == 421, host
        for host in ("localhost:8402", "127.0.0.1", "[::1]:8402", "LOCALHOST"):
            assert (await person.http.get("/console", headers={"Host": host})).status_code == 200, host


async def test_a_form_needs_its_token(database: Database) -> None:
    async with _opened(database) as console:
        person, other = console.person("operator"), console.person("operator", operator_id="eve")
        shown = await person.see("/console")
        stolen = await other.see("/console")
        out = token_on(shown.text, "/console/sign-out")
        theirs = token_on(stolen.text, "/console/sign-out")
        assert out != theirs
        for fields in ({}, {"form_token": out}, {"form_token": theirs}, {"form_token": "x"}):
            assert (await person.http.post("/console/act", data=fields)).status_code == 400, fields
        token = token_for(person.http.cookies["__Host-tallystick"], "/console/act")
        for headers in ({"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
            answer = await person.http.post("/console/act", data={"form_token": token}, headers=headers)
            assert answer.status_code == 400, headers
        own = {"Origin": ORIGIN, "Sec-Fetch-Site": "same-origin"}
        assert (await person.http.post("/console/act", data={"form_token": token}, headers=own)).status_code == 303


async def test_behind_a_proxy_nobody_else_is_taken_and_its_word_is_the_address(database: Database) -> None:
    settings: dict[str, Any] = {"console_proxies": "10.0.0.1", "console_allowed_hosts": "console.example"}
    async with inside_console(database, BookedProvider(), **settings) as console:
        policy = console.app.state.console.policy
        own = (b"host", b"console.example")
        scope = {"headers": [own, (b"x-forwarded-for", b"6.6.6.6, 203.0.113.9")], "client": ("10.0.0.1", 1)}
        assert policy.refusal(scope) is None
        assert policy.address(scope) == "203.0.113.9", "what a client claims stands before what the proxy saw"
        assert policy.refusal({**scope, "client": ("203.0.113.9", 1)})[0] == 403
        assert policy.refusal({**scope, "headers": [own, own]})[0] == 421
    async with inside_console(database, BookedProvider()) as console:
        policy = console.app.state.console.policy
        scope = {"headers": [(b"x-forwarded-for", b"6.6.6.6")], "client": ("203.0.113.9", 1)}
        assert policy.address(scope) == "203.0.113.9", "nobody's word without a proxy"
