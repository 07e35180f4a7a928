"""Operators in the console: who may see and manage them, what waits for a second person, and what is done at once."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from tallystick.access.accounts import Granted, OperatorVersion
from tallystick.flows.operations import operators
from tests.support.console import InsideConsole, Person, inside_console, token_on
from tests.support.database import NewDatabase
from tests.support.runtime import BookedProvider

PAGE = "/console/operators"

HOSTILE = "<script>alert(1)</script>"


@asynccontextmanager
async def staffed(new_database: NewDatabase) -> AsyncIterator[tuple[InsideConsole, Person, Person]]:
    """After the first two operators: ada and bob, who manage."""
    async with inside_console(new_database(), BookedProvider()) as console:
        for name in ("first", "second"):
            granted = Granted(roles=["auditor"])
            await operators.add(console.process.runtime, name, granted, actor="shell:root@host", reason="begin")
        ada, bob = [await console.signed_in("admin", operator_id=name) for name in ("ada", "bob")]
        yield console, ada, bob


async def now(console: InsideConsole, name: str) -> OperatorVersion | None:
    return await console.process.runtime.stores.accounts.find(name)


async def approve(console: InsideConsole, person: Person) -> httpx.Response:
    """Their word on the newest request."""
    [newest, *_] = await console.process.runtime.stores.approvals.page(None, 1)
    page = f"/console/approvals/{newest.request_id}"
    seen = {"seen": newest.shown_hash.hex(), "reason": "talked to them", "word": "approve"}
    return await person.send(page, page, **seen)


async def test_who_is_added_waits_for_a_second_person(new_database: NewDatabase) -> None:
    async with staffed(new_database) as (console, ada, bob):
        fields: dict[str, Any] = {"operator": "Eve", "role": ["operator", "viewer"], "reason": HOSTILE}
        shown = await ada.send(PAGE, PAGE, **fields, merchants="shop, other", raw_evidence="yes")
        assert shown.status_code == 200 and "a second person decides" in shown.text
        secret = re.search(r'<code class="id">([\w-]{32})</code>', shown.text)
        assert secret is not None and await now(console, "eve") is None
        page = re.search(r'href="(/console/approvals/[^"]+)"', shown.text.partition("opens nothing yet")[2])
        assert page is not None and "somebody else decides" in (await ada.see(page[1])).text
        assert (await approve(console, bob)).status_code == 303
        eve = await now(console, "eve")
        assert eve is not None and (set(eve.roles), eve.raw_evidence) == ({"viewer", "operator"}, True)
        assert set(eve.merchants or ()) == {"shop", "other"}
        review = (await bob.see(f"{PAGE}/eve")).text
        assert "operator:ada" in review and "operator:bob" in review
        acts = (await bob.see("/console/acts")).text
        assert HOSTILE not in acts and secret[1] not in acts + review
        assert "there is an operator eve already" in (await ada.send(PAGE, PAGE, **fields)).text


async def test_more_rights_wait_and_fewer_do_not(new_database: NewDatabase) -> None:
    async with staffed(new_database) as (console, ada, bob):
        await console.signed_in("viewer", "auditor", operator_id="eve")
        page = f"{PAGE}/eve"
        fewer = await ada.send(page, f"{page}/change", role="viewer", reason="moved on")
        less = await now(console, "eve")
        assert (fewer.headers["location"], list(less.roles) if less else None) == (page, ["viewer"])
        more = await ada.send(page, f"{page}/change", role=["viewer", "operator"], reason="on call")
        assert more.headers["location"].startswith("/console/approvals/")
        waits = await now(console, "eve")
        assert waits is not None and list(waits.roles) == ["viewer"]
        await approve(console, bob)
        has = await now(console, "eve")
        assert has is not None and set(has.roles) == {"viewer", "operator"}
        for wrong in ({}, {"role": "root"}):
            assert (await ada.send(page, f"{page}/change", reason="x", **wrong)).status_code == 400
        assert (await ada.send(page, f"{page}/change", role="viewer", reason=" ")).status_code == 409


async def test_a_reset_waits_and_an_end_does_not(new_database: NewDatabase) -> None:
    async with staffed(new_database) as (console, ada, bob):
        eve = await console.signed_in("viewer", operator_id="eve")
        page = f"{PAGE}/eve"
        asked = await ada.send(page, f"{page}/reset", reason="lost the telephone")
        assert "a second person decides" in asked.text and (await eve.see("/console")).status_code == 200
        await approve(console, bob)
        assert (await eve.see("/console")).status_code == 303, "her session is over"
        joe = await console.signed_in("viewer", operator_id="joe")
        gone = await ada.send(f"{PAGE}/joe", f"{PAGE}/joe/disable", reason="left")
        assert gone.status_code == 303 and (await joe.see("/console")).status_code == 303
        after = await bob.see(f"{PAGE}/joe")
        assert "disabled" in after.text and "Reset sign-in" not in after.text


async def test_managing_is_admins_with_a_recent_sign_in(new_database: NewDatabase) -> None:
    async with staffed(new_database) as (console, ada, _):
        auditor = await console.signed_in("auditor", operator_id="eve")
        listed = (await auditor.see(PAGE)).text
        assert "bob" in listed and "Add an operator" not in listed
        assert "Disable" not in (await auditor.see(f"{PAGE}/bob")).text
        for path in (PAGE, f"{PAGE}/bob/change", f"{PAGE}/bob/disable", f"{PAGE}/bob/reset"):
            assert (await auditor.http.post(path)).status_code == 403, path
        limited = await console.signed_in("admin", operator_id="joe", merchants=["shop"])
        assert (await limited.see(PAGE)).status_code == 403
        action = f"{PAGE}/bob/disable"
        token = token_on((await ada.see(f"{PAGE}/bob")).text, action)
        runtime = console.process.runtime
        runtime.clock.shift_ms = runtime.settings.console_fresh_ms + 1_000
        late = await ada.http.post(action, data={"form_token": token, "reason": "left"})
        assert (late.status_code, "recent sign-in" in late.text) == (403, True)
        runtime.clock.shift_ms = 0
        bob = await now(console, "bob")
        assert bob is not None and bob.state == "active"
        assert (await ada.see(f"{PAGE}/nobody")).status_code == 404
