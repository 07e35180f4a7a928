"""Attempts in doubt and late money over HTTP: listed to operators alone, and each act done once under its key."""

from __future__ import annotations

from tallystick.access.accounts import OperatorVersion, insert_version
from tallystick.access.viewer import Viewer
from tallystick.flows.compliance import four_eyes
from tallystick.flows.compliance.approvable import APPROVABLE
from tallystick.flows.runtime import Runtime
from tallystick.kit.ids import new_id
from tests.support.api import Desk, assert_problem, desk_of, inside
from tests.support.database import Database, NewDatabase
from tests.support.in_doubt import PATIENT, doubtful, silent_provider
from tests.support.late_money import declining_provider, late
from tests.support.letters import new_letters


async def test_an_attempt_in_doubt_is_listed_and_settled_once(database: Database, fresh_merchant: str) -> None:
    patient = {name: getattr(PATIENT, name) for name in ("recovery_backoff_base_ms", "recovery_backoff_cap_ms")}
    async with inside(database, fresh_merchant, silent_provider(), **patient) as app:
        payment_id, attempt_id = await doubtful(app.app.state.runtime, fresh_merchant)
        desk = await desk_of(app, database)
        listed = (await desk.get(f"/v1/in-doubt?merchant_id={fresh_merchant}")).json()
        [waits] = listed["data"]
        assert (waits["id"], waits["payment_id"], waits["operation"], listed["has_more"]) == (
            attempt_id,
            payment_id,
            "authorize",
            False,
        )
        path, key = f"/v1/in-doubt/{attempt_id}/resolve", new_id("req")
        found = {"outcome": "executed", "evidence": "statement 12", "reason": "ticket 7"}
        assert_problem(await desk.post(path, found), 409, "not_in_doubt")  # a charge without a name
        found |= {"reference": "ch_by_hand"}
        assert_problem(await desk.post(path, found, key=None), 400, "idempotency_key_missing")
        first, second = await desk.post(path, found, key), await desk.post(path, found, key)
        assert first.status_code == 200 and second.content == first.content
        assert first.json()["act"] == "attempt.resolve"
        assert [each["event"] for each in first.json()["result"]["transitions"]] == ["approved", "captured"]
        assert (await desk.get(f"/v1/in-doubt?merchant_id={fresh_merchant}")).json()["data"] == []
        assert_problem(await desk.post(path, found), 409, "not_in_doubt")
        other = await desk.post(path, found | {"outcome": "declined"}, key)
        assert_problem(other, 422, "idempotency_key_reused")
        assert (await desk.post(f"/v1/in-doubt/{new_id('att')}/resolve", found)).status_code == 404
        wrong = await desk.post(path, found | {"outcome": "maybe"})
        assert wrong.status_code == 422


async def test_late_money_is_listed_and_accepted_once(database: Database, fresh_merchant: str) -> None:
    async with inside(database, fresh_merchant, declining_provider()) as app:
        payment_id = await late(app.app.state.runtime, fresh_merchant)
        desk = await desk_of(app, database)
        [waits] = (await desk.get(f"/v1/late-money?merchant_id={fresh_merchant}")).json()["data"]
        assert (waits["payment_id"], waits["waiting"], waits["state"]) == (payment_id, 1_000, "declined")
        path, key = f"/v1/late-money/{payment_id}/accept", new_id("req")
        said = {"reason": "the merchant shipped"}
        assert_problem(await desk.post(path, said, key=None), 400, "idempotency_key_missing")
        first, second = await desk.post(path, said, key), await desk.post(path, said, key)
        assert first.status_code == 200 and second.content == first.content
        assert [each["event"] for each in first.json()["result"]["transitions"]] == ["late_money_accepted"]
        assert (await desk.get(f"/v1/late-money?merchant_id={fresh_merchant}")).json()["data"] == []
        assert_problem(await desk.post(path, said), 409, "no_late_money")
        assert (await desk.post(f"/v1/late-money/{new_id('pay')}/accept", said)).status_code == 404


async def test_late_money_is_returned_once(database: Database, fresh_merchant: str) -> None:
    async with inside(database, fresh_merchant, declining_provider()) as app:
        payment_id = await late(app.app.state.runtime, fresh_merchant)
        desk = await desk_of(app, database)
        path, key = f"/v1/late-money/{payment_id}/return", new_id("req")
        first = await desk.post(path, {"reason": "not wanted"}, key)
        second = await desk.post(path, {"reason": "not wanted"}, key)
        assert first.status_code == 200, first.text
        assert second.content == first.content
        assert "late_return_opened" in [each["event"] for each in first.json()["result"]["transitions"]]


async def test_what_waits_is_read_in_pages(database: Database, fresh_merchant: str) -> None:
    """Each once, the oldest first, also where the first of them is settled meanwhile."""
    patient = {name: getattr(PATIENT, name) for name in ("recovery_backoff_base_ms", "recovery_backoff_cap_ms")}
    async with inside(database, fresh_merchant, silent_provider(), **patient) as app:
        doubts = [(await doubtful(app.app.state.runtime, fresh_merchant, new_id("req")))[1] for _ in range(3)]
        desk = await desk_of(app, database)
        assert await in_pages(desk, f"/v1/in-doubt?merchant_id={fresh_merchant}", "id") == doubts
        first = (await desk.get(f"/v1/in-doubt?merchant_id={fresh_merchant}&limit=1")).json()
        found = {"outcome": "declined", "evidence": "statement 12", "reason": "ticket 7"}
        assert (await desk.post(f"/v1/in-doubt/{doubts[0]}/resolve", found)).status_code == 200
        after = f"/v1/in-doubt?merchant_id={fresh_merchant}&cursor={first['next_cursor']}"
        assert await in_pages(desk, after, "id") == doubts[1:]
        other = await desk.get(f"/v1/late-money?cursor={first['next_cursor']}")
        assert_problem(other, 422, "validation_failed")
    async with inside(database, fresh_merchant, declining_provider()) as app:
        desk = await desk_of(app, database)
        runtime: Runtime = app.app.state.runtime
        payments = [await late(runtime, fresh_merchant, new_id("req"), f"ch_{new_letters()}") for _ in range(3)]
        assert await in_pages(desk, f"/v1/late-money?merchant_id={fresh_merchant}", "payment_id") == sorted(payments)


