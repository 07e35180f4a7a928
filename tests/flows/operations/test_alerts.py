"""The life of an alert, its acts over HTTP, and where it is sent, on a real database."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import asyncpg
import pytest

from tallystick.access.key_store import OPERATORS, create_key
from tallystick.domain.alert import Alert, Found
from tallystick.domain.operator_act import OperatorAct
from tallystick.domain.work_owner import NotOwned, OwnerUnknown
from tallystick.flows.operations.acts import asked_act
from tallystick.flows.operations.alert_sending import AlertSender
from tallystick.flows.operations.alerts import (
    AlertResolved,
    NoSuchAlert,
    acknowledge,
    alert_id_of,
    clear,
    give_back,
    hand_on,
    raise_alert,
    resolve,
)
from tallystick.flows.runtime import Runtime
from tallystick.flows.webhooks.outbound.signing import new_secret
from tallystick.kit.ids import new_id
from tallystick.oversight.invariants import verify
from tests.support.acts import asked, colleague_in
from tests.support.api import inside
from tests.support.database import Database, NewDatabase
from tests.support.polling import eventually_async
from tests.support.receivers import first, receiving
from tests.support.runtime import SETTINGS, BookedProvider, runtime_of
from tests.support.watch import alert_of, alerts_of, several_looks, watched

ALERT = alert_id_of("clocks_apart", "database")


@pytest.fixture
def database(new_database: NewDatabase) -> Database:
    """Of each test alone: alerts are about the whole platform."""
    return new_database()


def found(began_at: datetime | None = None) -> Found:
    return Found(
        name="clocks_apart",
        about="database",
        severity="page",
        owner="payments-oncall",
        summary="60000 ms apart",
        began_at=began_at or datetime.now(UTC) - timedelta(seconds=3),
    )


async def stored(runtime: Runtime) -> Alert:
    alert = await runtime.stores.alerts.find(ALERT)
    assert alert is not None
    return alert


DO: dict[str, Callable[..., Awaitable[OperatorAct]]] = {
    "alert.acknowledge": acknowledge,
    "alert.hand_on": hand_on,
    "alert.give_back": give_back,
    "alert.resolve": resolve,
}


async def act(runtime: Runtime, name: str, *to: str) -> None:
    await DO[name](runtime, asked_act("key:kim", None, name, ALERT, "ticket 7"), *to)


async def test_a_condition_opens_one_alert_whoever_finds_it(database: Database) -> None:
    async with (
        runtime_of(database.app_url, BookedProvider()) as one,
        runtime_of(database.app_url, BookedProvider()) as other,
    ):
        opened = await asyncio.gather(*(raise_alert(each, None, found()) for each in (one, other) * 3))
        assert sum(opened) == 1
        alert = await stored(one)
        assert (alert.state, alert.version, alert.openings) == ("open", 1, 1)
        assert 2_000 < alert.detected_in_ms < 600_000
        assert await raise_alert(one, alert, found()) is False, "it says so already"
        connection = await asyncpg.connect(database.app_url)
        report = await verify(connection, settings=SETTINGS)
        await connection.close()
        assert report.holds, report.violations


async def test_its_life(database: Database) -> None:
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        await raise_alert(runtime, None, found())
        await act(runtime, "alert.acknowledge")
        assert (await stored(runtime)).acknowledged_by == "key:kim"
        await act(runtime, "alert.resolve")
        resolved = await stored(runtime)
        assert (resolved.state, resolved.resolved_by) == ("resolved", "key:kim")
        with pytest.raises(AlertResolved):
            await act(runtime, "alert.acknowledge")
        assert not await raise_alert(runtime, resolved, found()), "whoever resolved it knew of that"
        assert await raise_alert(runtime, resolved, found(datetime.now(UTC) + timedelta(seconds=1)))
        again = await stored(runtime)
        assert (again.state, again.openings, again.acknowledged_by, again.resolved_by) == ("open", 2, None, None)
        assert await clear(runtime, again)
        assert (await stored(runtime)).resolved_by == "rule"
        steps = [step.event for step in await runtime.stores.alerts.history(ALERT)]
        assert steps == ["open", "acknowledge", "resolve", "reopen", "cleared"]
        with pytest.raises(NoSuchAlert):
            await resolve(runtime, asked_act("key:kim", None, "alert.resolve", alert_id_of("no", "such"), "x"))


async def test_handed_on_and_given_back(database: Database) -> None:
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        await raise_alert(runtime, None, found())
        limited, grace = await colleague_in(runtime.pool, "shop"), await colleague_in(runtime.pool, None)
        kim = partial(asked, target=ALERT, operator="key:kim")
        with pytest.raises(NotOwned):
            await give_back(runtime, kim("alert.give_back"))
        await act(runtime, "alert.acknowledge")
        with pytest.raises(NotOwned):
            await acknowledge(runtime, asked("alert.acknowledge", ALERT, operator="key:ines"))
        with pytest.raises(OwnerUnknown):
            await hand_on(runtime, kim("alert.hand_on", owner=limited), limited)
        await hand_on(runtime, kim("alert.hand_on", owner=grace), f"operator:{grace}")
        assert (await stored(runtime)).acknowledged_by == f"operator:{grace}"
        await give_back(runtime, kim("alert.give_back"))
        given = await stored(runtime)
        assert (given.state, given.acknowledged_by) == ("open", None)
        steps = [step.event for step in await runtime.stores.alerts.history(ALERT)]
        assert steps == ["open", "acknowledge", "hand_on", "give_back"]
        connection = await asyncpg.connect(database.app_url)
        report = await verify(connection, settings=SETTINGS)
        await connection.close()
        assert report.holds, report.violations


async def test_people_and_the_watch_at_once_each_take_a_version(database: Database) -> None:
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        await raise_alert(runtime, None, found())
        alert = await stored(runtime)
        grace = await colleague_in(runtime.pool, None)
        acts = [act(runtime, name, *([grace] if name == "alert.hand_on" else [])) for name in DO for _ in range(3)]
        await asyncio.gather(*acts, clear(runtime, alert), return_exceptions=True)
        resolved = await stored(runtime)
        assert resolved.state == "resolved"
        later = found(datetime.now(UTC) + timedelta(seconds=1))
        assert sum(await asyncio.gather(*(raise_alert(runtime, resolved, later) for _ in range(4)))) == 1
        steps = list(await runtime.stores.alerts.history(ALERT))
        assert [step.version for step in steps] == list(range(1, len(steps) + 1))
        events = [step.event for step in steps]
        assert sum(event in ("resolve", "cleared") for event in events) == 1
        assert (events[0], events[-1]) == ("open", "reopen")


async def test_a_condition_that_ends_resolves_its_alert(database: Database) -> None:
    async with watched(database.app_url) as runtime:
        gone = found()
        await raise_alert(runtime, None, gone)
        cleared = await alert_of(runtime, "clocks_apart", until=lambda alert: alert.state == "resolved")
        assert cleared.resolved_by == "rule"
        assert len(await alerts_of(runtime, "clocks_apart")) == 1


async def test_over_http(database: Database, fresh_merchant: str) -> None:
    async with inside(database, fresh_merchant, BookedProvider()) as api:
        await raise_alert(api.app.state.runtime, None, found())
        assert (await api.client.get("/v1/alerts")).status_code == 403, "a merchant's key"
        key = await create_key(database.app_url, OPERATORS, operator=True)
        api.client.headers["Authorization"] = f"Bearer {key}"
        [listed] = (await api.client.get("/v1/alerts")).json()["data"]
        assert (listed["id"], listed["runbook"]) == (ALERT, "docs/operate/alerts/clocks_apart.md")
        headers = {"Idempotency-Key": new_id("req")}
        body = {"reason": "I look at it"}
        done = await api.client.post(f"/v1/alerts/{ALERT}/acknowledge", json=body, headers=headers)
        assert done.json()["result"]["alert"] == {"id": ALERT, "state": "acknowledged"}
        assert (await api.client.post(f"/v1/alerts/{ALERT}/acknowledge", json=body, headers=headers)).json() == (
            done.json()
        ), "the same act"
        await api.client.post(f"/v1/alerts/{ALERT}/resolve", json=body, headers={"Idempotency-Key": new_id("req")})
        assert (await api.client.get("/v1/alerts")).json()["data"] == []
        detail = (await api.client.get(f"/v1/alerts/{ALERT}")).json()
        assert [step["event"] for step in detail["steps"]] == ["open", "acknowledge", "resolve"]
        refused = await api.client.post(
            f"/v1/alerts/{ALERT}/resolve", json=body, headers={"Idempotency-Key": new_id("req")}
        )
        assert (refused.status_code, refused.json()["code"]) == (409, "alert_resolved")


async def test_a_webhook_and_a_chat_hear_of_each_step_once(database: Database) -> None:
    secret = new_secret()
    async with receiving() as receiver, receiving() as chat:
        sent_to: dict[str, Any] = {"alert_urls": receiver.url, "alert_secret": secret, "alert_slack_urls": chat.url}
        async with watched(database.app_url, alert_clear_ms=3_600_000, **sent_to) as runtime:
            await raise_alert(runtime, None, found())
            await eventually_async(lambda: _number(receiver.got), until=lambda number: number == 1)
            await act(runtime, "alert.acknowledge")
            await eventually_async(lambda: _number(receiver.got), until=lambda number: number == 2)
            await eventually_async(lambda: _number(chat.got), until=lambda number: number == 2)
            await act(runtime, "alert.resolve")
            await eventually_async(lambda: _number(receiver.got), until=lambda number: number == 3)
            await several_looks()  # nothing is sent twice
        assert receiver.types == ["alert.opened", "alert.acknowledged", "alert.resolved"]
        bodies = [got.verified(secret) for got in receiver.got]
        assert [body["data"]["state"] for body in bodies] == ["open", "acknowledged", "resolved"]
        assert len({got.message_id for got in receiver.got}) == 3
        text = chat.got[0].json["text"]
        assert text.startswith("[page] clocks_apart (database): open\n60000 ms apart\n")
        assert "webhook-signature" not in chat.got[0].headers


async def test_a_webhook_that_fails_is_tried_again_under_the_same_id(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tallystick.flows.operations.alert_sending.WAITS_MS", (10,))
    async with receiving() as receiver:
        receiver.script = first(2)
        sent_to: dict[str, Any] = {"alert_urls": receiver.url, "alert_secret": new_secret()}
        async with watched(database.app_url, alert_clear_ms=3_600_000, **sent_to) as runtime:
            await raise_alert(runtime, None, found())
            await eventually_async(lambda: _number(receiver.got), until=lambda number: number == 3)
        assert len({got.message_id for got in receiver.got}) == 1


async def test_what_was_over_before_a_webhook_was_there_is_not_sent(database: Database) -> None:
    async with receiving() as receiver:
        sent_to: dict[str, Any] = {"alert_urls": receiver.url, "alert_secret": new_secret()}
        async with watched(database.app_url, alert_clear_ms=3_600_000) as runtime:
            await raise_alert(runtime, None, found())
            await act(runtime, "alert.resolve")
        async with watched(database.app_url, alert_clear_ms=3_600_000, **sent_to) as runtime:
            sender = AlertSender(runtime)
            await sender.send(await runtime.stores.alerts.all())
            await sender.close()
        # A gap in the watch is told, and nothing else.
        assert {got.json["data"]["name"] for got in receiver.got} <= {"nobody_watched"}


async def _number(got: Sequence[object]) -> int:
    return len(got)
