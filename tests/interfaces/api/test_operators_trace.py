"""``GET /v1/payments/{id}/trace`` with an operator's key: all that is recorded, of any merchant's payment."""

from __future__ import annotations

from typing import Any

from tallystick.access.key_store import OPERATORS, create_key
from tallystick.kit.ids import new_id
from tests.support.api import assert_problem, desk_of, inside
from tests.support.database import Database
from tests.support.late_money import declining_provider, late


async def test_an_operator_sees_all_of_it_and_a_merchant_its_part(database: Database, fresh_merchant: str) -> None:
    async with inside(database, fresh_merchant, declining_provider()) as app:
        payment_id = await late(app.app.state.runtime, fresh_merchant)
        path, desk = f"/v1/payments/{payment_id}/trace", await desk_of(app, database)
        note = (await desk.post("/v1/acts", {"target": payment_id, "reason": "asked the bank"})).json()
        shown = (await desk.get(path)).json()
        assert (shown["id"], shown["object"], shown["merchant_id"]) == (
            payment_id,
            "operator_payment_trace",
            fresh_merchant,
        )
        kinds = {entry["kind"] for entry in shown["timeline"]}
        assert {"call", "step", "case", "act"} <= kinds
        [act] = [entry for entry in shown["timeline"] if entry["act_id"] == note["id"]]
        assert (act["what"], act["reason"], act["actor"]) == ("annotate", "asked the bank", note["operator"])
        [case] = [entry for entry in shown["timeline"] if entry["kind"] == "case"]
        assert (case["state"], case["owner"], case["what"]) == ("open", None, "late") and case["age_ms"] >= 0
        assert "case" in {each["kind"] for each in shown["waiting"]} and shown["next"]["actor"] == "operator"
        assert shown["missing"] == []
        own = (await app.client.get(path)).json()
        assert own["object"] == "payment_trace" and "missing" not in own
        assert not {"call", "case", "act"} & {entry["kind"] for entry in own["timeline"]}
        assert (await desk.get(f"{path}?merchant_id={fresh_merchant}")).json()["id"] == payment_id


def told(answer: Any) -> dict[str, Any]:
    """A problem without what each request has of its own."""
    body = assert_problem(answer, 404, "not_found")
    return {name: value for name, value in body.items() if name not in ("request_id", "instance")}


async def test_not_found_and_not_of_that_merchant_are_one_answer(database: Database, fresh_merchant: str) -> None:
    async with inside(database, fresh_merchant, declining_provider()) as app:
        payment_id = (await app.pay()).json()["id"]
        desk = await desk_of(app, database)
        another = {"authorization": f"Bearer {await create_key(database.app_url, 'another')}"}
        path, unknown = f"/v1/payments/{payment_id}/trace", f"/v1/payments/{new_id('pay')}/trace"
        answers = [
            told(await desk.get(unknown)),
            told(await desk.get(f"{unknown}?merchant_id={fresh_merchant}")),
            told(await desk.get(f"{path}?merchant_id=another")),
            told(await app.client.get(unknown)),
            told(await app.client.get(f"{path}?merchant_id=another")),
            told(await app.client.get(path, headers=another)),
            told(await app.client.get(f"{path}?merchant_id={fresh_merchant}", headers=another)),
        ]
        assert all(each == answers[0] for each in answers)


async def test_it_needs_the_scope(database: Database, fresh_merchant: str) -> None:
    async with inside(database, fresh_merchant, declining_provider()) as app:
        payment_id = (await app.pay()).json()["id"]
        desk = await desk_of(app, database, "rejections:read")
        assert_problem(await desk.get(f"/v1/payments/{payment_id}/trace"), 403, "scope_missing")
        key = await create_key(database.app_url, OPERATORS, operator=True)
        answer = await app.client.get(f"/v1/payments/{payment_id}/trace", headers={"authorization": f"Bearer {key}"})
        assert answer.status_code == 200
