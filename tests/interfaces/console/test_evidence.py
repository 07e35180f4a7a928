"""Raw evidence is read by who has the right to it, with a reason, and each reading is an act."""

from __future__ import annotations

from typing import Any

import asyncpg
import msgspec

from tallystick.flows.webhooks.inbound.envelope import sealed_part
from tallystick.interfaces.console.app import SESSION_COOKIE
from tallystick.interfaces.console.forms import token_for
from tallystick.interfaces.console.words import EVIDENCE_CHARS
from tallystick.oversight.trace.payment import trace_of
from tallystick.record.postgres.trace_rows import trace_rows
from tallystick.record.sealing import delivery_row
from tests.support.console_record import Here, filled, submit
from tests.support.console_scene import HOSTILE
from tests.support.database import NewDatabase
from tests.support.inbox import SEALER

#: Words of the answer that no connector reads.
ADVICE = "do_not_try_again"


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


async def test_what_the_provider_answered_is_behind_a_fold_and_a_reason(new_database: NewDatabase) -> None:
    """It is shown to whoever has the right and sees every merchant: an answer may be about another's payment."""
    async with filled(new_database) as here:
        path = f"/console/payments/{here.scene.hostile}"
        grace = here.console.person("viewer", operator_id="grace", raw_evidence=True)
        payment = (await grace.see(path)).text
        assert "answers kept" in payment and "with the raw evidence below" in payment and ADVICE not in payment
        shown = await submit(grace, payment, f"{path}/evidence", reason="ticket 9")
        assert shown.status_code == 200 and "answer to the call (authorize), status 402" in shown.text
        assert ADVICE in shown.text and "&lt;img src=x onerror=alert(1)&gt;" in shown.text and "<img" not in shown.text
        assert "4111" not in shown.text and "quokka" not in shown.text and "set-cookie" not in shown.text
        assert "not in the record as it was kept" not in shown.text
        assert await readings(here) == [("operator:grace", here.scene.hostile, "shop", here.scene.hostile, "ticket 9")]

        other = here.console.person("operator", operator_id="olga")
        assert "for whoever has the right to it" in (await other.see(path)).text
        eve = here.console.person("viewer", operator_id="eve", merchants=["shop"], raw_evidence=True)
        limited = await submit(eve, (await eve.see(path)).text, f"{path}/evidence", reason="ticket 9")
        assert limited.status_code == 200 and ADVICE not in limited.text and "limited to some" in limited.text

        runtime = here.console.process.runtime
        rows = await trace_rows(runtime.pool, "shop", here.scene.hostile)
        assert rows is not None and ADVICE not in msgspec.json.encode(trace_of(rows, runtime.settings)).decode()

        await _as_owner(here, "UPDATE provider_answer_key SET raw_key = NULL, erased_by = 'apr_1'")
        erased = await submit(grace, (await grace.see(path)).text, f"{path}/evidence", reason="ticket 9")
        assert "its bytes are erased" in erased.text and ADVICE not in erased.text
        await _as_owner(here, "DELETE FROM provider_answer")
        lost = await submit(grace, (await grace.see(path)).text, f"{path}/evidence", reason="ticket 9")
        assert "1 answer that a step names is not in the record as it was kept" in lost.text


async def _as_owner(here: Here, statement: str) -> None:
    connection = await asyncpg.connect(here.database.owner_url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def test_the_bytes_of_a_webhook_are_opened_bounded_and_masked(new_database: NewDatabase) -> None:
    """Also of one that belongs to no payment. Whoever is limited to merchants sees no delivery: it may hold others'."""
    async with filled(new_database) as here:
        event_id, *_ = here.scene.event_ids
        path = f"/console/events/{event_id}/evidence"
        long = "x" * EVIDENCE_CHARS
        body = f'{{"note": "{HOSTILE}", "card": "4111 1111 1111 1111", "long": "{long}", "end": "it ends"}}'
        delivery_id = await _arrived_as(here, event_id, body.encode() + b"\xff", {"Authorization": "Basic c2VjcmV0"})
        assert "Raw evidence" not in (await here.console.person("operator").see(_row(event_id))).text
        grace = here.console.person("viewer", operator_id="grace", raw_evidence=True)
        shown = await submit(grace, (await grace.see(_row(event_id))).text, path, reason="ticket 9")
        assert shown.status_code == 200 and "&lt;img src=x onerror=alert(1)&gt;" in shown.text
        assert "<img" not in shown.text and "4111" not in shown.text and "c2VjcmV0" not in shown.text
        assert "it ends" not in shown.text and "more characters" in shown.text
        saved = await submit(grace, shown.text, f"{path}/{delivery_id}")
        assert saved.headers["content-disposition"] == f'attachment; filename="{delivery_id}.txt"'
        assert saved.headers["content-type"] == "application/octet-stream"
        assert "it ends" in saved.text and "4111" not in saved.text and HOSTILE in saved.text and "\\xff" in saved.text
        read = ("operator:grace", event_id, None, None, "ticket 9")
        assert await readings(here) == [read, read]


async def test_whoever_is_limited_to_merchants_sees_no_delivery(new_database: NewDatabase) -> None:
    async with filled(new_database) as here:
        event_id = here.scene.event_ids[1]
        await _arrived_as(here, event_id, b'{"of": "another merchant"}', {})
        eve = here.console.person("viewer", operator_id="eve", merchants=["shop"], raw_evidence=True)
        path = f"/console/events/{event_id}/evidence"
        shown = await submit(eve, (await eve.see(_row(event_id))).text, path, reason="ticket 9")
        assert shown.status_code == 200 and "ch_nobodys" in shown.text and "another merchant" not in shown.text
        foreign = f"/console/events/{here.scene.event_ids[0]}/evidence"
        token = token_for(eve.http.cookies[SESSION_COOKIE], foreign)
        refused = await eve.http.post(foreign, data={"reason": "curious", "form_token": token})
        assert refused.status_code == 404 and len(await readings(here)) == 1


def _row(event_id: str) -> str:
    return f"/console/dead-letters/rows/{event_id}"


async def _arrived_as(here: Here, event_id: str, body: bytes, headers: dict[str, str]) -> str:
    """Replace the kept bytes of an event's arrival. Returns the arrival's id."""
    connection = await asyncpg.connect(here.database.owner_url)
    try:
        row = await connection.fetchrow(
            "SELECT d.provider, d.account, d.provider_event_id, d.delivery_id FROM delivery d JOIN inbox e"
            " USING (provider, account, provider_event_id) WHERE e.event_id = $1",
            event_id,
        )
        assert row is not None
        sealed = SEALER.seal(sealed_part(body, headers), delivery_row(*row))
        await connection.execute("UPDATE delivery SET sealed = $1 WHERE delivery_id = $2", sealed, row["delivery_id"])
        return str(row["delivery_id"])
    finally:
        await connection.close()
