"""Safety as a real browser has it: two people for late money, refusals, stolen cookies, foreign forms and frames, and
markup where people write."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final, NamedTuple

import pytest
import pytest_asyncio
from playwright.async_api import Browser, ConsoleMessage, expect

from tallystick.access.accounts import Granted, reset_credential, secret_hash
from tallystick.access.roles import Role
from tallystick.flows.compliance import four_eyes
from tallystick.flows.operations import operators
from tallystick.interfaces.console.app import SESSION_COOKIE
from tallystick.interfaces.console.work_list import digest_of
from tests.support.browser import PATIENCE_MS, Desk, launched, over_http, shared
from tests.support.console import InsideConsole, inside_console
from tests.support.console_scene import HOSTILE, Scene, copied_scene
from tests.support.database import DEEP, NewDatabase
from tests.support.ports import free_port
from tests.support.runtime import BookedProvider

#: Several people a test, each in a browser of their own, on a machine that others use too.
pytestmark = [pytest.mark.timeout(900), pytest.mark.asyncio(loop_scope="module")]

Launch = Callable[[], AbstractAsyncContextManager[Browser]]

#: What a browser says of a page that was refused: an answer of 4xx is a line in its console. It is no error of a page.
_REFUSED = "Failed to load resource: the server responded with a status of 4"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Launch]:
    """Lends the one of all tests here. A fixture, so that the test is known to need it."""
    async with launched() as started:
        yield lambda: shared(started)


class Office(NamedTuple):
    """A console behind a real server, and one browser for everybody, with a profile each."""

    console: InsideConsole
    origin: str
    browser: Browser
    scene: Scene
    desks: list[Desk]

    async def seat(self, *roles: Role, operator_id: str, **granted: Any) -> Desk:
        """Somebody of the record, who has signed in: the session is the record's own."""
        person = await self.console.signed_in(*roles, operator_id=operator_id, **granted)
        return await self.with_cookie(person.http.cookies[SESSION_COOKIE])

    async def with_cookie(self, token: str) -> Desk:
        """A browser that has this cookie, whoever put it there."""
        context = await self.browser.new_context(viewport={"width": 1440, "height": 900})
        where = self.origin.replace("http:", "https:")
        cookie: Any = {"name": SESSION_COOKIE, "value": token, "url": where, "secure": True}
        cookie |= {"httpOnly": True, "sameSite": "Strict"}
        await context.add_cookies([cookie])
        made = Desk(context, await context.new_page(), self.origin)
        self.desks.append(made)
        return made


@asynccontextmanager
async def office(new_database: NewDatabase, browser: Launch, **settings: Any) -> AsyncIterator[Office]:
    """No page of it says anything in its console, breaks the policy, or lets a foreign script speak."""
    database, found = await copied_scene(new_database)
    async with (
        inside_console(database, BookedProvider(), **settings) as console,
        over_http(console) as origin,
        browser() as started,
    ):
        for name in ("first", "second"):
            granted = Granted(roles=["auditor"])
            await operators.add(console.process.runtime, name, granted, actor="shell:root@host", reason="begin")
        made = Office(console, origin, started, found, [])
        yield made
        for each in made.desks:
            assert [said for said in each.complaints if _REFUSED not in said] == []


async def cookie_of(desk: Desk) -> str:
    return next(str(each.get("value")) for each in await desk.context.cookies() if each.get("name") == SESSION_COOKIE)


