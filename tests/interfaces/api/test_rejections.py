"""Cases and acts over HTTP: listed and shown to operators alone, and each act done once under its key."""

from __future__ import annotations

from typing import Any

import pytest

from tallystick.access.key_store import OPERATORS, create_key
from tallystick.domain.api_keys import declaration
from tallystick.kit.ids import new_id
from tests.support.acts import colleague_in
from tests.support.api import Desk, assert_problem, desk_of, inside
from tests.support.database import Database
from tests.support.late_money import declining_provider, late


async def test_a_case_from_its_list_to_its_end(database: Database, fresh_merchant: str) -> None:
    async with inside(database, fresh_merchant, declining_provider()) as app:
        payment_id = await late(app.app.state.runtime, fresh_merchant)
        desk = await desk_of(app, database)
        listed = (await desk.get(f"/v1/rejections?merchant_id={fresh_merchant}&category=late&state=open")).json()
        [case] = listed["data"]
        assert (case["payment_id"], case["owner"], case["event"], case["subject_state"], listed["has_more"]) == (
            payment_id,
            None,
            "approved",
            "declined",
            False,
        )
        groups = (await desk.get("/v1/rejection-groups")).json()["data"]
        assert any(
            (each["category"], each["subject_state"], each["event"]) == ("late", "declined", "approved")
            for each in groups
        )
        path = f"/v1/rejections/{case['id']}"
        taken = await desk.post(f"{path}/acknowledge", {"reason": "mine"})
        assert taken.status_code == 200 and taken.json()["result"]["case"]["owner"] == taken.json()["operator"]
        other = await desk_of(app, database)
        assert_problem(await other.post(f"{path}/acknowledge", {"reason": "mine"}), 409, "not_owned")
        nobody = await desk.post(f"{path}/escalate", {"reason": "not mine", "owner": "treasury"})
        assert_problem(nobody, 422, "owner_unknown")
        grace = await colleague_in(app.app.state.runtime.pool, fresh_merchant)
        handed_on = await desk.post(f"{path}/escalate", {"reason": "not mine", "owner": grace})
        assert handed_on.json()["result"]["case"]["owner"] == f"operator:{grace}"
        listed = (await desk.get(f"/v1/rejections?owner={grace}")).json()["data"]
        assert [each["id"] for each in listed] == [case["id"]], "with or without operator:"
        back = await desk.post(f"{path}/give-back", {"reason": "nobody is there"})
        assert (back.json()["act"], back.json()["result"]["case"]["owner"]) == ("case.give_back", None)
        assert_problem(await desk.post(f"{path}/give-back", {"reason": "twice"}), 409, "not_owned")
        again = await desk.post(f"{path}/reprocess", {"reason": "to be sure"})
        assert again.status_code in (200, 409), again.text
        ignored = await desk.post(f"{path}/ignore", {"reason": "decided by telephone"}, "k-1")
        assert (ignored.status_code, ignored.json()["payment_id"]) == (200, payment_id)
        shown = (await desk.get(path)).json()
        assert (shown["state"], shown["resolution"], shown["closed_by"]) == ("resolved", "ignored", "person")
        assert [step["event"] for step in shown["steps"]][:4] == ["reject", "acknowledge", "escalate", "give_back"]
        assert_problem(await desk.post(f"{path}/ignore", {"reason": "again"}), 409, "case_resolved")
        assert_problem(await desk.post(f"{path}/reprocess", {"reason": "again"}), 409, "case_resolved")
        assert (await desk.get(f"/v1/rejections?merchant_id={fresh_merchant}")).json()["data"] == []


