"""A real browser: one that the machine has, or one that ``python -m tests.support.browser`` installs; and the console
as it sees it. A run that has none fails: what only a browser can show is never skipped.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, Literal

from axe_playwright_python.base import AXE_SCRIPT
from granian.constants import HTTPModes, Interfaces
from granian.server.embed import Server
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from tallystick.access.roles import Role
from tallystick.interfaces.console.app import SESSION_COOKIE
from tests.support.console import InsideConsole
from tests.support.polling import eventually_async
from tests.support.ports import free_port

#: What a browser is called on one machine or another.
NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

#: Widths of a telephone and of a desk.
WIDTHS: Final = (390, 1440)

#: A machine that others use too may stand still for a while.
PATIENCE_MS: Final = 150_000

Theme = Literal["light", "dark"]

THEMES: Final[tuple[Theme, ...]] = ("light", "dark")


def installed() -> str | None:
    """The path of a browser of the machine; None is for playwright's own."""
    named = os.environ.get("TALLYSTICK_TEST_BROWSER")
    return named or next((found for name in NAMES if (found := shutil.which(name))), None)


def install() -> None:
    """Debian's as root, playwright's own otherwise. Nothing where the machine has one."""
    if installed() is not None:
        return
    if hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("apt-get"):
        subprocess.run(["apt-get", "update", "-q"], check=False)
        subprocess.run(["apt-get", "install", "-q", "-y", "--no-install-recommends", "chromium"], check=True)
    else:
        subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=True)


@asynccontextmanager
async def launched() -> AsyncIterator[Browser]:
    """A browser without a window. It runs in containers too, where it has no sandbox of its own."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=installed(), args=["--no-sandbox", "--disable-gpu"])
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def shared(browser: Browser) -> AsyncIterator[Browser]:
    """A browser that other tests use after this: to start one takes 1.2 s of CPU. Nothing of this test stays open in
    it, and people have profiles of their own."""
    try:
        yield browser
    finally:
        for context in browser.contexts:
            await context.close()


@asynccontextmanager
async def over_http(console: InsideConsole) -> AsyncIterator[str]:
    """The console behind a real HTTP server; its origin."""
    port = free_port()
    server = Server(
        console.app, port=port, interface=Interfaces.ASGINL, http=HTTPModes.http1, log_enabled=False, websockets=False
    )
    running = asyncio.create_task(server.serve())

    async def accepts() -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return False
        writer.close()
        return True

    try:
        await eventually_async(accepts, until=bool)
        yield f"http://localhost:{port}"
    finally:
        server.stop()  # type: ignore[no-untyped-call]  # it ships no types
        await running


class Desk:
    """Somebody at a browser. ``complaints``: what its console said, errors of pages, and violations of the policy."""

    def __init__(self, context: BrowserContext, page: Page, origin: str) -> None:
        self.context = context
        self.page = page
        self.origin = origin
        self.complaints: list[str] = []
        page.set_default_timeout(PATIENCE_MS)
        page.on("console", lambda said: self._note(said.type, said.text))
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        page.on("dialog", lambda dialog: self.complaints.append(f"dialog: {dialog.message}"))

    def _note(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.complaints.append(f"{kind}: {text}")

    async def go(self, path: str) -> None:
        """Open a page. Its stream of events goes on, so that nobody waits for silence."""
        await self.page.goto(f"{self.origin}{path}", wait_until="domcontentloaded")

    async def text(self) -> str:
        """What a person reads."""
        return await self.page.inner_text("body")

    async def press(self, button: str) -> None:
        """Press a button or a link by its words, and wait for the page that comes."""
        found = self.page.get_by_role("button", name=button, exact=True)
        await (found if await found.count() else self.page.get_by_role("link", name=button, exact=True)).first.click()
        await self.page.wait_for_load_state("domcontentloaded")

    async def serious(self) -> list[str]:
        """What axe-core finds serious or critical. It is put in by the debugger's way, past the page's policy."""
        session = await self.context.new_cdp_session(self.page)
        await session.send("Runtime.evaluate", {"expression": AXE_SCRIPT})
        run = "axe.run(document, {resultTypes: ['violations']})"
        found = await session.send("Runtime.evaluate", {"expression": run, "awaitPromise": True, "returnByValue": True})
        violations: list[dict[str, Any]] = found["result"]["value"]["violations"]
        return [
            f"{each['id']}: {', '.join(str(node['target']) for node in each['nodes'][:3])}"
            for each in violations
            if each["impact"] in ("serious", "critical")
        ]

    async def is_wider_than_its_window(self) -> bool:
        """Whether a person has to scroll sideways."""
        wide: bool = await self.page.evaluate("document.documentElement.scrollWidth > window.innerWidth")
        return wide


@asynccontextmanager
async def desk(
    browser: Browser,
    console: InsideConsole,
    origin: str,
    *roles: Role,
    width: int = 1440,
    theme: Theme = "light",
    operator_id: str = "ada",
) -> AsyncIterator[Desk]:
    """Somebody who is signed in with these roles."""
    token = console.person(*roles, operator_id=operator_id).http.cookies[SESSION_COOKIE]
    context = await browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme)
    try:
        cookie: Any = {"name": SESSION_COOKIE, "value": token, "url": origin.replace("http:", "https:"), "secure": True}
        await context.add_cookies([cookie])
        yield Desk(context, await context.new_page(), origin)
    finally:
        await context.close()


if __name__ == "__main__":
    install()
