"""Raw evidence is read by who has the right to it, with a reason, and each reading is an act."""

from __future__ import annotations

from typing import Any

from tallystick.interfaces.console.app import SESSION_COOKIE
from tallystick.interfaces.console.forms import token_for
from tests.interfaces.console.test_record_pages import Here, filled, submit
from tests.support.database import NewDatabase


async def readings(here: Here) -> list[tuple[Any, ...]]:
    acts = here.console.process.runtime.stores.acts
    found = await acts.page(None, 50, operator=None, act="evidence.read", target=None)
    return [(each.operator, each.target, each.merchant_id, each.payment_id, each.reason) for each in found]


async def test_each_reading_is_an_act(new_database: NewDatabase) -> None:
    async with filled(new_database) as here:
        payment_id = here.scene.hostile
        path = f"/console/payments/{payment_id}"
        grace = here.console.person("viewer", operator_id="grace", raw_evidence=True)
        shown = (await grace.see(path)).text
        for reason in ("", " ", "w" * 501):
            refused = await submit(grace, shown, f"{path}/evidence", reason=reason)
            assert refused.status_code == 400 and "onerror" not in refused.text
        assert await readings(here) == []
        assert (await submit(grace, shown, f"{path}/evidence", reason="ticket 9")).status_code == 200
        expected = ("operator:grace", payment_id, "shop", payment_id, "ticket 9")
        assert await readings(here) == [expected]
        again = (await grace.see(path)).text
        assert (await submit(grace, again, f"{path}/evidence", reason="ticket 9")).status_code == 200
        assert await readings(here) == [expected, expected], "another reading is another act"


async def test_who_may_not_reads_nothing_and_leaves_no_act(new_database: NewDatabase) -> None:
    async with filled(new_database) as here:
        path = f"/console/payments/{here.scene.hostile}/evidence"
        for person, status in (
            (here.console.person("operator", "admin", "auditor", operator_id="ada"), 403),
            (here.console.person("viewer", operator_id="eve", merchants=["other"], raw_evidence=True), 404),
        ):
            token = token_for(person.http.cookies[SESSION_COOKIE], path)
            answer = await person.http.post(path, data={"reason": "curious", "form_token": token})
            assert answer.status_code == status and "onerror" not in answer.text
        assert (await here.console.stranger().http.post(path, data={"reason": "curious"})).status_code == 401
        assert await readings(here) == []