async def test_an_act_is_answered_again_and_its_key_is_its_own(database: Database, fresh_merchant: str) -> None:
    async with inside(database, fresh_merchant, declining_provider()) as app:
        await late(app.app.state.runtime, fresh_merchant)
        desk, other = await desk_of(app, database), await desk_of(app, database)
        [case] = (await desk.get(f"/v1/rejections?merchant_id={fresh_merchant}")).json()["data"]
        path, key = f"/v1/rejections/{case['id']}/acknowledge", new_id("req")
        first = await desk.post(path, {"reason": "mine"}, key)
        second = await desk.post(path, {"reason": "mine"}, f'"{key}"')
        assert first.json() == second.json() and first.json()["operator"].startswith("key:")
        assert first.json()["key_kind"] == "human"
        assert_problem(await desk.post(path, {"reason": "theirs"}, key), 422, "idempotency_key_reused")
        assert_problem(
            await desk.post("/v1/acts", {"target": case["id"], "reason": "mine"}, key), 422, "idempotency_key_reused"
        )
        assert (
            await other.post(path.replace("acknowledge", "give-back"), {"reason": "theirs"}, key)
        ).status_code == 200
        act_id = first.json()["id"]
        assert (await other.get(f"/v1/acts/{act_id}")).json() == first.json()
        page = (await desk.get(f"/v1/acts?target={case['id']}&limit=1")).json()
        assert page["has_more"] and len(page["data"]) == 1
        rest = (await desk.get(f"/v1/acts?target={case['id']}&cursor={page['next_cursor']}")).json()
        assert [each["id"] for each in (*page["data"], *rest["data"])] == sorted(
            (each["id"] for each in (*page["data"], *rest["data"])), reverse=True
        )
        assert act_id in [each["id"] for each in rest["data"]]


BAD: list[tuple[str, Any, str | None, int, str]] = [
    ("ignore", {"reason": "x"}, None, 400, "idempotency_key_missing"),
    ("ignore", {"reason": "x"}, "a, b", 400, "idempotency_key_invalid"),
    ("ignore", {}, "", 422, "validation_failed"),
    ("ignore", {"reason": ""}, "", 422, "validation_failed"),
    ("ignore", {"reason": "   "}, "", 422, "validation_failed"),
    ("ignore", {"reason": "x" * 501}, "", 422, "validation_failed"),
    ("ignore", {"reason": "x", "more": 1}, "", 422, "validation_failed"),
    ("ignore", {"reason": "x\x07"}, "", 422, "validation_failed"),
    ("ignore", {"reason": "card 4242424242424242"}, "", 422, "card_data_refused"),
    ("ignore", {"reason": "x"}, "4242424242424242", 422, "card_data_refused"),
    ("ignore", {"reason": "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"}, "", 422, "validation_failed"),
    ("escalate", {"reason": "x"}, "", 422, "validation_failed"),
    ("escalate", {"reason": "x", "owner": " "}, "", 422, "validation_failed"),
]


@pytest.mark.parametrize(("act", "body", "key", "status", "code"), BAD)
async def test_bad_input_does_nothing(
    database: Database, fresh_merchant: str, act: str, body: Any, key: str | None, status: int, code: str
) -> None:
    async with inside(database, fresh_merchant, declining_provider()) as app:
        await late(app.app.state.runtime, fresh_merchant)
        desk = await desk_of(app, database)
        [case] = (await desk.get(f"/v1/rejections?merchant_id={fresh_merchant}")).json()["data"]
        assert_problem(await desk.post(f"/v1/rejections/{case['id']}/{act}", body, key), status, code)
        assert (await desk.get(f"/v1/rejections/{case['id']}")).json()["state"] == "open"
        assert (await desk.get(f"/v1/acts?target={case['id']}")).json()["data"] == []


