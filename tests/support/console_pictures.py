"""Pictures of every page of the console, at both widths and in both themes: ``python -m tests.support.console_pictures
FOLDER``. A person looks at them. ``FOLDER readme`` takes the two that the README shows."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from tallystick.access.roles import Role
from tests.support.browser import THEMES, WIDTHS, Desk, Theme, desk, launched, over_http
from tests.support.console import inside_console
from tests.support.console_scene import Scene, scene
from tests.support.database import Database
from tests.support.runtime import BookedProvider


def pages_of(found: Scene) -> dict[str, str]:
    """The pages that there are pictures of."""
    return {
        "overview": "/console",
        "trends": "/console/trends",
        "find": "/console/find?q=nothing",
        "payment": f"/console/payments/{found.payment_id}",
        "payment-hostile": f"/console/payments/{found.hostile}",
        "in-doubt": "/console/in-doubt",
        "attempt": f"/console/in-doubt/rows/{found.in_doubt}",
        "cases": "/console/cases",
        "case": f"/console/cases/rows/{found.case_id}",
        "dead-letters": "/console/dead-letters",
        "dead-letter": f"/console/dead-letters/rows/{found.event_ids[0]}",
        "preview": "/console/dead-letters/replay/preview",
        "late-money": "/console/late-money",
        "alerts": "/console/alerts",
        "providers": "/console/providers",
        "merchants": "/console/merchants",
        "merchant": "/console/merchants/shop",
        "endpoint": f"/console/merchants/shop/endpoints/{found.endpoint_id}",
        "acts": "/console/acts",
        "operators": "/console/operators",
        "settings": "/console/settings",
        "first-sign-in": "/console/first-sign-in?operator=grace",
        "account": "/console/accounts?account=suspense:simulator&currency=EUR",
        "refused-webhooks": "/console/refused-webhooks",
        "queues": "/console/queues",
        "settlement-files": "/console/settlement-files",
    }


#: What the README shows: (page, where in it, theme, width, height). Each file has less than 150 kB.
README: Final[tuple[tuple[str, str, Theme, int, int], ...]] = (
    ("overview", "", "light", 1_280, 1_000),
    ("payment", "#b-states", "dark", 1_000, 820),
)


async def take(database: Database, folder: Path, only: list[str]) -> None:
    """All of them, on a database of their own."""
    found = await scene(database, "shop", dead_letters=12)
    async with (
        inside_console(database, BookedProvider()) as console,
        over_http(console) as origin,
        launched() as browser,
    ):

        @asynccontextmanager
        async def at_work(width: int, theme: Theme) -> AsyncIterator[Desk]:
            everything: tuple[Role, ...] = ("operator", "auditor", "admin")
            async with desk(browser, console, origin, *everything, width=width, theme=theme) as somebody:
                yield somebody
                for complaint in dict.fromkeys(somebody.complaints):
                    print(complaint)

        if only == ["readme"]:
            for name, place, theme, width, height in README:
                async with at_work(width, theme) as somebody:
                    await somebody.page.set_viewport_size({"width": width, "height": height})
                    await somebody.go(pages_of(found)[name] + place)
                    await somebody.page.screenshot(path=folder / f"console-{name}.png")
            return
        for width in WIDTHS:
            for theme in THEMES:
                if (width == WIDTHS[0]) == (theme == "light") and only[:1] == ["half"]:
                    continue
                async with at_work(width, theme) as somebody:
                    for name, path in pages_of(found).items():
                        if not only or name in only or only == ["half"]:
                            await somebody.go(path)
                            await somebody.page.screenshot(path=folder / f"{name}-{width}-{theme}.png", full_page=True)


def main() -> None:
    """Start a PostgreSQL, fill it, and take them."""
    from tallystick.record.postgres.embedded.server import EmbeddedPostgres  # starts a program
    from tallystick.record.postgres.migrate import migrate

    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="tally-") as data_dir, EmbeddedPostgres(Path(data_dir)) as postgres:
        urls = postgres.urls()
        migrate(urls.owner_url)
        asyncio.run(take(Database(*urls), folder, sys.argv[2:]))


if __name__ == "__main__":
    main()
