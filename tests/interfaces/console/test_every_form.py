"""Every form of the console, by a table: sent by hand by whoever may not, nothing is done; and the same form does it
when it is sent by somebody who may, so that each refusal is one of who asks and not of what is asked. A form without a
row fails here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

import asyncpg
import httpx
import pytest

from tallystick.access.operator import MONEY_ACTS
from tallystick.flows.operations import operators
from tallystick.interfaces.console import table
from tallystick.interfaces.console.app import SESSION_COOKIE
from tallystick.interfaces.console.forms import token_for
from tallystick.interfaces.console.page import Page
from tallystick.interfaces.console.pages import (
    alerts,
    cases,
    dead_letters,
    in_doubt,
    late_money,
    refused_webhooks,
    settlement_rows,
)
from tallystick.interfaces.console.work_list import WorkPage, digest_of, money_of
from tallystick.kit.ids import new_id
from tallystick.oversight.console import WorkFilter, WorkReads
from tests.support.approvals import AUDITOR
from tests.support.console import InsideConsole, Person
from tests.support.console_record import Here, filled
from tests.support.database import DEEP, NewDatabase
from tests.support.outbox import runtime_for, worker
from tests.support.settlement_days import Acquirer, paid, settled

LISTS: Final[tuple[WorkPage, ...]] = (
    dead_letters.PAGE,
    cases.PAGE,
    in_doubt.PAGE,
    late_money.PAGE,
    alerts.PAGE,
    refused_webhooks.PAGE,
    settlement_rows.PAGE,
)

#: Forms that are about whoever sends them, and that everybody has who may see the page. Whoever adds one says why.
OWN: Final[Mapping[str, str]] = {
    "signing_in": "how one gets a session",
    "signing_in_first": "how one gets a password",
    "sign_out": "ends one's own session",
    **{f"{each.name}_filters": "filters that one keeps are one's own" for each in LISTS},
    **{f"{each.name}_ticked": "leads to a preview, and does nothing" for each in LISTS},
}


#: Forms that are no list's; ``_others`` has the row of each.
OTHERS: Final = frozenset(
    "ask_provider ask_for_erasure evidence evidence_of_event evidence_file note resend pause_provider resume_provider"
    " withdraw_settlement_file operator_add operator_change operator_reset operator_disable deciding".split()
)


#: Those that are sent in every way also where depth is not full.
SOME: Final = frozenset(
    "late-money_do_accept dead-letters_do_discard cases_do_take resend operator_disable deciding".split()
)


class Sent(NamedTuple):
    """A form by hand. ``done``: what stands in the answer to somebody who may; ``rights``: what they need beside their
    role."""

    path: str
    fields: dict[str, str]
    done: str = ""
    status: int = 303


class World(NamedTuple):
    """What the forms are about. ``row``: of a settlement file; ``message``: one that was sent; ``request``: one that
    waits for a second person, and its hash."""

    here: Here
    row: str
    message: str
    request: tuple[str, str]


#: Members of an act's form beside its reason.
_SAID: Final[Mapping[str, Callable[[World], dict[str, str]]]] = {
    "hand-on": lambda _: {"owner": "operator:grace"},
    "resolve": lambda _: {"outcome": "executed", "evidence": "their page", "reference": "ch_by_hand"},
    "match": lambda world: {"subject": world.here.scene.payment_id, "writes_off_difference": "yes"},
}

#: Acts after which a row waits no more have rows of their own, or come last.
_LAST: Final = "replay reprocess accept return match write-off resolve ignore discard close".split()


def _item(page: WorkPage, act: str, world: World) -> str:
    scene = world.here.scene
    letters = {"replay": 1, "discard": 3}
    return {
        "dead-letters": scene.event_ids[letters.get(act, 5)],
        "cases": scene.case_id,
        "in-doubt": scene.in_doubt,
        "late-money": scene.late,
        "alerts": scene.alert_id,
        "refused-webhooks": scene.refused_kind,
        "settlement-rows": world.row,
    }[page.name]


async def _act(page: WorkPage, act: str, world: World) -> Sent:
    item = _item(page, act, world)
    found = await WorkReads(world.here.console.process.runtime.pool).page(page.work, WorkFilter(), None, 1, ids=[item])
    assert len(found) == 1, (page.name, act, "it waits")
    money = money_of(found)
    said = _SAID[act](world) if act in _SAID and any(each.name == act and each.fields for each in page.acts) else {}
    fields = {"ids": item, "money": money[0], "digest": digest_of(act, [item], money), **said}
    return Sent(f"{page.path}/{act}", fields, "1 asked for|1 done", 200)


def _others(world: World) -> dict[str, Sent]:
    """Forms that are no list's."""
    scene = world.here.scene
    payment, event = f"/console/payments/{scene.payment_id}", f"/console/events/{scene.event_ids[5]}"
    endpoint = f"/console/merchants/{scene.merchant_id}/endpoints/{scene.endpoint_id}"
    request, seen = world.request
    role = {"operator": "kim", "role": "viewer"}
    return {
        "ask_provider": Sent(f"{payment}/ask", {}, "What the provider says now", 200),
        "ask_for_erasure": Sent("/console/erasures", {"payment": scene.payment_id}),
        "evidence": Sent(f"{payment}/evidence", {}, "That you read this is recorded", 200),
        "evidence_of_event": Sent(f"{event}/evidence", {}, "That you read this is recorded", 200),
        "evidence_file": Sent(f"{event}/evidence/dlv_none", {}, "no such bytes", 404),
        "note": Sent("/console/notes", {"target": scene.payment_id, "back": payment}),
        "resend": Sent(f"{endpoint}/resend", {"message_id": world.message}),
        "pause_provider": Sent("/console/providers/pause", {"account": "simulator/main", "seconds": "3600"}),
        "resume_provider": Sent("/console/providers/resume", {"account": "simulator/main"}),
        "withdraw_settlement_file": Sent(f"/console/settlement-files/{world.row.partition('/')[0]}/withdraw", {}),
        "operator_add": Sent("/console/operators", role, "First sign-in of kim", 200),
        "operator_reset": Sent("/console/operators/first/reset", {}, "First sign-in of first", 200),
        "operator_change": Sent("/console/operators/first/change", {"role": "viewer"}),
        "operator_disable": Sent("/console/operators/second/disable", {}),
        "deciding": Sent(f"/console/approvals/{request}", {"word": "approve", "seen": seen}),
    }