async def test_what_there_is_not(database: Database, fresh_merchant: str) -> None:
    async with inside(database, fresh_merchant, declining_provider()) as app:
        desk = await desk_of(app, database)
        for path in (f"/v1/rejections/{new_id('case')}", "/v1/rejections/case_1", f"/v1/acts/{new_id('opa')}"):
            assert_problem(await desk.get(path), 404, "not_found")
        missing = await desk.post(f"/v1/rejections/{new_id('case')}/ignore", {"reason": "x"})
        assert_problem(missing, 404, "not_found")
        for query in ("state=closed", "category=odd", "limit=0", "cursor=x", "color=red"):
            assert_problem(await desk.get(f"/v1/rejections?{query}"), 422, "validation_failed")
        for body in ({"target": "everything", "reason": "x"}, {"target": "pay_1", "reason": "x"}, {"reason": "x"}):
            assert_problem(await desk.post("/v1/acts", body), 422, "validation_failed")
        for version in ("", " ", "a b", "x" * 101):
            assert_problem(
                await desk.post("/v1/deployments", {"version": version, "reason": "x"}), 422, "validation_failed"
            )
        pauses: tuple[dict[str, Any], ...] = (
            {"provider": "nobody"},
            {"provider": "simulator", "seconds": 0},
            {"provider": "simulator", "paused": False, "seconds": 5},
        )
        for pause in pauses:
            wrong = {"paused": True, "reason": "x"} | pause
            assert_problem(await desk.post("/v1/provider-pauses", wrong), 422, "validation_failed")


async def test_scopes_and_roles(database: Database, fresh_merchant: str) -> None:
    async with inside(database, fresh_merchant, declining_provider()) as app:
        await late(app.app.state.runtime, fresh_merchant)
        [case] = (await (await desk_of(app, database)).get(f"/v1/rejections?merchant_id={fresh_merchant}")).json()[
            "data"
        ]
        path = f"/v1/rejections/{case['id']}"
        reader = await desk_of(app, database, "rejections:read")
        assert (await reader.get(path)).status_code == 200
        assert_problem(await reader.post(f"{path}/ignore", {"reason": "x"}), 403, "scope_missing")
        assert_problem(await reader.get("/v1/acts"), 403, "scope_missing")
        declared = declaration("agent")
        agent = Desk(app, await create_key(database.app_url, OPERATORS, operator=True, declared=declared))
        assert (await agent.get("/v1/rejections")).status_code == 200, "an agent's key reads"
        for doing in (f"{path}/ignore", f"{path}/reprocess", "/v1/acts", "/v1/deployments", "/v1/provider-pauses"):
            assert_problem(await agent.post(doing, {"reason": "x"}), 403, "scope_missing")
        for mine in (
            "/v1/rejections",
            path,
            "/v1/rejection-groups",
            "/v1/acts",
            "/v1/deployments",
            "/v1/event-results",
        ):
            assert_problem(await app.client.get(mine), 403, "forbidden")


async def test_releases_pauses_and_notes(database: Database, fresh_merchant: str) -> None:
    async with inside(database, fresh_merchant, declining_provider()) as app:
        desk = await desk_of(app, database)
        name = f"1.0-{fresh_merchant}"
        marked = await desk.post("/v1/deployments", {"version": name, "reason": "out"})
        assert marked.status_code == 200
        points = (await desk.get("/v1/deployments?days=1")).json()["data"]
        assert [each["kind"] for each in points if each["version"] == name] == ["release"]
        account = f"acct-{fresh_merchant}"
        pause = {"provider": "simulator", "account": account, "paused": True, "seconds": 60, "reason": "audit"}
        assert (await desk.post("/v1/provider-pauses", pause)).status_code == 200
        paused = (await desk.get("/v1/provider-pauses")).json()["data"]
        assert [each["account"] for each in paused if each["account"] == account] == [account]
        resume = {"provider": "simulator", "account": account, "paused": False, "reason": "done"}
        assert (await desk.post("/v1/provider-pauses", resume)).status_code == 200
        paused = (await desk.get("/v1/provider-pauses")).json()["data"]
        assert account not in [each["account"] for each in paused]
        payment_id = await late(app.app.state.runtime, fresh_merchant)
        note = await desk.post("/v1/acts", {"target": payment_id, "reason": "the payer called"})
        assert (note.json()["act"], note.json()["payment_id"]) == ("annotate", payment_id)
