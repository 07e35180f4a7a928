"""Providers: how their calls end and how long they take, circuits, pauses, and drift of what they send."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any, Final

from tallystick.domain.operator_act import ActName, AskedAct, OperatorAct
from tallystick.flows.operations import pauses
from tallystick.interfaces.console.acting import act_once
from tallystick.interfaces.console.page import ROOT, Answer, Page, PageRequest, Redirect, Refused, View
from tallystick.interfaces.console.pages.overview import drawer, reader_of
from tallystick.interfaces.console.plots import Line, Plot
from tallystick.interfaces.console.tables import Cell, Section, row
from tallystick.interfaces.console.words import Words, at, bounded, duration, milliseconds, number, spoken
from tallystick.kit.ids import new_id
from tallystick.oversight.console import read_circuits, read_pauses
from tallystick.oversight.latencies import percentile_ms
from tallystick.oversight.provider_trends import ProviderTrends

PATH: Final = f"{ROOT}/providers"

#: A page is not worth more than this to a database in trouble.
_TIMEOUT_S: Final = 5.0

#: Calls of so long are shown.
_CALLS: Final = timedelta(hours=1)

#: Drift of so long: a release of a provider takes effect within hours.
_DRIFT_HOURS: Final = 24

#: Fields that are shown: a provider that changes everything has thousands.
_FIELDS: Final = 50

#: Of the plots.
_SPAN: Final = "24h"

#: How long a pause may be asked for; the last is until somebody resumes it.
_PAUSES: Final = (("3600", "an hour"), ("86400", "a day"), ("0", "until somebody resumes it"))


async def providers(request: PageRequest) -> Answer:
    """All of them."""
    runtime = request.runtime
    now_and_before = await reader_of(request).provider_trends(_SPAN)
    context = {
        "lead": "",
        "trends": now_and_before,
        "plots": _plots(now_and_before),
        "sections": [
            _calls(await runtime.stores.trends.latencies_since(runtime.clock.now() - _CALLS)),
            await _circuits(request),
            await _paused(request),
            await _drift(request),
        ],
        "forms": _forms(request) if request.viewer.may("act") else [],
        "w": Words(runtime.clock.now()),
    }
    return View(template="tables.html", context=context)


def _plots(found: ProviderTrends) -> list[Plot]:
    minutes, drawn = found.step_s // 60, drawer(found.since, found.read_at, found.step_s, found.marks)
    plots = []
    for provider, outcomes in found.calls.items():
        lines = [
            Line(name=spoken(outcome), points=[(s.step, s.value) for s in steps]) for outcome, steps in outcomes.items()
        ]
        p99 = [Line(name="p99", points=[(s.step, s.value) for s in found.p99_ms[provider]])]
        plots += [drawn(f"{provider}: calls in {minutes} minutes", lines), drawn(f"{provider}: p99 in ms", p99)]
    return plots


def _calls(counted: Mapping[str, Mapping[int, int]]) -> Section:
    rows = []
    for name in sorted(counted):
        if name.startswith("provider:"):
            _, provider, outcome = name.split(":", 2)
            counts = counted[name]
            rows.append(
                (
                    Cell(provider),
                    Cell(spoken(outcome), kind="bad" if outcome in ("unknown", "failed") else ""),
                    Cell(number(sum(counts.values())), f"{PATH}#plots", "number"),
                    Cell(milliseconds(percentile_ms(counts, 0.5)), kind="number"),
                    Cell(milliseconds(percentile_ms(counts, 0.99)), kind="number"),
                )
            )
    return Section(
        title="Calls of the last hour",
        header=("Provider", "Outcome", "Calls", "p50", "p99"),
        rows=rows,
        empty="No call was made in the last hour.",
    )


async def _circuits(request: PageRequest) -> Section:
    found = await read_circuits(request.runtime.pool, _TIMEOUT_S)
    return Section(
        title="Circuits",
        header=("Account", "Circuit", "Since (UTC)", "Processes"),
        rows=[
            (
                Cell(f"{each.provider}/{each.account}"),
                Cell(
                    "open" if each.open else "half open" if each.half_open else "closed",
                    kind="bad" if each.open else "good",
                ),
                Cell(at(each.since)),
                Cell(number(each.processes), kind="number"),
            )
            for each in found
        ],
        empty="No running process has reported a circuit in the last 30 seconds.",
        says="A process stops calling an account that does not answer, and tries again by itself.",
    )


async def _paused(request: PageRequest) -> Section:
    runtime = request.runtime
    asked = await read_pauses(runtime.pool, _TIMEOUT_S)
    rows = [
        row(
            f"{each.provider}/{each.account}",
            each.actor,
            at(each.changed_at),
            "until resumed" if each.until is None else at(each.until),
        )
        for each in await pauses.pauses(runtime)
    ]
    rows += [
        row(
            f"{provider}/{account}",
            "the provider (Retry-After)",
            None,
            f"for {duration(timedelta(milliseconds=left))} more",
        )
        for (provider, account), left in sorted(asked.items())
    ]
    return Section(
        title="Paused accounts",
        header=("Account", "By", "Since (UTC)", "Until (UTC)"),
        rows=rows,
        empty="No account is paused.",
    )


async def _drift(request: PageRequest) -> Section:
    counts: Counter[tuple[str, str, str]] = Counter()
    for each in await request.runtime.stores.contract_drift.of_last(_DRIFT_HOURS):
        counts[each.provider, each.kind, each.field] += each.count
    return Section(
        title=f"Contract drift of {_DRIFT_HOURS} hours",
        header=("Provider", "What", "Field", "How often"),
        rows=[
            (Cell(provider), Cell(spoken(kind)), Cell(bounded(field, 120), kind="id"), Cell(number(n), kind="number"))
            for (provider, kind, field), n in counts.most_common(_FIELDS)
        ],
        empty="Providers sent what is expected of them.",
        says="What providers sent otherwise than it is read here"
        + (f": the {_FIELDS} fields that differed most often." if len(counts) > _FIELDS else "."),
    )


def _forms(request: PageRequest) -> list[dict[str, object]]:
    accounts = tuple((name, name) for name in request.runtime.accounts)
    if not accounts:
        return []
    account = ("account", "Account", accounts)
    return [
        {
            "name": "pause", "label": "Pause an account", "action": f"{PATH}/pause", "key": new_id("opa"),
            "reason": True,
            "says": "It gets no calls from any process. Payments wait, or go to another provider where a route allows.",
            "fields": (account, ("seconds", "How long", _PAUSES)),
        },
        {
            "name": "resume", "label": "Resume an account", "action": f"{PATH}/resume", "key": new_id("opa"),
            "reason": True,
            "says": "It gets calls again. What the provider itself asked for is still heeded.",
            "fields": (account,),
        },
    ]  # fmt: skip


async def pause(request: PageRequest) -> Answer:
    """No calls to one account."""
    return await _act(request, "provider.pause")


async def resume(request: PageRequest) -> Answer:
    """Calls again."""
    return await _act(request, "provider.resume")


async def _act(request: PageRequest, name: ActName) -> Answer:
    runtime, form = request.runtime, request.form
    provider, _, account = form.get("account").partition("/")
    if form.get("account") not in runtime.accounts:
        raise Refused(400, "There is no such account. Nothing was done.")
    pausing, seconds = name == "provider.pause", form.get("seconds")
    if pausing and seconds not in dict(_PAUSES):
        raise Refused(400, "There is no such time. Nothing was done.")
    for_ms = int(seconds) * 1_000 or None if pausing else None

    async def do(asked: AskedAct) -> OperatorAct:
        if pausing:
            return await pauses.pause(runtime, asked, account, for_ms)
        return await pauses.resume(runtime, asked, account)

    await act_once(request, name, provider, do, account=account, for_ms=for_ms)
    return Redirect(PATH)


def _page(name: str, path: str, handle: Callable[[PageRequest], Awaitable[Answer]], **more: Any) -> Page:
    row: dict[str, Any] = {"right": "read", "title": "Providers", **more}
    return Page(name=name, path=path, handle=handle, platform=True, **row)


PAGES: Final = (
    _page("providers", PATH, providers, group="Providers"),
    _page("pause_provider", f"{PATH}/pause", pause, right="act", method="POST"),
    _page("resume_provider", f"{PATH}/resume", resume, right="act", method="POST"),
)
