"""What processes do by themselves, and what of it is due: the rows behind these numbers of the first page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import urlencode

from tallystick.interfaces.console.page import ROOT, Answer, Page, PageRequest, View
from tallystick.interfaces.console.tables import Cell, Section
from tallystick.interfaces.console.words import Words, at, bounded, duration, money
from tallystick.oversight.console import QUEUES, Queue, QueueItem, read_queue

PATH: Final = f"{ROOT}/queues"

#: Rows of each that are shown.
_ROWS: Final = 50

#: (heading, what a row is, what it means that there is none)
_SAID: Final[Mapping[Queue, tuple[str, str, str]]] = {
    "attempts_to_settle": (
        "Attempts that recovery looks at",
        "Recovery asks the provider what became of them.",
        "The outcome of every call is known, or a person decides.",
    ),
    "deadlines": (
        "Deadlines",
        "What becomes of a payment when nothing else happens until then.",
        "No payment waits for a deadline.",
    ),
    "events_to_process": (
        "Providers' events to process",
        "In the fair order in which workers take them.",
        "Every event has been processed.",
    ),
    "messages_to_dispatch": (
        "Messages to dispatch",
        "Which endpoints want them is looked up next.",
        "Every message has been dispatched.",
    ),
    "queues_to_send": (
        "Queues of messages to send",
        "One for each endpoint and payment: its messages go out in their order.",
        "Every message was delivered, or given up.",
    ),
}


async def queues(request: PageRequest) -> Answer:
    """All of them, or the one that the address names."""
    asked = request.query.get("of", "")
    wanted = [each for each in QUEUES if each == asked] or QUEUES
    words = Words(request.runtime.clock.now())
    sections = [_section(each, await read_queue(request.runtime.pool, each, _ROWS + 1), words) for each in wanted]
    lead = "Nobody has to act on these. Where they grow old, a process is slow or away: the trends and alerts say so."
    return View(template="tables.html", context={"lead": lead, "sections": sections, "w": words})


def _section(queue: Queue, items: Sequence[QueueItem], words: Words) -> Section:
    title, says, empty = _SAID[queue]
    more = f" The first {_ROWS}." if len(items) > _ROWS else ""
    return Section(
        title=title,
        header=("What", "About", "Merchant", "Amount", "Due (UTC)", "For"),
        rows=[
            (
                Cell(f"{each.item_id}{f', {bounded(each.says, 80)}' if each.says else ''}", kind="id"),
                _found(each.about),
                Cell(each.merchant_id or "-", f"{ROOT}/merchants/{each.merchant_id}" if each.merchant_id else ""),
                Cell(money(each.amount, each.currency) if each.amount is not None and each.currency else "-"),
                Cell(at(each.due_at)),
                Cell(duration(words.now - each.due_at) if each.due_at <= words.now else "not due yet"),
            )
            for each in items[:_ROWS]
        ],
        empty=empty,
        says=says + more,
    )


def _found(name: str | None) -> Cell:
    return Cell("-") if name is None else Cell(name, f"{ROOT}/find?{urlencode({'q': name})}", "id")


PAGES: Final = (
    Page(name="queues", path=PATH, handle=queues, right="read", title="Under way", group="Overview", platform=True),
)
