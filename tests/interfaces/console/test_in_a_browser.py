"""The console as people see it, in a real browser: what they do there, and what no page of it may do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import product
from typing import Final

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from tallystick.access.roles import Role
from tests.support.browser import PATIENCE_MS, THEMES, WIDTHS, Desk, Theme, desk, launched, over_http, shared
from tests.support.console import inside_console
from tests.support.console_pictures import pages_of
from tests.support.console_scene import Scene, copied_scene
from tests.support.database import DEEP, NewDatabase
from tests.support.runtime import BookedProvider

#: Some twenty pages a test, each looked at by axe-core, on a machine that others use too.
pytestmark = [pytest.mark.timeout(900), pytest.mark.asyncio(loop_scope="module")]

#: Each width and each theme; at full depth each width in each theme. Without depth they share the pages.
LOOKS: Final = [*product(WIDTHS, THEMES)] if DEEP else [*zip(WIDTHS, reversed(THEMES), strict=True)]

Launch = Callable[[], AbstractAsyncContextManager[Browser]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Launch]:
    """Lends the one of all tests here. A fixture, so that the test is known to need it."""
    async with launched() as started:
        yield lambda: shared(started)


@asynccontextmanager
async def at_a_desk(
    new_database: NewDatabase, browser: Launch, *roles: Role, width: int = 1440, theme: Theme = "light"
) -> AsyncIterator[tuple[Desk, Scene]]:
    database, found = await copied_scene(new_database)
    async with (
        inside_console(database, BookedProvider()) as console,
        over_http(console) as origin,
        browser() as started,
        desk(started, console, origin, *roles, width=width, theme=theme) as somebody,
    ):
        yield somebody, found
        assert somebody.complaints == []  # also violations of the policy, and dialogs of foreign scripts


@pytest.mark.parametrize(("width", "theme"), LOOKS)
async def test_every_page_is_well(new_database: NewDatabase, browser: Launch, width: int, theme: Theme) -> None:
    async with at_a_desk(new_database, browser, "operator", "auditor", "admin", width=width, theme=theme) as (
        somebody,
        found,
    ):
        wrong = {}
        pages = list(pages_of(found).items())
        for name, path in pages if DEEP else pages[LOOKS.index((width, theme)) :: len(LOOKS)]:
            await somebody.go(path)
            serious = await somebody.serious()
            if await somebody.is_wider_than_its_window():
                serious.append("wider than its window")
            if serious:
                wrong[name] = serious
        assert wrong == {}


#: Of a page as it is printed: folds that are closed, fields and buttons that are seen, tables that are cut off, and
#: whether every entry of the timeline is seen.
ON_PAPER = """() => {
  const seen = (one) => one.getClientRects().length > 0;
  const all = (what) => [...document.querySelectorAll(what)];
  return {
    folded: all("details:not([open])").length,
    fields: all("button, input, textarea, nav").filter(seen).length,
    cut: all(".wide").filter((one) => getComputedStyle(one).overflowX !== "visible").length,
    entries: all("li.entry").every(seen),
  };
}"""


async def test_a_payment_is_found_by_keyboard(new_database: NewDatabase, browser: Launch) -> None:
    async with at_a_desk(new_database, browser, "viewer") as (somebody, found):
        await somebody.go("/console")
        await somebody.page.keyboard.press("/")
        await somebody.page.keyboard.type("order-1042")
        await somebody.page.keyboard.press("Enter")
        await somebody.page.wait_for_url(f"**/console/payments/{found.payment_id}")
        said = await somebody.text()
        assert "Captured 42.50 EUR" in said and "12.50 EUR went back" in said
        assert "Ask the provider now" not in said  # a viewer may not
        await somebody.page.emulate_media(media="print")
        await somebody.page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
        assert await somebody.page.evaluate(ON_PAPER) == {"folded": 0, "fields": 0, "cut": 0, "entries": True}
        await somebody.page.evaluate("window.dispatchEvent(new Event('afterprint'))")
        assert await somebody.page.locator("details:not([open])").count() > 0, "as it was"


async def test_a_dead_letter_is_replayed(new_database: NewDatabase, browser: Launch) -> None:
    async with at_a_desk(new_database, browser, "operator") as (somebody, found):
        await somebody.go("/console")
        await somebody.page.get_by_role("link", name="Dead letters: 3").click()
        await somebody.page.get_by_role("link", name=found.event_ids[1], exact=True).click()
        await somebody.page.locator("summary", has_text="Replay").click()
        await somebody.page.locator("#replay-reason").fill("the merchant is known now")
        await somebody.press("Replay")
        await expect(somebody.page.get_by_text("1 done")).to_be_visible(timeout=PATIENCE_MS)
        await somebody.go("/console/dead-letters")
        assert found.event_ids[1] not in await somebody.text()


async def test_ticked_rows_are_acted_on_after_a_preview(new_database: NewDatabase, browser: Launch) -> None:
    async with at_a_desk(new_database, browser, "operator") as (somebody, found):
        await somebody.go("/console/dead-letters")
        await expect(somebody.page.get_by_role("button", name="Discard…")).to_be_disabled()
        await somebody.page.get_by_label("Tick all rows of this page").check()
        await somebody.press("Discard…")
        await somebody.page.locator("#all-reason").fill("noise of a test")
        await somebody.press("Discard: 3 rows")
        await expect(somebody.page.get_by_text("3 done")).to_be_visible(timeout=PATIENCE_MS)
        del found


async def test_a_case_is_resolved(new_database: NewDatabase, browser: Launch) -> None:
    async with at_a_desk(new_database, browser, "operator") as (somebody, found):
        await somebody.go(f"/console/cases/rows/{found.case_id}")
        await somebody.page.locator("summary", has_text="Resolve without doing anything").click()
        await somebody.page.locator("#ignore-reason").fill("a test charge")
        await somebody.press("Resolve without doing anything")
        await expect(somebody.page.get_by_text("1 done")).to_be_visible(timeout=PATIENCE_MS)


async def test_an_open_overview_is_renewed(new_database: NewDatabase, browser: Launch) -> None:
    async with at_a_desk(new_database, browser, "operator") as (somebody, _):
        await somebody.go("/console")
        other = await somebody.context.new_page()
        await other.goto(f"{somebody.origin}/console/dead-letters/discard/preview")
        await other.locator("#all-reason").fill("noise of a test")
        await other.get_by_role("button", name="Discard: 3 rows").click()
        await expect(other.get_by_text("3 done")).to_be_visible(timeout=PATIENCE_MS)
        await other.close()
        await expect(somebody.page.get_by_role("link", name="Dead letters: 0")).to_be_visible(timeout=PATIENCE_MS)
