"""Every endpoint that changes something, from the table: keys of the wrong kind, and of another merchant, do nothing.
Which scope each needs is in ``test_declared_keys``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import asyncpg

from tallystick.access.key_store import OPERATORS, create_key
from tallystick.interfaces.api.endpoint import Endpoint
from tallystick.interfaces.api.table import ENDPOINTS
from tallystick.kit.ids import new_id
from tests.support.api import Inside, assert_problem, inside
from tests.support.console_scene import Scene, scene
from tests.support.database import NewDatabase
from tests.support.endpoints import PATH, SETTINGS
from tests.support.runtime import BookedProvider

ACTS: Final = [each for each in ENDPOINTS if each.method != "GET"]

#: Acts of merchants that are about nothing that somebody has already.
ABOUT_NOTHING: Final = {"createPayment", "createWebhookEndpoint"}

#: Acts whose owner is not asked to do them here, with the reason.
NOT_DONE: Final[Mapping[str, str]] = {
    "testWebhookEndpoint": "calls an address that is not there",
    "resendWebhook": "nothing was sent yet: its owner is told so as others are",
}

#: All that the acts can change.
_CHANGED: Final = """
    SELECT (SELECT count(*) FROM operator_act), (SELECT count(*) FROM transition), (SELECT count(*) FROM instruction),
           (SELECT count(*) FROM message_try), (SELECT count(*) FROM work_owner),
           (SELECT count(*) FROM webhook_endpoint_act), (SELECT count(*) FROM webhook_secret)
"""


def _path(endpoint: Endpoint, made: Scene) -> str:
    mine = {
        "/v1/payments": made.payment_id,
        "/v1/webhook-endpoints": made.endpoint_id,
        "/v1/dead-letters": made.event_ids[0],
        "/v1/in-doubt": made.in_doubt,
        "/v1/late-money": made.late,
        "/v1/rejections": made.case_id,
        "/v1/alerts": made.alert_id,
        "/v1/webhook-refusals": made.refused_kind,
    }
    of_list = next((found for path, found in mine.items() if endpoint.path.startswith(path)), new_id("stl"))
    return endpoint.path.replace("{id}", of_list).replace("{message_id}", new_id("msg"))


async def _send(app: Inside, key: str, endpoint: Endpoint, path: str) -> Any:
    said: dict[str, Any] = {"reason": "why"} if endpoint.callers == "operator" else {}
    if endpoint.name == "resendWebhooks":
        said = {"since": "2026-01-01T00:00:00Z"}
    headers = {"authorization": f"Bearer {key}", "idempotency-key": new_id("req")}
    return await app.client.request(endpoint.method, path, json=said, headers=headers)


async def test_an_act_by_a_key_of_others_does_nothing(new_database: NewDatabase) -> None:
    database = new_database()
    made = await scene(database, "shop", 1)
    operators = await create_key(database.app_url, OPERATORS, operator=True)
    shop, other = await create_key(database.app_url, "shop"), await create_key(database.app_url, "other")
    connection = await asyncpg.connect(database.owner_url)
    try:
        async with inside(database, "shop", BookedProvider(), **SETTINGS) as app:
            endpoint = await app.client.post(PATH, json={"url": "http://127.0.0.1:9/messages"})
            made = made._replace(endpoint_id=endpoint.json()["endpoint"]["id"])
            before = await connection.fetchrow(_CHANGED)
            for act in ACTS:
                path, of_merchants = _path(act, made), act.callers == "merchant"
                refused = await _send(app, operators if of_merchants else shop, act, path)
                assert_problem(refused, 403, "forbidden")
                if of_merchants and act.name not in ABOUT_NOTHING:
                    assert_problem(await _send(app, other, act, path), 404, "not_found")
            assert await connection.fetchrow(_CHANGED) == before
            await _by_its_owner(app, shop, made)
    finally:
        await connection.close()


async def _by_its_owner(app: Inside, key: str, made: Scene) -> None:
    """The same requests, by whose it is: what was refused was who asked."""
    own = [each for each in ACTS if each.callers == "merchant" and each.name not in ABOUT_NOTHING | NOT_DONE.keys()]
    for endpoint in sorted(own, key=lambda each: each.method == "DELETE"):
        answer = await _send(app, key, endpoint, _path(endpoint, made))
        assert answer.status_code in (200, 201, 202, 204, 409), (endpoint.name, answer.text)
