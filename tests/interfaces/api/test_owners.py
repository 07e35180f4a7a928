"""Who looks at what waits, over HTTP: one way for every list. Taken by one key alone, handed on to operators who may
act on it, given back to nobody; and read back from its list."""

from __future__ import annotations

from typing import Any, Final

from tallystick.interfaces.api.table import ENDPOINTS
from tallystick.kit.ids import new_id
from tests.support.acts import colleague_in
from tests.support.api import Desk, Inside, assert_problem, desk_of, inside
from tests.support.console_scene import Scene, scene
from tests.support.database import NewDatabase
from tests.support.runtime import BookedProvider

#: What the three were called before the other lists had them.
OTHER_NAMES: Final = {
    "/v1/rejections": {"take": "acknowledge", "hand-on": "escalate"},
    "/v1/alerts": {"take": "acknowledge"},
}

#: Where a list has the owner: the member of the answer, of its rows, and of an owner.
LISTS: Final = {
    "/v1/dead-letters": ("data", "event_id", "taken_by"),
    "/v1/in-doubt": ("data", "id", "taken_by"),
    "/v1/late-money": ("data", "payment_id", "taken_by"),
    "/v1/rejections": ("data", "id", "owner"),
    "/v1/alerts": ("data", "id", "acknowledged_by"),
    "/v1/webhook-refusals": ("waiting", "id", "owner"),
}


def one_of_each(made: Scene) -> dict[str, str]:
    return {
        "/v1/dead-letters": made.event_ids[1],
        "/v1/in-doubt": made.in_doubt,
        "/v1/late-money": made.late,
        "/v1/rejections": made.case_id,
        "/v1/alerts": made.alert_id,
        "/v1/webhook-refusals": made.refused_kind,
    }


def test_every_list_has_the_three() -> None:
    """The table above has every list, and every list has the three acts, in one shape and with the list's own scope."""
    acts = {(each.method, each.path): each for each in ENDPOINTS}
    assert {path.rpartition("/{id}/")[0] for _, path in acts if path.endswith("/give-back")} == LISTS.keys()
    for path in LISTS:
        names = [OTHER_NAMES.get(path, {}).get(each, each) for each in ("take", "hand-on", "give-back")]
        three = [acts["POST", f"{path}/{{id}}/{name}"] for name in names]
        assert {each.callers for each in three} == {"operator"}, path
        assert len({each.scope for each in three}) == 1 and three[0].scope.endswith(":write"), path
        assert ["not_owned" in each.codes for each in (three[0], three[2])] == [True, True], path
        assert "owner_unknown" in three[1].codes, path


async def test_what_waits_is_taken_handed_on_and_given_back(new_database: NewDatabase) -> None:
    database = new_database()
    made = await scene(database, "shop", 2)
    async with inside(database, "shop", BookedProvider()) as app:
        pool = app.app.state.runtime.pool
        grace, limited = await colleague_in(pool, None), await colleague_in(pool, "shop")
        elsewhere, viewer = await colleague_in(pool, "other"), await colleague_in(pool, None, roles=["viewer"])
        desk, other = await desk_of(app, database), await desk_of(app, database)
        for path, item_id in one_of_each(made).items():
            await _from_hand_to_hand(desk, other, path, item_id, grace)
            for nobody in (elsewhere, viewer, "nobody-at-all"):
                refused = await _act(desk, path, "hand-on", item_id, owner=nobody)
                assert_problem(refused, 422, "owner_unknown")
            of_platform = path in ("/v1/alerts", "/v1/webhook-refusals")
            handed = await _act(desk, path, "hand-on", item_id, owner=limited)
            assert handed.status_code == (422 if of_platform else 200), (path, "what is no merchant's is for all")
        await _what_is_not_there(app, desk)
        await _what_is_forgotten(app, desk, made.refused_kind)


async def _from_hand_to_hand(desk: Desk, other: Desk, path: str, item_id: str, grace: str) -> None:
    assert_problem(await _act(desk, path, "give-back", item_id), 409, "not_owned")
    key = new_id("req")
    taken = await _act(desk, path, "take", item_id, key)
    assert taken.status_code == 200, (path, taken.text)
    assert (await _act(desk, path, "take", item_id, key)).content == taken.content, "once, under its key"
    assert await _owner(desk, path, item_id) == taken.json()["operator"], path
    assert_problem(await _act(other, path, "take", item_id), 409, "not_owned")
    handed = await _act(other, path, "hand-on", item_id, owner=f"operator:{grace}")
    assert handed.status_code == 200 and await _owner(desk, path, item_id) == f"operator:{grace}", path
    assert (await _act(desk, path, "give-back", item_id)).status_code == 200, path
    assert await _owner(desk, path, item_id) is None, path


async def _what_is_not_there(app: Inside, desk: Desk) -> None:
    """An id of nothing, a body without its owner, and a key that is not there."""
    for path in LISTS:
        acts = [each for each in ENDPOINTS if each.path == f"{path}/{{id}}/give-back"]
        prefix = acts[0].parameters[0].schema["pattern"].removeprefix("^").partition("_")[0]
        assert_problem(await _act(desk, path, "give-back", new_id(prefix)), 404, "not_found")
        assert_problem(await _act(desk, path, "hand-on", new_id(prefix)), 422, "validation_failed")
        keyless = await desk.post(f"{path}/{new_id(prefix)}/give-back", {"reason": "why"}, None)
        assert keyless.json()["code"] in ("idempotency_key_missing", "not_found"), path


async def _what_is_forgotten(app: Inside, desk: Desk, kind: str) -> None:
    """Counts are kept for some days. What was done about them is answered after that too; nothing more can be done."""
    path, key, other = f"/v1/webhook-refusals/{kind}", new_id("req"), new_id("req")
    closed = await desk.post(f"{path}/close", {"reason": "found it"}, key)
    assert closed.status_code == 200, closed.text
    await app.app.state.runtime.pool.execute("DELETE FROM webhook_refusal")
    assert (await desk.post(f"{path}/close", {"reason": "found it"}, key)).content == closed.content
    for name in ("close", "take"):
        assert_problem(await desk.post(f"{path}/{name}", {"reason": "found it"}, other), 404, "not_found")


async def _act(desk: Desk, path: str, act: str, item_id: str, key: str | None = "", **body: str) -> Any:
    name = OTHER_NAMES.get(path, {}).get(act, act)
    return await desk.post(f"{path}/{item_id}/{name}", {"reason": "why", **body}, key)


async def _owner(desk: Desk, path: str, item_id: str) -> str | None:
    rows, name, owner = LISTS[path]
    [found] = [each for each in (await desk.get(path)).json()[rows] if each[name] == item_id]
    return found[owner]  # type: ignore[no-any-return]