async def test_late_money_is_settled_by_two_people(new_database: NewDatabase, browser: Launch) -> None:
    async with office(new_database, browser, second_person_above="EUR=1000") as here:
        ada = await here.seat("operator", operator_id="ada")
        bob = await here.seat("operator", operator_id="bob")
        await ada.go(f"/console/late-money/rows/{here.scene.late}")
        await ada.page.locator("summary", has_text="Give to the merchant").click()
        await ada.page.locator("#accept-reason").fill(HOSTILE)
        await ada.press("Give to the merchant")
        await expect(ada.page.get_by_text("1 asked for")).to_be_visible(timeout=PATIENCE_MS)
        [request] = await four_eyes.waiting(here.console.process.runtime)
        page = f"/console/approvals/{request.request.request_id}"
        await ada.go(page)
        assert "somebody else decides" in await ada.text()
        assert await ada.page.get_by_role("button", name="Approve").count() == 0
        assert here.scene.late in await _late(here), "nothing has moved"
        await bob.go("/console/approvals")
        assert HOSTILE in await bob.text(), "as letters"
        await bob.page.get_by_role("link", name=f"late_money.accept {here.scene.late}").click()
        await bob.page.wait_for_url(f"**{page}")
        assert "3300" in await bob.text()
        await bob.page.locator("#reason").fill("asked the payer")
        await bob.press("Approve")
        await expect(bob.page.get_by_text("It has ended: approved")).to_be_visible(timeout=PATIENCE_MS)
        assert here.scene.late not in await _late(here)
        await bob.go("/console/acts?act=late_money.accept")
        said = await bob.text()
        assert "operator:ada" in said and HOSTILE in said


async def test_each_role_is_refused_what_it_lacks(new_database: NewDatabase, browser: Launch) -> None:
    async with office(new_database, browser) as here:
        viewer = await here.seat("viewer", operator_id="ada")
        await viewer.go(f"/console/late-money/rows/{here.scene.late}")
        said = await viewer.text()
        assert "Give to the merchant" not in said and "Keep the note" not in said
        for path, right in (
            ("/console/late-money/accept/preview", "money"),
            ("/console/approvals", "approve"),
            ("/console/operators", "audit"),
        ):
            await viewer.go(path)
            assert f"needs the right “{right}”" in await viewer.text(), path
        admin = await here.seat("admin", operator_id="bob")
        await admin.go("/console/late-money/accept/preview")
        assert "needs the right “money”" in await admin.text(), "who gives roles moves no money"


#: Without a browser each of these is tried in ``tests/access/test_sessions.py``.
ENDINGS: Final = ("signed out", "disabled", "reset") if DEEP else ("signed out",)


@pytest.mark.parametrize("ending", ENDINGS)
async def test_a_copied_cookie_opens_nothing_after(new_database: NewDatabase, browser: Launch, ending: str) -> None:
    async with office(new_database, browser) as here:
        ada = await here.seat("operator", operator_id="ada")
        await ada.go("/console")
        assert await ada.page.evaluate("document.cookie") == "", "out of the reach of scripts"
        thief = await here.with_cookie(await cookie_of(ada))
        await thief.go("/console")
        assert "What happened?" in await thief.text(), "until then it is a session like any"
        runtime = here.console.process.runtime
        if ending == "signed out":
            await ada.press("Sign out")
            await ada.page.wait_for_url("**/console/sign-in")
        elif ending == "disabled":
            await operators.disable(runtime, "ada", actor="operator:bob", reason="left")
        else:
            async with runtime.pool.acquire() as connection, connection.transaction():
                assert await reset_credential(connection, "ada", secret_hash("another"), runtime.clock.now())
        for path in ("/console", f"/console/payments/{here.scene.payment_id}"):
            await thief.go(path)
            assert "/console/sign-in" in thief.page.url and here.scene.payment_id not in await thief.text(), path


#: What an attacker's page does: a form of its own, sent to us.
_SEND_FORM: Final = """([action, fields]) => {
  const form = Object.assign(document.createElement("form"), { method: "post", action });
  for (const [name, value] of Object.entries(fields)) {
    form.append(Object.assign(document.createElement("input"), { name, value }));
  }
  document.body.append(form);
  form.submit();
}"""


def _kept_in(said: list[str]) -> Callable[[ConsoleMessage], None]:
    return lambda message: said.append(message.text)


