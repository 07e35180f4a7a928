"""Every page and act of the console, in one table. What is not here is not served."""

from __future__ import annotations

from typing import Final

from tallystick.interfaces.console.page import Page
from tallystick.interfaces.console.pages import (
    alerts,
    approvals,
    cases,
    dead_letters,
    erasures,
    evidence,
    find,
    health,
    in_doubt,
    late_money,
    merchants,
    notes,
    operators,
    overview,
    payment,
    platform,
    providers,
    queues,
    refused_webhooks,
    settlement_files,
    settlement_rows,
    sign_in,
)

PAGES: Final[tuple[Page, ...]] = (
    *health.PAGES,
    *sign_in.PAGES,
    *overview.PAGES,
    *queues.PAGES,
    *find.PAGES,
    *payment.PAGES,
    *evidence.PAGES,
    *in_doubt.PAGES,
    *cases.PAGES,
    *dead_letters.PAGES,
    *late_money.PAGES,
    *settlement_rows.PAGES,
    *alerts.PAGES,
    *notes.PAGES,
    *refused_webhooks.PAGES,
    *providers.PAGES,
    *settlement_files.PAGES,
    *merchants.PAGES,
    *erasures.PAGES,
    *platform.PAGES,
    *operators.PAGES,
    *approvals.PAGES,
)
