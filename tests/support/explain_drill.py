"""Ten incidents, each found from the first page of the console: ``python -m tests.support.explain_drill``."""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from msgspec import Struct
from playwright.async_api import Browser, TimeoutError
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from tests.support.browser import Desk, desk, launched, over_http
from tests.support.console import inside_console
from tests.support.database import Database
from tests.support.explain_incidents import CLICKS_AT_MOST, INCIDENTS, Click, Incident, prepared
from tests.support.runtime import BookedProvider

#: Of the command.
PAYMENTS: Final = 10_000

#: What is told of one page.
_SEEN_CHARS: Final = 90


class Walk(Struct, frozen=True, kw_only=True):
    """How one incident was looked for. ``seen``: what was read of it. ``lacks``: what was not, or why the walk ended;
    None where it was found."""

    incident: Incident
    clicks: int
    elapsed_s: float
    seen: str
    lacks: str | None

    @property
    def found(self) -> bool:
        """Everything was read, soon enough."""
        return self.lacks is None and self.clicks <= CLICKS_AT_MOST


async def walk(somebody: Desk, incident: Incident) -> Walk:
    """From the first page, click by click."""
    started, clicks = time.monotonic(), 0
    await somebody.go("/console")
    try:
        for click in incident.clicks:
            await _do(somebody, click)
            clicks += 1
    except TimeoutError:
        return _walked(incident, clicks, started, f"no link {click.link or click.row!r} on {somebody.page.url}", "")
    text = await somebody.text()
    read = [re.search(each, text) for each in incident.shows]
    missing = [each for each, found in zip(incident.shows, read, strict=True) if found is None]
    seen = "; ".join(" ".join(found[0].split()) for found in read if found)
    return _walked(incident, clicks, started, ", ".join(missing) or None, seen)


def _walked(incident: Incident, clicks: int, started: float, lacks: str | None, seen: str) -> Walk:
    elapsed_s = time.monotonic() - started
    return Walk(incident=incident, clicks=clicks, elapsed_s=elapsed_s, seen=seen[:_SEEN_CHARS], lacks=lacks)


async def _do(somebody: Desk, click: Click) -> None:
    page = somebody.page
    place = page.locator("main")
    if click.row:
        place = page.locator("tr, dd, section p").filter(has_text=click.row)
        if click.row == "look at":
            place = page.locator("dt", has_text=click.row).locator("+ dd")
    link = place.get_by_role("link", name=re.compile(click.link)) if click.link else place.get_by_role("link")
    before = page.url
    await link.first.click()
    await page.wait_for_url(lambda url: url != before, wait_until="domcontentloaded")


async def walks(database: Database, browser: Browser, payments: int) -> AsyncIterator[Walk]:
    """Prepare the platform, and look for each incident."""
    async with (
        prepared(database, payments),
        inside_console(database, BookedProvider()) as console,
        over_http(console) as origin,
        desk(browser, console, origin, "viewer") as somebody,
    ):
        for incident in INCIDENTS:
            yield await walk(somebody, incident)
        assert somebody.complaints == []


async def drill(database: Database, payments: int) -> list[Walk]:
    """All of them, with progress on the terminal."""
    found = []
    async with launched() as browser:
        with Progress(console=Console(stderr=True)) as progress:
            task = progress.add_task(f"preparing {payments:,} payments and {len(INCIDENTS)} incidents", total=None)
            async for one in walks(database, browser, payments):
                found.append(one)
                progress.update(
                    task, description=one.incident.name, total=len(INCIDENTS), completed=len(found), refresh=True
                )
    return found


def table_of(found: list[Walk]) -> Table:
    """One line an incident."""
    table = Table(title="Found from the first page", title_justify="left")
    table.add_column("incident")
    table.add_column("clicks", justify="right")
    table.add_column("seconds", justify="right")
    table.add_column("what was seen")
    for each in found:
        said = each.seen if each.lacks is None else f"NOT FOUND: {each.lacks}"
        table.add_row(each.incident.name, str(each.clicks), f"{each.elapsed_s:.1f}", said)
    return table


def main() -> int:
    """Start a PostgreSQL, prepare it, and look. Returns the exit code."""
    from tallystick.record.postgres.embedded.server import EmbeddedPostgres  # starts a program
    from tallystick.record.postgres.migrate import migrate

    parser = argparse.ArgumentParser(prog="explain_drill")
    parser.add_argument("--payments", type=int, default=PAYMENTS)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tally-") as data_dir, EmbeddedPostgres(Path(data_dir)) as postgres:
        urls = postgres.urls()
        migrate(urls.owner_url)
        found = asyncio.run(drill(Database(*urls), arguments.payments))
    Console(width=140).print(table_of(found))
    return 0 if all(each.found for each in found) else 1


if __name__ == "__main__":
    sys.exit(main())