async def in_pages(desk: Desk, path: str, name: str) -> list[str]:
    """One member of everything in a list, read one by one."""
    found, page = list[str](), (await desk.get(f"{path}&limit=1")).json()
    while True:
        found += [each[name] for each in page["data"]]
        assert len(found) < 10, "a page comes again"
        if page["next_cursor"] is None:
            assert not page["has_more"]
            return found
        base = path.partition("&cursor=")[0]
        page = (await desk.get(f"{base}&limit=1&cursor={page['next_cursor']}")).json()


async def test_only_operators_with_the_scope_may(database: Database, fresh_merchant: str) -> None:
    async with inside(database, fresh_merchant, declining_provider()) as app:
        reader = await desk_of(app, database, "in_doubt:read", "late_money:read")
        assert (await reader.get("/v1/in-doubt")).status_code == 200
        assert (await reader.get("/v1/late-money")).status_code == 200
        for path, body in (
            (f"/v1/in-doubt/{new_id('att')}/resolve", {"outcome": "executed", "evidence": "e", "reason": "r"}),
            (f"/v1/late-money/{new_id('pay')}/accept", {"reason": "r"}),
            (f"/v1/late-money/{new_id('pay')}/return", {"reason": "r"}),
        ):
            assert_problem(await reader.post(path, body), 403, "scope_missing")
            assert_problem(await app.client.post(path, json=body), 403, "forbidden")
        assert_problem(await app.client.get("/v1/in-doubt"), 403, "forbidden")
        assert_problem(await app.client.get("/v1/late-money"), 403, "forbidden")


async def test_a_key_moves_no_more_than_one_person_may(new_database: NewDatabase, fresh_merchant: str) -> None:
    """Two people approve what it asks for; the same request is then answered with what was done."""
    database = new_database()
    patient = {name: getattr(PATIENT, name) for name in ("recovery_backoff_base_ms", "recovery_backoff_cap_ms")}
    async with inside(database, fresh_merchant, silent_provider(), second_person_above="EUR=999", **patient) as app:
        runtime: Runtime = app.app.state.runtime
        _, attempt_id = await doubtful(runtime, fresh_merchant)
        desk = await desk_of(app, database)
        path, key = f"/v1/in-doubt/{attempt_id}/resolve", new_id("req")
        found = {"outcome": "executed", "evidence": "statement 12", "reason": "ticket 7", "reference": "ch_by_hand"}
        lonely = assert_problem(await desk.post(path, found, key), 409, "approval_needed")
        assert "2 other people" in lonely["detail"], "nobody is there who could approve"
        deciders = [await approver(runtime) for _ in range(2)]
        asked = assert_problem(await desk.post(path, found, key), 409, "approval_needed")
        request_id = asked["detail"].rstrip(".").rpartition(" ")[2]
        again = assert_problem(await desk.post(path, found, key), 409, "approval_needed")
        assert request_id in again["detail"]
        other = await desk.post(path, found | {"outcome": "declined"}, key)
        assert_problem(other, 422, "idempotency_key_reused")
        assert_problem(await desk.post(path, found, request_id), 409, "approval_needed")
        request = await runtime.stores.approvals.find(request_id)
        assert request is not None and request.needed == 2
        for who in deciders:
            await four_eyes.decide(
                runtime, APPROVABLE, request_id, who, approves=True, seen_hash=request.shown_hash, reason="saw it"
            )
        done = await desk.post(path, found, key)
        assert done.status_code == 200, done.text
        assert [each["event"] for each in done.json()["result"]["transitions"]] == ["approved", "captured"]
        assert (await desk.post(path, found, key)).content == done.content


async def test_a_key_asks_for_late_money_above_the_amount(new_database: NewDatabase, fresh_merchant: str) -> None:
    database = new_database()
    async with inside(database, fresh_merchant, declining_provider(), second_person_above="EUR=999") as app:
        runtime: Runtime = app.app.state.runtime
        payment_id = await late(runtime, fresh_merchant)
        desk = await desk_of(app, database)
        for _ in range(2):
            await approver(runtime)
        for act in ("accept", "return"):
            asked = await desk.post(f"/v1/late-money/{payment_id}/{act}", {"reason": "ticket 7"})
            assert "2 people" in assert_problem(asked, 409, "approval_needed")["detail"]
        assert len((await desk.get(f"/v1/late-money?merchant_id={fresh_merchant}")).json()["data"]) == 1


async def approver(runtime: Runtime) -> Viewer:
    """An operator who may approve, as if signed in."""
    version = OperatorVersion(
        operator_id=f"op-{new_letters()}",
        version=1,
        state="active",
        roles=["operator"],
        actor="shell:test@test",
        request_id=None,
        at=runtime.clock.now(),
    )
    async with runtime.pool.acquire() as connection:
        await insert_version(connection, version)
    return Viewer(
        operator_id=version.operator_id,
        roles=frozenset(version.roles),
        merchants=None,
        rights=version.rights(),
        signed_in_at=version.at,
    )
