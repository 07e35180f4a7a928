"""Signing in and out."""

from __future__ import annotations

from typing import Final

from tallystick.interfaces.console.page import Answer, Page, PageRequest, View


async def sign_in(_: PageRequest) -> Answer:
    """The form."""
    return View(template="sign_in.html")


PAGES: Final = (Page(name="sign_in", path="/console/sign-in", handle=sign_in, right=None, title="Sign in"),)
