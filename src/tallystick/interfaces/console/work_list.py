"""One shape for every list of work: filters that stand in the address, one row, acts on one, on some, and on everything
that the filters select. A list is a declaration; its pages are made here."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal
from urllib.parse import urlencode

from msgspec import Struct
from msgspec.structs import replace

from tallystick.access.roles import Right
from tallystick.domain.operator_act import ActName, AskedAct, OperatorAct
from tallystick.flows.runtime import Runtime
from tallystick.interfaces.console.csv_export import download
from tallystick.interfaces.console.forms import Form
from tallystick.interfaces.console.page import ROOT, Answer, Group, PageRequest, Redirect, Refused, View
from tallystick.interfaces.console.words import Words
from tallystick.kit.ids import new_id
from tallystick.oversight.console import OWNED_LISTS, SavedFilter, WorkFilter, WorkItem, WorkList, WorkReads

#: Rows of one page: as many as a person reads.
PAGE_ROWS: Final = 50

#: Rows of one CSV file; the file's last line says so where there are more.
EXPORT_ROWS: Final = 20_000

#: Rows read at a time for a file.
_EXPORT_PAGE: Final = 2_000

#: Characters of a filter's value and of a filter's name.
_VALUE_CHARS: Final = 200

#: Notes and acts that are shown beside one row.
NOTES: Final = 50

#: The filters of every list, in the order of the form.
_FILTERS: Final = ("merchant", "provider", "kind", "own", "owner")

Do = Callable[[Runtime, AskedAct, Mapping[str, str]], Awaitable[OperatorAct]]


class Field(Struct, frozen=True, kw_only=True):
    """What an act asks for beside its reason. ``choices``: (value, label); none is a text. ``required``: of a text."""

    name: str
    label: str
    choices: tuple[tuple[str, str], ...] = ()
    required: bool = True


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
    by its id. ``id_in_path``: path, where ids have a slash."""

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

    @property
    def owner_filter(self) -> Literal["own", "owner"] | None:
        """Which filter asks for an owner: a case has its own in its row. None: it cannot be asked for."""
        if self.own == "owner":
            return "own"
        return "owner" if self.work in OWNED_LISTS else None

    @property
    def path(self) -> str:
        """Of the list; the others are below it."""
        return f"{ROOT}/{self.name}"


def work_filter(request: PageRequest) -> WorkFilter:
    """The filters of an address, within what the viewer may see."""
    named = {name: request.query.get(name, "").strip()[:_VALUE_CHARS] or None for name in _FILTERS}
    for name in ("own", "owner"):
        if request.query.get(name) == "" and "nobody" in request.query:
            named[name] = ""
    return WorkFilter(merchants=request.viewer.merchants, **named)


def query_of(which: WorkFilter, **more: str) -> str:
    """Filters as they stand in an address; what is not set is left out."""
    named = {name: value for name in _FILTERS if (value := getattr(which, name)) is not None}
    return urlencode({**named, **({"nobody": "1"} if "" in (which.own, which.owner) else {}), **more})


def reads(request: PageRequest) -> WorkReads:
    """The lists of this process's record."""
    return WorkReads(request.runtime.pool)


async def list_page(page: WorkPage, request: PageRequest) -> Answer:
    """A page of rows, with what there is of all of them."""
    which, after = work_filter(request), _place(request.query.get("after"))
    book, trends = reads(request), request.runtime.stores.trends
    rows = await book.page(page.work, which, after, PAGE_ROWS + 1)
    more, shown = rows[PAGE_ROWS:], rows[:PAGE_ROWS]
    following = f"{page.path}?{query_of(which, after=_after(shown[-1]))}" if more else None
    return View(
        template="list.html",
        context={
            "page": page,
            "rows": shown,
            "totals": await book.totals(page.work, which),
            "which": which,
            "filtered": any(getattr(which, name) is not None for name in _FILTERS),
            "query": query_of(which),
            "following": following,
            "begun": after is not None,
            "owned_by": _owned_by(page, which, request),
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
            "digests": {each.name: digest_of(each.name, [item_id]) for each in acts},
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
    name, query = form.get("name")[:_VALUE_CHARS], form.get("query")[:2_000]
    if form.get("forget"):
        await trends.forget_filter(who, page.name, form.get("forget"))
        return Redirect(page.path)
    if not name:
        raise Refused(400, "A filter needs a name.")
    await trends.save_filter(who, page.name, SavedFilter(name=name, query=query))
    return Redirect(f"{page.path}?{query}" if query else page.path)


def digest_of(act: str, ids: Sequence[str]) -> str:
    """What was previewed: the act and the rows, in any order."""
    return hashlib.sha256("\n".join((act, *sorted(ids))).encode()).hexdigest()


def acts_of(page: WorkPage, request: PageRequest) -> list[ListAct]:
    """Those that the viewer may do."""
    return [each for each in page.acts if request.viewer.may(each.right)]


def _owned_by(page: WorkPage, which: WorkFilter, request: PageRequest) -> list[tuple[str, str, bool]]:
    """(label, filters, whether they are these) of the viewer's rows and of nobody's; the other filters stay."""
    if page.owner_filter is None:
        return []
    wanted = (("mine", request.viewer.actor), ("nobody's", ""))
    now = getattr(which, page.owner_filter)
    return [(label, query_of(replace(which, **{page.owner_filter: who})), now == who) for label, who in wanted]


def _after(item: WorkItem) -> str:
    return f"{item.place.isoformat()}~{item.item_id}"


def _place(text: str | None) -> tuple[datetime, str] | None:
    """A place in a list. Raises Refused."""
    if not text:
        return None
    moment, _, item_id = text.partition("~")
    try:
        place = datetime.fromisoformat(moment)
    except ValueError:
        raise Refused(400, "The address names no place in this list.") from None
    if place.tzinfo is None:
        raise Refused(400, "The address names no place in this list.")
    return place, item_id


def _csv_row(each: WorkItem) -> Sequence[Any]:
    since = Words.iso(each.since)
    return (
        each.item_id, each.merchant_id, each.payment_id, each.provider, each.kind, each.state, each.says, each.owner,
        since, each.amount, each.currency,
    )  # fmt: skip
