"""One shape for every list of work: filters that stand in the address, one row, acts on one, on some, and on everything
that the filters select. A list is a declaration; its pages are made here."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Literal
from urllib.parse import urlencode

from msgspec import Struct

from tallystick.access.roles import Right
from tallystick.domain.operator_act import ActName, AskedAct, OperatorAct
from tallystick.flows.operations.owners import colleagues
from tallystick.flows.runtime import Runtime
from tallystick.interfaces.console.csv_export import download
from tallystick.interfaces.console.forms import Form
from tallystick.interfaces.console.page import ROOT, Answer, Group, PageRequest, Redirect, Refused, View
from tallystick.interfaces.console.place import place_in, place_text
from tallystick.interfaces.console.words import Words
from tallystick.interfaces.console.work_filters import (
    AGES,
    ME,
    NOBODY,
    VALUE_CHARS,
    asked_filters,
    query_of,
    work_filter,
)
from tallystick.kit.ids import new_id
from tallystick.oversight.console import SavedFilter, WorkFilter, WorkItem, WorkList, WorkReads

#: Rows of one page: as many as a person reads.
PAGE_ROWS: Final = 50

#: Rows of one CSV file; the file's last line says so where there are more.
EXPORT_ROWS: Final = 20_000

#: Rows read at a time for a file.
_EXPORT_PAGE: Final = 2_000

#: Notes and acts that are shown beside one row.
NOTES: Final = 50

Do = Callable[[Runtime, AskedAct, Mapping[str, str]], Awaitable[OperatorAct]]


class Field(Struct, frozen=True, kw_only=True):
    """What an act asks for beside its reason. ``choices``: (value, label); none is a text. ``required``: of a text.
    ``of_colleagues``: the choices are operators who may act on the rows."""

    name: str
    label: str
    choices: tuple[tuple[str, str], ...] = ()
    required: bool = True
    of_colleagues: bool = False


class ListAct(Struct, frozen=True, kw_only=True):
    """What can be done about rows. ``name``: in addresses. ``says``: what it does, for who is about to do it."""

    name: str
    label: str
    act: ActName
    says: str
    do: Do
    right: Right = "act"
    fresh: bool = False
    fields: tuple[Field, ...] = ()
    careful: bool = False

    def wanted(self, form: Form) -> dict[str, str]:
        """The values of its fields. Raises Refused."""
        found = {each.name: form.get(each.name) for each in self.fields}
        for each in self.fields:
            value = found[each.name]
            if (each.required or each.choices) and not value:
                raise Refused(400, f"“{each.label}” was not said. Nothing was done.")
            if each.choices and value not in dict(each.choices):
                raise Refused(400, f"“{each.label}” has no such choice. Nothing was done.")
        return {name: value for name, value in found.items() if value}


class WorkPage(Struct, frozen=True, kw_only=True):
    """A list. ``name``: in addresses; ``kind`` and ``own``: what these filters are called; ``choices``: values of one
    filter, where it has few. ``says``: what these rows are, and what to do. ``empty``: what it means that there are
    none. ``leads``: links from one row to what is behind it. ``evidence``: where a row's raw evidence is,
    by its id. ``id_in_path``: path, where ids have a slash. ``of_platform``: no row is a merchant's.
    ``of_providers``: rows can be of a provider."""

    name: str
    work: WorkList
    title: str
    one: str
    says: str
    empty: str
    kind: str
    own: str
    choices: Mapping[str, tuple[str, ...]] = {}
    id_in_path: Literal["str", "path"] = "str"
    acts: tuple[ListAct, ...] = ()
    group: Group = "Waiting"
    detail: Callable[[PageRequest, WorkItem], Awaitable[Sequence[tuple[str, str]]]] | None = None
    leads: Callable[[WorkItem], Sequence[tuple[str, str]]] | None = None
    evidence: Callable[[str], str] | None = None
    of_platform: bool = False
    of_providers: bool = True

    @property
    def path(self) -> str:
        """Of the list; the others are below it."""
        return f"{ROOT}/{self.name}"


def reads(request: PageRequest) -> WorkReads:
    """The lists of this process's record."""
    return WorkReads(request.runtime.pool)


async def list_page(page: WorkPage, request: PageRequest) -> Answer:
    """A page of rows, with what there is of all of them."""
    which, asked = work_filter(request), asked_filters(request)
    after = place_in(request.query.get("after"))
    book, trends = reads(request), request.runtime.stores.trends
    rows = await book.page(page.work, which, after, PAGE_ROWS + 1)
    more, shown = rows[PAGE_ROWS:], rows[:PAGE_ROWS]
    following = (
        f"{page.path}?{query_of(request, after=place_text(shown[-1].place, shown[-1].item_id))}" if more else None
    )
    return View(
        template="list.html",
        context={
            "page": page,
            "rows": shown,
            "totals": await book.totals(page.work, which),
            "which": asked,
            "filtered": bool(asked),
            "query": query_of(request),
            "ages": [(name, says) for name, (says, _) in AGES.items()],
            "following": following,
            "begun": after is not None,
            "owned_by": _owned_by(asked),
            "saved": await trends.filters(request.viewer.operator_id, page.name),
            "acts": acts_of(page, request),
            "w": Words(request.runtime.clock.now()),
        },
    )


