"""The first page."""

from __future__ import annotations

from typing import Final

from tallystick.interfaces.console.page import ROOT, Answer, Page, PageRequest, Redirect, View


async def start(_: PageRequest) -> Answer:
    """The address without a path."""
    return Redirect(ROOT)


async def overview(_: PageRequest) -> Answer:
    """What happened?"""
    return View(template="overview.html")


PAGES: Final = (
    Page(name="start", path="/", handle=start, right=None, title="Start"),
    Page(name="overview", path=ROOT, handle=overview, right="read", title="What happened?", group="Overview"),
)
