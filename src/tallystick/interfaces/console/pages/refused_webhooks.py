"""Deliveries of providers that were refused at the door, hour by hour. Nothing else of them is kept."""

from __future__ import annotations

from typing import Final

from tallystick.interfaces.console.csv_export import download
from tallystick.interfaces.console.page import ROOT, Answer, Page, PageRequest, Refused, View
from tallystick.interfaces.console.words import Words
from tallystick.oversight.console import RefusedWebhooks

PATH: Final = f"{ROOT}/refused-webhooks"

#: How far back it may be asked for, in hours: counts are kept for weeks.
_SPANS: Final = (24, 72, 168, 720)

_HEADER: Final = ("hour", "provider", "account", "reason", "count")


async def _rows(request: PageRequest) -> tuple[list[RefusedWebhooks], int]:
    if request.viewer.merchants is not None:
        raise Refused(403, "This is about the platform, and you are limited to merchants.")
    hours = int(request.query.get("hours", "")) if request.query.get("hours", "").isdecimal() else _SPANS[0]
    hours = hours if hours in _SPANS else _SPANS[0]
    named = {name: request.query.get(name, "").strip() for name in ("provider", "reason")}
    found = await request.runtime.stores.refused_webhooks.of_last(hours)
    kept = [each for each in found if all(not value or getattr(each, name) == value for name, value in named.items())]
    return kept, hours


async def refused(request: PageRequest) -> Answer:
    """By hour, the newest first."""
    rows, hours = await _rows(request)
    context = {
        "rows": rows,
        "hours": hours,
        "spans": _SPANS,
        "provider": request.query.get("provider", ""),
        "reason": request.query.get("reason", ""),
        "total": sum(each.count for each in rows),
        "path": PATH,
        "w": Words(request.runtime.clock.now()),
    }
    return View(template="refused_webhooks.html", context=context)


async def export(request: PageRequest) -> Answer:
    """The same as a file."""
    rows, _ = await _rows(request)
    lines = [(Words.iso(each.hour), each.provider, each.account, each.reason, each.count) for each in rows]
    return download("refused-webhooks", _HEADER, lines)


PAGES: Final = (
    Page(name="refused_webhooks", path=PATH, handle=refused, right="read", title="Refused webhooks", group="Waiting"),
    Page(name="refused_webhooks_file", path=f"{PATH}.csv", handle=export, right="read", title="Refused webhooks"),
)
