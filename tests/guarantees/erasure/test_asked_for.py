"""Erasures asked for over HTTP and at the console: by whom, of whom, and nothing before other people approved it."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from tallystick.access.roles import Role
from tallystick.domain.operator_act import ActKeyReused
from tallystick.flows.compliance.approvable import ask_second_person, done_for
from tallystick.flows.operations.acts import annotate, asked_act
from tallystick.kit.ids import new_id
from tests.support.api import assert_problem, desk_of
from tests.support.console import Person, token_on
from tests.support.database import NewDatabase
from tests.support.erased_records import Filled, a_record, key_of

PATH = "/v1/erasures"

PAGE = "/console/erasures"

NOTES = "/v1/acts"

NOTE = "/console/notes"


async def _people(filled: Filled) -> dict[str, Person]:
    """Two who may approve, one of them limited to the merchant; one who is limited to another; and one who reads."""
    console = filled.world.console
    limited: dict[str, tuple[Role, list[str] | None]] = {
        "ada": ("operator", None),
        "bob": ("operator", [filled.merchant]),
        "eve": ("operator", ["another"]),
        "joe": ("viewer", None),
    }
    for name, (role, merchants) in limited.items():
        await console.invite(role, operator_id=name, invitation=name, merchants=merchants)
    return {
        name: console.person(role, operator_id=name, merchants=merchants) for name, (role, merchants) in limited.items()
    }


async def _approve(person: Person, request_id: str) -> int:
    path = f"/console/approvals/{request_id}"
    shown = (await person.see(path)).text
    seen = shown.partition('name="seen" value="')[2].partition('"')[0]
    if not seen:
        return (await person.see(path)).status_code
    fields = {"form_token": token_on(shown, path), "seen": seen, "word": "approve", "reason": "so be it"}
    return (await person.http.post(path, data=fields)).status_code


async def test_a_key_asks_and_two_people_approve(new_database: NewDatabase, fresh_merchant: str) -> None:
    async with a_record(new_database, fresh_merchant) as filled:
        desk = await desk_of(filled.api, filled.database)
        wanted, key = {"payment_id": filled.payment, "reason": "the payer asked for it"}, new_id("req")
        alone = assert_problem(await desk.post(PATH, wanted, key), 409, "approval_needed")
        assert "2 other people" in alone["detail"], "nobody is there who could approve"
        people = await _people(filled)
        asked = (await desk.post(PATH, wanted, key)).json()
        assert (asked["state"], asked["merchant_id"], asked["payment_id"]) == (
            "waiting",
            fresh_merchant,
            filled.payment,
        )
        assert (asked["approvals_needed"], asked["approved_by"]) == (2, [])
        assert (await desk.post(PATH, wanted, key)).json() == asked, "it is asked for once"
        assert_problem(await desk.post(PATH, wanted | {"reason": "another"}, key), 422, "idempotency_key_reused")
        assert_problem(await desk.post(PATH, wanted, key=None), 400, "idempotency_key_missing")
        assert_problem(await desk.post(PATH, wanted | {"payment_id": new_id("pay")}), 404, "not_found")
        assert_problem(await desk.post(PATH, {"merchant_id": "nobody", "reason": "r"}), 404, "not_found")
        for wrong in ({"reason": "r"}, wanted | {"merchant_id": fresh_merchant}, wanted | {"reason": " "}):
            assert_problem(await desk.post(PATH, wrong), 422, "validation_failed")
        assert (await desk.get(f"{PATH}/{asked['id']}")).json() == asked
        assert_problem(await desk.get(f"{PATH}/{new_id('apr')}"), 404, "not_found")

        assert await _approve(people["eve"], asked["id"]) == 404, "it is not about a merchant of hers"
        assert await _approve(people["joe"], asked["id"]) == 403
        assert await _approve(people["ada"], asked["id"]) == 303
        assert await key_of(filled) is not None, "one person alone erases nothing"
        assert (await desk.get(f"{PATH}/{asked['id']}")).json()["approved_by"] == ["operator:ada"]
        assert await _approve(people["bob"], asked["id"]) == 303
        assert await key_of(filled) is None
        done = (await desk.post(PATH, wanted, key)).json()
        assert (done["state"], done["payments"], done["events"]) == ("erased", 1, 1)
        assert sorted(done["approved_by"]) == ["operator:ada", "operator:bob"]
        assert None not in (done["ended_at"], done["finished_at"])

        second = (await desk.post(PATH, {"merchant_id": fresh_merchant, "reason": "r"})).json()
        assert (second["state"], second["payment_id"]) == ("waiting", None)
        first_page = (await desk.get(f"{PATH}?limit=1")).json()
        assert ([each["id"] for each in first_page["data"]], first_page["has_more"]) == ([second["id"]], True)
        rest = (await desk.get(f"{PATH}?limit=1&cursor={first_page['next_cursor']}")).json()
        assert ([each["id"] for each in rest["data"]], rest["has_more"]) == ([asked["id"]], False)

        reader = await desk_of(filled.api, filled.database, "erasures:read")
        assert (await reader.get(PATH)).status_code == 200
        assert_problem(await reader.post(PATH, wanted), 403, "scope_missing")
        assert_problem(await filled.api.client.get(PATH), 403, "forbidden")


async def test_people_ask_at_the_console_for_what_they_see(new_database: NewDatabase, fresh_merchant: str) -> None:
    async with a_record(new_database, fresh_merchant) as filled:
        people = await _people(filled)

        async def ask(name: str, page: str = PAGE, **said: Any) -> int:
            return (await people[name].send(page, PAGE, key=new_id("opa"), reason="they asked", **said)).status_code

        assert (
            f"{PAGE}?payment={filled.payment}" in (await people["bob"].see(f"/console/payments/{filled.payment}")).text
        )
        of_merchant = f"/console/merchants/{fresh_merchant}"
        assert await ask("eve", payment=filled.payment) == 404
        assert await ask("eve", merchant=fresh_merchant) == 404
        assert await ask("ada", payment=new_id("pay")) == 404
        assert await ask("ada") == 400
        assert PAGE not in (await people["joe"].see(of_merchant)).text.partition("<main")[2], (
            "who reads asks for nothing"
        )
        assert await ask("bob", f"{PAGE}?payment={filled.payment}", payment=filled.payment) == 303
        assert await ask("ada", of_merchant, merchant=fresh_merchant) == 303
        pool = filled.runtime.pool
        rows = await pool.fetch("SELECT * FROM approval_request ORDER BY requested_at")
        assert [(row["act"], row["requested_by"], row["merchant_id"], row["needed"]) for row in rows] == [
            ("payment.erase", "operator:bob", fresh_merchant, 1),
            ("merchant.erase", "operator:ada", fresh_merchant, 1),
        ]
        of_bob, of_ada = [row["request_id"] for row in rows]
        assert await key_of(filled) is not None
        assert await _approve(people["bob"], of_bob) == 200, "who asked is shown no form"
        assert await _approve(people["bob"], of_ada) == 303
        assert await _approve(people["ada"], of_bob) == 303
        assert await key_of(filled) is None
        for name, sees in (("ada", True), ("bob", True), ("joe", True), ("eve", False)):
            shown = (await people[name].see(PAGE)).text
            assert (filled.payment in shown, f"merchant {fresh_merchant}" in shown) == (sees, sees), name


async def test_a_key_stands_for_an_erasure_or_for_an_act(new_database: NewDatabase, fresh_merchant: str) -> None:
    """Over HTTP, at the console and on the command line, whichever came first."""
    async with a_record(new_database, fresh_merchant) as filled:
        runtime, people = filled.runtime, await _people(filled)
        desk = await desk_of(filled.api, filled.database)
        erasing, noting = {"payment_id": filled.payment, "reason": "why"}, {"target": filled.payment, "reason": "why"}
        asked, noted = new_id("req"), new_id("req")
        assert (await desk.post(PATH, erasing, asked)).status_code == 200
        assert_problem(await desk.post(NOTES, noting, asked), 422, "idempotency_key_reused")
        done = await desk.post(NOTES, noting, noted)
        assert done.status_code == 200
        assert_problem(await desk.post(PATH, erasing, noted), 422, "idempotency_key_reused")
        assert (await desk.post(NOTES, noting, noted)).json() == done.json(), "each is what it was"
        assert (await desk.post(PATH, erasing, asked)).json()["state"] == "waiting"

        form = {"key": new_id("opa"), "reason": "why", "payment": filled.payment}
        assert (await people["ada"].send(PAGE, PAGE, **form)).status_code == 303
        assert (await people["ada"].send_unseen(NOTE, target=filled.payment, **form)).status_code == 400
        note = asked_act("operator:ada", form["key"], "annotate", filled.payment, "why")
        with pytest.raises(ActKeyReused):
            await done_for(runtime, note)  # as the command line asks first
        other = asked_act("operator:ada", new_id("opa"), "annotate", filled.payment, "why")
        await annotate(runtime, other)
        with pytest.raises(ActKeyReused):
            await ask_second_person(runtime, replace(other, act="payment.erase"))
        counted = await runtime.pool.fetchval("SELECT count(*) FROM operator_act WHERE act = 'annotate'")
        assert counted == 2 and await runtime.pool.fetchval("SELECT count(*) FROM approval_request") == 2