async def item_page(page: WorkPage, request: PageRequest) -> Answer:
    """One row, what was done and noted about it, and what can be done."""
    item_id, book = str(request.path["item_id"]).lstrip("/"), reads(request)
    found = await book.page(page.work, WorkFilter(merchants=request.viewer.merchants), None, 1, ids=[item_id])
    notes = await book.notes(item_id, NOTES) if found or request.viewer.merchants is None else []
    if not found and not notes:
        raise Refused(404, f"There is no {page.one} {Words.bounded(item_id, 64)} here.")
    acts = acts_of(page, request)
    detail = await page.detail(request, found[0]) if page.detail is not None and found else []
    return View(
        template="item.html",
        status=200,
        context={
            "title": f"{page.one[:1].upper()}{page.one[1:]}",
            "page": page,
            "item": found[0] if found else None,
            "item_id": item_id,
            "detail": detail,
            "leads": page.leads(found[0]) if page.leads is not None and found else (),
            "notes": notes,
            "acts": acts if found else (),
            "colleagues": await colleagues_for(acts, request, found),
            "digests": {each.name: digest_of(each.name, [item_id], money_of(found)) for each in acts if found},
            "money": ",".join(money_of(found)),
            "keys": {each.name: new_id("opa") for each in acts},
            "evidence_path": page.evidence(item_id) if page.evidence and request.viewer.may("raw_evidence") else None,
            "evidence_key": new_id("opa"),
            "may_note": request.viewer.may("act"),
            "note_key": new_id("opa"),
            "w": Words(request.runtime.clock.now()),
        },
    )


async def export(page: WorkPage, request: PageRequest) -> Answer:
    """The filtered list as a file."""
    which, book, after = work_filter(request), reads(request), None
    rows: list[WorkItem] = []
    while len(rows) < EXPORT_ROWS:
        found = await book.page(page.work, which, after, min(_EXPORT_PAGE, EXPORT_ROWS - len(rows)))
        rows += found
        if len(found) < _EXPORT_PAGE:
            break
        after = (found[-1].place, found[-1].item_id)
    header = (
        "id",
        "merchant",
        "payment",
        "provider",
        page.kind,
        "state",
        "says",
        "owner",
        "since",
        "amount",
        "currency",
    )
    lines: list[Sequence[object]] = [_csv_row(each) for each in rows]
    if len(rows) == EXPORT_ROWS:
        lines.append((f"cut after {EXPORT_ROWS} rows: filter the list", *[""] * (len(header) - 1)))
    return download(page.name, header, lines)


async def save_filter(page: WorkPage, request: PageRequest) -> Answer:
    """Keep, or forget, a filter under a name of the viewer's own."""
    trends, form, who = request.runtime.stores.trends, request.form, request.viewer.operator_id
    name, query = form.get("name")[:VALUE_CHARS], form.get("query")[:2_000]
    if form.get("forget"):
        await trends.forget_filter(who, page.name, form.get("forget"))
        return Redirect(page.path)
    if not name:
        raise Refused(400, "A filter needs a name.")
    await trends.save_filter(who, page.name, SavedFilter(name=name, query=query))
    return Redirect(f"{page.path}?{query}" if query else page.path)


def digest_of(act: str, ids: Sequence[str], money: Sequence[str]) -> str:
    """What was previewed: the act and the rows with their money, in any order."""
    rows = sorted(f"{item_id} {amount}" for item_id, amount in zip(ids, money, strict=True))
    return hashlib.sha256("\n".join((act, *rows)).encode()).hexdigest()


def money_of(rows: Sequence[WorkItem]) -> list[str]:
    """How much an act on each row moves, as it was shown, in minor units: ``1250 EUR``, or nothing where it is not
    known."""
    moves = [each.amount if each.moves is None else each.moves for each in rows]
    return [
        "" if amount is None or each.currency is None else f"{amount} {each.currency}"
        for each, amount in zip(rows, moves, strict=True)
    ]


def acts_of(page: WorkPage, request: PageRequest) -> list[ListAct]:
    """Those that the viewer may do."""
    return [each for each in page.acts if request.viewer.may(each.right)]


async def colleagues_for(acts: Sequence[ListAct], request: PageRequest, rows: Sequence[WorkItem]) -> list[str]:
    """Operators to whom these rows can be handed on, by name; none where no act asks for one."""
    if not rows or not any(each.of_colleagues for act in acts for each in act.fields):
        return []
    return await colleagues(request.runtime, {each.merchant_id for each in rows})


def _owned_by(asked: Mapping[str, str]) -> list[tuple[str, str, bool]]:
    """(label, filters, whether they are these) of the viewer's rows and of nobody's; the other filters stay."""
    wanted = (("mine", ME), ("nobody's", NOBODY))
    return [(label, urlencode({**asked, "owner": who}), asked.get("owner") == who) for label, who in wanted]


def _csv_row(each: WorkItem) -> Sequence[Any]:
    since = Words.iso(each.since)
    return (
        each.item_id, each.merchant_id, each.payment_id, each.provider, each.kind, each.state, each.says, each.owner,
        since, each.amount, each.currency,
    )  # fmt: skip