async def _world(here: Here, where: Path) -> World:
    """The scene, a settlement row, a message that was sent, and people in the record."""
    runtime = here.console.process.runtime
    file = Acquirer()
    file.of(await paid(runtime, here.scene.merchant_id), "charge", 999)
    file_id, _, _ = await settled(runtime, file.text(), where)
    async with runtime_for(here.database) as sending, worker(sending) as delivery:
        assert await delivery.dispatch()
    message = await runtime.pool.fetchval("SELECT message_id FROM message_delivery ORDER BY dispatched_at LIMIT 1")
    await here.console.invite("operator", "admin", operator_id="grace", invitation="grace")
    for name in ("first", "second"):  # places that need no second person
        await operators.add(runtime, name, AUDITOR, actor="shell:root@host", reason="begin")
    asked = await operators.add(runtime, "new", AUDITOR, actor="operator:grace", reason="joined")
    assert asked.request is not None
    return World(here, f"{file_id}/1", message, (asked.request.request_id, asked.request.shown_hash.hex()))


class People(NamedTuple):
    """Who sends forms. ``may``: everything. ``limited``: everything, of another merchant. ``viewer``: nothing but look.
    ``long_ago``: as ``may``, who signed in long ago."""

    may: Person
    limited: Person
    viewer: Person
    long_ago: Person


async def _people(console: InsideConsole) -> People:
    roles: Any = ("operator", "auditor", "admin")
    long_ago = datetime.now(UTC) - timedelta(milliseconds=console.process.runtime.settings.console_fresh_ms + 60_000)
    for name, merchants in (("ada", None), ("eve", ["other"])):
        await console.invite(*roles, operator_id=name, invitation=name, merchants=merchants)
    return People(
        may=console.person(*roles, operator_id="ada", raw_evidence=True),
        limited=console.person(*roles, operator_id="eve", merchants=["other"], raw_evidence=True),
        viewer=console.person("viewer", operator_id="victor"),
        long_ago=console.person(*roles, operator_id="ada", raw_evidence=True, signed_in_at=long_ago),
    )


