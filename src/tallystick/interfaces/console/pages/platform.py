"""The platform itself: what operators did, settings, and which merchants hold what of an account."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Final
from urllib.parse import urlencode

from tallystick.domain.operator_act import ACT_NAMES, OperatorAct
from tallystick.interfaces.console.page import ROOT, Answer, Page, PageRequest, View
from tallystick.interfaces.console.place import id_in, page_at
from tallystick.interfaces.console.tables import Cell, Section
from tallystick.interfaces.console.words import Words, at, bounded, money
from tallystick.oversight.audit.heads import group_name
from tallystick.oversight.audit.reads import how_far
from tallystick.oversight.console import holders_of
from tallystick.providers.registry import CONNECTOR_SETTINGS
from tallystick.settings.load import describe_settings, secret_names

#: Rows of one page.
_ROWS: Final = 50

#: Merchants of one account: those furthest from zero.
_HOLDERS: Final = 200

_PREFIX: Final = "TALLYSTICK_"


async def acts(request: PageRequest) -> Answer:
    """What people did, the newest first; one act, where the address names it."""
    query = {name: request.query.get(name, "").strip() for name in ("operator", "act", "target")}
    before = id_in(request.query.get("before"), "opa")
    named = {name: value or None for name, value in query.items()}
    one = request.query.get("act_id", "").strip()
    if one:
        act = await request.runtime.stores.acts.by_id(one)
        found: Sequence[OperatorAct] = [] if act is None else [act]
    else:
        found = await request.runtime.stores.acts.page(before, _ROWS + 1, **named)
    shown = found[:_ROWS]
    kept = {name: value for name, value in query.items() if value}
    following = page_at(f"{ROOT}/acts", "before", shown[-1].act_id, kept) if len(found) > _ROWS else ""
    section = Section(
        title="Acts"
        if not kept
        else f"Acts by {', '.join(f'{name} {bounded(value, 80)}' for name, value in kept.items())}",
        header=("At (UTC)", "Who", "What", "To what", "Why"),
        rows=[
            (
                Cell(at(each.at)),
                Cell(bounded(each.operator, 80), f"{ROOT}/acts?{urlencode({'operator': each.operator})}"),
                Cell(each.act, f"{ROOT}/acts?{urlencode({'act': each.act})}"),
                Cell(bounded(each.target, 80), f"{ROOT}/find?{urlencode({'q': each.payment_id or each.target})}", "id"),
                Cell(bounded(each.reason, 500)),
            )
            for each in shown
        ],
        empty="Nobody has done anything" + (" that matches." if kept else " yet."),
        says=f"Recorded with their effects, and never changed. There are {len(ACT_NAMES)} kinds.",
    )
    return _tables(request, [section], next_page=following)


async def settings(request: PageRequest) -> Answer:
    """What this process is configured with. A secret shows whether it is set, and nothing of itself."""
    secrets, own = secret_names(CONNECTOR_SETTINGS), request.runtime.settings
    sections = []
    for group, of_group in groupby(describe_settings(CONNECTOR_SETTINGS), key=lambda each: each.group):
        rows = []
        for each in of_group:
            attribute = each.variable.removeprefix(_PREFIX).lower()
            if not hasattr(own, attribute):
                value = Cell("of the connector", kind="quiet")
            elif attribute in secrets or each.variable in secrets:
                value = Cell("set" if getattr(own, attribute) else "not set", kind="quiet")
            else:
                value = Cell(bounded(str(getattr(own, attribute)), 120))
            rows.append((Cell(each.variable, kind="id"), value, Cell(each.default or "-"), Cell(bounded(each.reason))))
        sections.append(Section(title=group, header=("Setting", "Here", "Default", "Why"), rows=rows, empty=""))
    lead = "What the console's process was started with. Settings are changed where the processes are started."
    return _tables(request, sections, lead=lead)


async def sealing(request: PageRequest) -> Answer:
    """How far the record is sealed, and what was declared about it."""
    found = await how_far(request.runtime.pool)
    trees = Section(
        title="Trees",
        header=("Tree", "Head", "Leaves"),
        rows=[
            (
                Cell(group_name(each.group)),
                Cell(str(each.sequence), kind="number"),
                Cell(f"{each.size:,}", kind="number"),
            )
            for each in found.groups
        ],
        empty="Nothing is sealed.",
        says=f"Checkpoint {found.checkpoint}, made at {found.sealed_at}." if found.sealed_at else "",
    )
    declared = Section(
        title="Declared",
        header=("What", "As it is signed"),
        rows=[
            *((Cell("a restore"), Cell(bounded(each, 2_000))) for each in found.restores),
            *((Cell("another key"), Cell(bounded(each, 2_000))) for each in found.rotations),
        ],
        empty="No restore, and no other key.",
    )
    lead = "`tallystick audit verify --heads` compares the record with what is kept elsewhere; this page does not."
    return _tables(request, [trees, declared], lead=lead)


async def account(request: PageRequest) -> Answer:
    """Which merchants hold what of one account."""
    name, currency = request.query.get("account", "")[:100], request.query.get("currency", "")[:3]
    held = await holders_of(request.runtime.pool, name, currency, _HOLDERS)
    provider = name.partition(":")[2]
    behind = {
        "refunds_in_flight": f"{ROOT}/in-doubt?{urlencode({'provider': provider, 'kind': 'refund'})}",
        "suspense": f"{ROOT}/late-money?{urlencode({'provider': provider, 'own': currency})}",
    }.get(name.partition(":")[0], "")
    section = Section(
        title=f"{name} in {currency}" if name else "No account is named",
        header=("Merchant", "Debits", "Credits", "Net"),
        rows=[
            (
                Cell(each.merchant_id, behind and f"{behind}&{urlencode({'merchant': each.merchant_id})}"),
                Cell(money(each.debits, currency), kind="number"),
                Cell(money(each.credits, currency), kind="number"),
                Cell(money(each.net, currency), kind="number"),
            )
            for each in held
        ],
        empty="No merchant's part of it is away from zero.",
        says=f"The {_HOLDERS} furthest from zero." if len(held) == _HOLDERS else "",
    )
    return _tables(request, [section])


def _tables(request: PageRequest, sections: list[Section], **more: object) -> View:
    words = Words(request.runtime.clock.now())
    return View(template="tables.html", context={"lead": "", "sections": sections, "w": words, **more})


PAGES: Final = (
    Page(name="acts", path=f"{ROOT}/acts", handle=acts, right="read", title="Acts", group="Platform", platform=True),
    Page(
        name="settings",
        path=f"{ROOT}/settings",
        handle=settings,
        right="audit",
        title="Settings",
        group="Platform",
        platform=True,
    ),
    Page(
        name="sealing",
        path=f"{ROOT}/sealing",
        handle=sealing,
        right="audit",
        title="Sealing",
        group="Platform",
        platform=True,
    ),
    Page(name="account", path=f"{ROOT}/accounts", handle=account, right="read", title="Account", platform=True),
)
