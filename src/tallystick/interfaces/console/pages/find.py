"""Find whatever has a name: the same names as ``tallystick trace`` takes, and what stands for no payment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote, urlencode

from msgspec import Struct

from tallystick.access.roles import Right
from tallystick.interfaces.console.names import named_things, payments_named
from tallystick.interfaces.console.page import ROOT, Answer, Page, PageRequest, Redirect, View
from tallystick.interfaces.console.words import Words, bounded
from tallystick.kit.ids import is_id
from tallystick.oversight.console import FoundPayment, Named, NamedKind

#: Longer than every name that the record has.
_NAME_CHARS: Final = 300

#: Where each kind of thing has its page, below the console.
_PAGES: Final[Mapping[NamedKind, str]] = {
    "merchant": "merchants/{id}",
    "API key": "merchants/{merchant}",
    "endpoint": "merchants/{merchant}/endpoints/{id}",
    "case": "cases/rows/{id}",
    "event": "dead-letters/rows/{id}",
    "delivery": "dead-letters/rows/{id}",
    "alert": "alerts/rows/{id}",
    "operator": "operators/{id}",
    "act": "acts?act_id={id}",
    "approval": "approvals/{id}",
    "settlement file": "settlement-files/{id}",
    "batch": "settlement-files/{id}",
}

#: Pages that need more than to read.
_RIGHTS: Final[Mapping[NamedKind, Right]] = {"operator": "audit", "approval": "approve"}


class FoundThing(Struct, frozen=True, kw_only=True):
    """What has the name and is no payment, and where it stands."""

    kind: str
    item_id: str
    says: str
    href: str


async def find(request: PageRequest) -> Answer:
    """The only thing of that name is shown at once; several are listed."""
    name = request.query.get("q", "").strip()[:_NAME_CHARS]
    found: list[FoundPayment] = []
    things: list[FoundThing] = []
    if name:
        found = await payments_named(request, name)
        if not found:
            things = await _things(request, name)
        if len(found) + len(things) == 1:
            return Redirect(f"{ROOT}/payments/{found[0].payment_id}" if found else things[0].href)
    context = {"q": name, "found": found, "things": things, "w": Words(request.runtime.clock.now())}
    return View(template="find.html", context=context, status=200)


async def _things(request: PageRequest, name: str) -> list[FoundThing]:
    """A row of a settlement file is named as the file and its position, ``stl_…/17``; what waits by its id alone."""
    file_id, _, position = name.partition("/")
    if position.isdecimal() and is_id("stl", file_id):
        rows = [each for each in await named_things(request, file_id) if each.kind == "settlement file"]
        after = urlencode({"after": max(0, int(position[:9]) - 1)})
        return [_thing(each, f"{_href(each)}?{after}", f"row {int(position[:9])}") for each in rows]
    found = [each for each in await named_things(request, name) if request.viewer.may(_RIGHTS.get(each.kind, "read"))]
    if not found and is_id("att", name):
        return [FoundThing(kind="attempt", item_id=name, says="", href=f"{ROOT}/in-doubt/rows/{name}")]
    by_href = {(href := _href(each)): _thing(each, href, each.says) for each in found}
    return list(by_href.values())


def _thing(each: Named, href: str, says: str) -> FoundThing:
    return FoundThing(kind=each.kind, item_id=each.item_id, says=bounded(says, 120), href=href)


def _href(each: Named) -> str:
    if each.payment_id is not None:
        return f"{ROOT}/payments/{each.payment_id}"
    merchant = quote(each.merchant_id or "", safe="")
    return f"{ROOT}/" + _PAGES[each.kind].format(id=quote(each.item_id, safe=""), merchant=merchant)


PAGES: Final = (Page(name="find", path=f"{ROOT}/find", handle=find, right="read", title="Find", group="Find"),)