async def test_a_foreign_page_shows_and_sends_nothing(new_database: NewDatabase, browser: Launch) -> None:
    """The form comes from another port of the console's own host, so that the browser sends our cookie with it,
    SameSite=Strict or not."""
    async with office(new_database, browser) as here, foreign_site() as site:
        ada = await here.seat("operator", operator_id="ada")
        for path in ("/console", "/console/sign-in", "/console/late-money/accept/preview", "/console/none"):
            framing = await ada.context.new_page()
            said: list[str] = []
            framing.on("console", _kept_in(said))
            await framing.goto(f"{site}/", wait_until="domcontentloaded")
            await framing.evaluate(
                "url => new Promise(done => { const frame = document.createElement('iframe'); frame.onload = done;"
                " frame.src = url; document.body.append(frame); })",
                f"{here.origin}{path}",
            )
            shown = [each.url for each in framing.frames if each != framing.main_frame]
            assert not any(url.startswith(here.origin) for url in shown), (path, shown)
            assert any("frame" in each for each in said), said
            await framing.close()
        sending = await ada.context.new_page()
        same_site = site.replace("127.0.0.1", "localhost")
        await sending.goto(f"{same_site}/", wait_until="domcontentloaded")
        ids = here.scene.event_ids
        money = [""] * len(ids)
        previewed = {"ids": ",".join(ids), "money": ",".join(money), "digest": digest_of("discard", ids, money)}
        fields = {**previewed, "key": "foreign", "reason": "free money"}
        action = f"{here.origin}/console/dead-letters/discard"
        await sending.evaluate(_SEND_FORM, [action, fields])
        await sending.wait_for_url(action)
        refused = sending.get_by_text("The form was sent by another site.")
        await expect(refused).to_be_visible(timeout=PATIENCE_MS)
        assert await sending.get_by_role("button", name="Sign out").count() == 1, (
            "the browser sent the session's cookie"
        )
        await ada.go("/console/dead-letters")
        listed = await ada.text()
        assert all(each in listed for each in ids)


async def test_what_people_write_is_letters(new_database: NewDatabase, browser: Launch) -> None:
    """A reason, a note, a name that was typed: on every page that shows them."""
    async with office(new_database, browser) as here:
        ada = await here.seat("operator", "admin", "auditor", operator_id="ada")
        await ada.go(f"/console/late-money/rows/{here.scene.late}")
        await ada.page.locator("#note").fill(HOSTILE)
        await ada.press("Keep the note")
        await expect(ada.page.get_by_text(HOSTILE)).to_be_visible(timeout=PATIENCE_MS)
        await ada.go("/console/operators")
        await ada.page.locator("summary", has_text="Add an operator").click()
        await ada.page.locator("#add-operator").fill("<img src=x onerror=alert(1)>")
        await ada.page.get_by_label("viewer").check()
        await ada.page.locator("#add-reason").fill(HOSTILE)
        await ada.press("Add")
        await expect(ada.page.get_by_text("a name is 2-32 of a-z")).to_be_visible(timeout=PATIENCE_MS)
        await here.seat("viewer", operator_id="eve")
        await ada.go("/console/operators/eve")
        await ada.page.locator("summary", has_text="Disable").click()
        await ada.page.locator("#disable-reason").fill(HOSTILE)
        await ada.press("Disable")
        await ada.page.wait_for_url("**/console/operators/eve")
        for path in (f"/console/acts?operator={HOSTILE.replace('&', '%26').replace('#', '%23')}", "/console/acts"):
            await ada.go(path)
            assert "<script>alert(1)</script>" in await ada.text(), path
            assert await ada.page.locator("main script, main img").count() == 0, path
        stranger = await here.with_cookie("nobody's")
        await stranger.go(f"/console/sign-in?next=javascript:alert(1)//{'%3Cscript%3Ealert(1)%3C/script%3E'}")
        assert await stranger.page.locator("main script, a[href^='javascript:']").count() == 0


async def _late(here: Office) -> set[str]:
    runtime = here.console.process.runtime
    return {each.payment_id for each in await runtime.reads.late_money(None, 10)}


@asynccontextmanager
async def foreign_site() -> AsyncIterator[str]:
    """An attacker's page, on a name of its own."""
    body = b"<!doctype html><title>free money</title><body>"
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head + body)
        await writer.drain()
        writer.close()

    port = free_port()
    server = await asyncio.start_server(answer, "127.0.0.1", port)
    async with server:
        yield f"http://127.0.0.1:{port}"
