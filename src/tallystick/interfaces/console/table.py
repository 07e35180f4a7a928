"""Every page and act of the console, in one table. What is not here is not served."""

from __future__ import annotations

from typing import Final

from tallystick.interfaces.console.page import Page
from tallystick.interfaces.console.pages import approvals, health, overview, sign_in

PAGES: Final[tuple[Page, ...]] = (
    *health.PAGES,
    *sign_in.PAGES,
    *overview.PAGES,
    *approvals.PAGES,
)
