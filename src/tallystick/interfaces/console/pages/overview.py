"""What happened? The first page: what waits, the books, the audit, how fast the processes are, and the trends. The
browser renews it while it is open, by server-sent events."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from functools import cache
from typing import Any, Final
from weakref import WeakKeyDictionary

from litestar.response import ServerSentEvent
from litestar.response.sse import ServerSentEventMessage

from tallystick.interfaces.console.page import ROOT, Answer, Page, PageRequest, Redirect, View
from tallystick.interfaces.console.plots import Line, Mark, Plot, plot
from tallystick.interfaces.console.rendering import Templates
from tallystick.interfaces.console.words import Words
from tallystick.oversight.console import Deployment, Reads
from tallystick.oversight.overview import SPANS, OverviewReader, Trends

#: A stream of events has one renewal. The browser asks for the next one after this: its session is looked at each time,
#: so that one that has ended shows nothing more, and no open page keeps a process from stopping.
RENEWED_MS: Final = 10_000

#: What the lines of the plots are called.
_SAMPLES: Final = {
    "unknown_outcomes": "unknown outcomes",
    "attempts_in_doubt": "in doubt",
    "dead_letters": "dead letters",
    "cases": "rejected cases",
    "late_money": "late money",
    "alerts": "alerts",
}

#: The newest trends of a reader, as they are drawn.
_DRAWN: Final[WeakKeyDictionary[OverviewReader, tuple[Trends, list[Plot]]]] = WeakKeyDictionary()

#: One reader a process, known by what is a process's own.
_READERS: Final[WeakKeyDictionary[Reads, OverviewReader]] = WeakKeyDictionary()


def reader_of(request: PageRequest) -> OverviewReader:
    """The process's reader."""
    runtime = request.runtime
    found = _READERS.get(runtime.reads)
    if found is None:
        found = _READERS[runtime.reads] = OverviewReader(
            runtime.pool, runtime.clock, runtime.stores.alerts, runtime.settings
        )
    return found


async def start(_: PageRequest) -> Answer:
    """The address without a path."""
    return Redirect(ROOT)


async def overview(request: PageRequest) -> Answer:
    """What happened?"""
    steps = await reader_of(request).first_steps() if request.viewer.merchants is None else None
    return View(template="overview.html", context={**await _blocks(request), "first_steps": steps})


async def live(request: PageRequest) -> Answer:
    """The same blocks, as an event."""
    html = _templates().render("overview_blocks.html", await _blocks(request, by_itself=True))

    async def renewal() -> AsyncIterator[ServerSentEventMessage]:
        yield ServerSentEventMessage(event="blocks", data=html, retry=RENEWED_MS)

    return ServerSentEvent(renewal(), headers={"cache-control": "no-store"})


async def trends(request: PageRequest) -> Answer:
    """How it changed, over a span that the address names."""
    span = request.query.get("over", "24h")
    span = span if span in SPANS else "24h"
    found = await reader_of(request).trends(span)
    context = {
        "span": span,
        "spans": tuple(SPANS),
        "trends": found,
        "plots": plots_of(found),
        "w": Words(request.runtime.clock.now()),
    }
    return View(template="trends.html", context=context)


async def _blocks(request: PageRequest, *, by_itself: bool = False) -> dict[str, Any]:
    reader, merchants = reader_of(request), request.viewer.merchants
    waiting = await reader.waiting(merchants, by_itself=by_itself)
    of_all = merchants is None
    shown = await reader.trends("24h") if of_all else None
    return {
        "waiting": waiting,
        "books": await reader.books() if of_all else None,
        "audit": await reader.audit() if of_all else None,
        "processes": await reader.processes() if of_all else None,
        "trends": shown,
        "plots": [] if shown is None else _drawn(reader, shown),
        "w": Words(request.runtime.clock.now()),
    }


def _drawn(reader: OverviewReader, shown: Trends) -> list[Plot]:
    """The plots of a reading, drawn once: that takes longer than all the rest of the page."""
    kept = _DRAWN.get(reader)
    if kept is None or kept[0] is not shown:
        kept = _DRAWN[reader] = (shown, plots_of(shown))
    return kept[1]


def plots_of(found: Trends) -> list[Plot]:
    """The trends, drawn."""
    drawn = drawer(found.since, found.read_at, found.step_s, found.marks)

    def rates(*named: tuple[str, str]) -> list[Line]:
        return [Line(name=says, points=[(s.step, s.value) for s in found.rates.get(name, ())]) for name, says in named]

    waits = [
        Line(name=says, points=[(s.step, s.value) for s in found.samples.get(name, ())])
        for name, says in _SAMPLES.items()
    ]
    minutes = found.step_s // 60
    return [
        drawn("What waited for somebody", waits),
        drawn(f"Instructions in {minutes} minutes", rates(("instructions", "instructions"), ("repeats", "repeated"))),
        drawn(
            f"Providers' events in {minutes} minutes", rates(("arrivals", "arrivals"), ("redeliveries", "redelivered"))
        ),
        drawn("API, p99 in ms", [Line(name="p99", points=[(s.step, s.value) for s in found.p99_ms])]),
    ]


def drawer(
    since: datetime, until: datetime, step_s: int, deployments: Sequence[Deployment]
) -> Callable[[str, list[Line]], Plot]:
    """A function that draws lines of this time under a title, with a mark for each release and configuration."""
    marks = [Mark(at=each.at, title=_mark(each)) for each in deployments]

    def drawn(title: str, lines: list[Line]) -> Plot:
        return plot(title, lines, marks, since, until, step_s)

    return drawn


def _mark(each: Deployment) -> str:
    when = Words.at(each.at)
    if each.kind == "release":
        return f"release {each.version or each.process_version}, {when} UTC"
    return f"configuration of {each.role}: {', '.join(each.changed or ())[:200]}, {when} UTC"


@cache
def _templates() -> Templates:
    return Templates()


PAGES: Final = (
    Page(name="start", path="/", handle=start, right=None, title="Start"),
    Page(name="overview", path=ROOT, handle=overview, right="read", title="What happened?", group="Overview"),
    Page(name="live", path=f"{ROOT}/live", handle=live, right="read", title="What happened?", by_itself=True),
    Page(
        name="trends",
        path=f"{ROOT}/trends",
        handle=trends,
        right="read",
        title="Trends",
        group="Overview",
        platform=True,
    ),
)
