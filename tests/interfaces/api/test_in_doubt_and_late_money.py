"""Attempts in doubt and late money over HTTP: listed to operators alone, and each act done once under its key."""

from __future__ import annotations

from tallystick.decisions.change_builder import Cause
from tallystick.decisions.resubmission import park
from tallystick.flows.runtime import Runtime
from tallystick.kit.clock import utc_now
from tallystick.kit.ids import new_id
from tallystick.record.journal import Fresh
from tests.flows.operations.test_late_money import late
from tests.interfaces.api.test_rejections import bank, desk_of
from tests.support.api import assert_problem, inside
from tests.support.database import Database
from tests.support.in_doubt import PATIENT
from tests.support.runtime import BookedProvider, Client, read, timed_out


async def doubtful(runtime: Runtime, merchant: str) -> tuple[str, str]:
    """A payment whose provider never answered, parked for a person; the ids of its payment and attempt."""
    payment_id = str(read(await Client(runtime, merchant).create("doubtful"))["id"])
    loaded = await runtime.reads.load(merchant, payment_id)
    assert loaded is not None
    (attempt,) = loaded.stored.attempts
    step = Cause(change_id=new_id("chg"), at=utc_now(), trigger="test", actor="test")
    assert isinstance(await runtime.journal.commit(park(loaded.stored, attempt.attempt_id, step)), Fresh)
    return payment_id, attempt.attempt_id


def silent() -> BookedProvider:
    provider = BookedProvider()
    provider.after = timed_out
    return provider


async def test_an_attempt_in_doubt_is_listed_and_settled_once(database: Database, fresh_merchant: str) -> None:
    patient = {name: getattr(PATIENT, name) for name in ("recovery_backoff_base_ms", "recovery_backoff_cap_ms")}
    async with inside(database, fresh_merchant, silent(), **patient) as app:
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
    async with inside(database, fresh_merchant, bank()) as app:
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
    async with inside(database, fresh_merchant, bank()) as app:
        payment_id = await late(app.app.state.runtime, fresh_merchant)
        desk = await desk_of(app, database)
        path, key = f"/v1/late-money/{payment_id}/return", new_id("req")
        first = await desk.post(path, {"reason": "not wanted"}, key)
        second = await desk.post(path, {"reason": "not wanted"}, key)
        assert first.status_code == 200, first.text
        assert second.content == first.content
        assert "late_return_opened" in [each["event"] for each in first.json()["result"]["transitions"]]


async def test_only_operators_with_the_scope_may(database: Database, fresh_merchant: str) -> None:
    async with inside(database, fresh_merchant, bank()) as app:
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