async def _send(person: Person, sent: Sent, *, token_of: str | None = None, **headers: str) -> httpx.Response:
    session = person.http.cookies[SESSION_COOKIE]
    fields = {"form_token": token_for(session, token_of or sent.path), "key": new_id("opa"), "reason": "by hand"}
    return await person.http.post(sent.path, data={**fields, **sent.fields}, headers=headers)


#: All that a form of the console can change, each with what says that it was.
_CHANGED: Final = """
    SELECT (SELECT count(*) FROM operator_act), (SELECT count(*) FROM approval_request),
           (SELECT count(*) FROM approval_decision), (SELECT count(*) FROM operator_version),
           (SELECT count(*) FROM operator_credential), (SELECT count(*) FROM operator_pause),
           (SELECT count(*) FROM work_owner), (SELECT count(*) FROM transition)
"""


async def _refused(connection: asyncpg.Connection, page: Page, sent: Sent, people: People) -> None:
    """By whoever is limited to another merchant; and of some forms, at full depth of all, by who else may not, and from
    elsewhere: these are refused before any form is looked at, and by role in ``test_pages``. Nothing was written."""
    before = await connection.fetchrow(_CHANGED)
    limited = await _send(people.limited, sent)
    assert limited.status_code in (403, 404) or (
        limited.status_code == 200 and "1 refused" in limited.text and "does not wait here" in limited.text
    ), (page.name, limited.status_code, limited.text)
    assert not page.platform or limited.status_code == 403, page.name
    if DEEP or page.name in SOME:
        assert (await _send(people.viewer, sent)).status_code == 403, page.name
        assert (await _send(people.may, sent, token_of="/console/notes/x")).status_code == 400, page.name
        assert (await _send(people.may, sent, origin="https://evil.example")).status_code == 400, page.name
        if page.fresh:  # others are done by whoever signed in long ago too
            late = await _send(people.long_ago, sent)
            assert late.status_code == 403 and "recent sign-in" in late.text, page.name
    assert await connection.fetchrow(_CHANGED) == before, (page.name, "nothing was done")


def test_every_form_has_a_row() -> None:
    forms = {page.name for page in table.PAGES if page.method == "POST"}
    of_lists = {f"{page.name}_do_{act.name}" for page in LISTS for act in page.acts}
    assert forms == OWN.keys() | of_lists | OTHERS


def test_what_moves_money_or_gives_rights_needs_a_recent_sign_in() -> None:
    forms = {page.name: page for page in table.PAGES if page.method == "POST"}
    assert {name for name, page in forms.items() if page.right in ("money", "approve", "manage")} == {
        name for name, page in forms.items() if page.fresh
    } - {"ask_for_erasure"}, "what cannot be undone needs one too"
    of_money = {act.act for page in LISTS for act in page.acts if act.right == "money"}
    assert of_money == MONEY_ACTS - {"dispute.state_amount", "settlement_file.withdraw"}, (
        "the same acts on the command line"
    )


@pytest.mark.timeout(600)  # some hundred requests and as many looks at the record, on a machine that others use too
async def test_a_form_by_hand_does_nothing_for_whoever_may_not(new_database: NewDatabase, tmp_path: Path) -> None:
    async with filled(new_database, dead=6, second_person_above="EUR=1") as here:
        people = await _people(here.console)
        world = await _world(here, tmp_path)
        pages = {page.name: page for page in table.PAGES}
        connection = await asyncpg.connect(here.database.owner_url)
        try:
            for listed in LISTS:
                for act in sorted(listed.acts, key=lambda each: _LAST.index(each.name) if each.name in _LAST else -1):
                    page, sent = pages[f"{listed.name}_do_{act.name}"], await _act(listed, act.name, world)
                    await _refused(connection, page, sent, people)
                    await _done(page, sent, people)
            others = _others(world)
            assert others.keys() == OTHERS
            for name, sent in others.items():
                await _refused(connection, pages[name], sent, people)
                await _done(pages[name], sent, people)
        finally:
            await connection.close()


async def _done(page: Page, sent: Sent, people: People) -> None:
    """The very same form, by somebody who may."""
    answer = await _send(people.may, sent)
    assert answer.status_code == sent.status, (page.name, answer.status_code, answer.text)
    assert any(each in answer.text for each in sent.done.split("|")), (page.name, answer.text)
