"""Endpoints over HTTP: registered, shown, disabled, enabled, rotated, deleted; the log and sending again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tallystick.flows.runtime import Runtime
from tallystick.flows.webhooks.outbound.endpoints import DELIVERY_STATES
from tallystick.interfaces.api.routes.webhook_endpoints import EVENT_TYPES
from tests.support.api import Inside, inside
from tests.support.database import Database
from tests.support.endpoints import PATH, SETTINGS, code_of
from tests.support.outbox import drain, worker
from tests.support.receivers import receiving, status
from tests.support.runtime import BookedProvider


def at(inner: Inside) -> Runtime:
    runtime: Runtime = inner.app.state.runtime
    return runtime


async def test_the_life_of_an_endpoint(database: Database, fresh_merchant: str) -> None:
    async with receiving() as receiver, inside(database, fresh_merchant, BookedProvider(), **SETTINGS) as inner:
        client = inner.client
        body = {"url": receiver.url, "event_types": ["payment.captured"], "description": "the shop"}
        made = await client.post(PATH, json=body)
        assert made.status_code == 201
        secret, endpoint = made.json()["secret"], made.json()["endpoint"]
        assert made.headers["location"] == f"{PATH}/{endpoint['id']}"
        one = f"{PATH}/{endpoint['id']}"
        assert (endpoint["url"], endpoint["event_types"], endpoint["state"]) == (
            receiver.url, ["payment.captured"], "enabled",
        )  # fmt: skip

        shown = await client.get(one)
        assert (shown.status_code, shown.json()) == (200, endpoint)
        listed = await client.get(PATH)
        assert listed.json() == {"data": [endpoint]}
        assert secret not in shown.text + listed.text, "the secret is shown once"

        assert (await inner.pay()).status_code == 201
        async with worker(at(inner)) as delivery:
            await drain(delivery)
        assert receiver.got[0].verified(secret)["type"] == "payment.captured"

        rotated = await client.post(f"{one}/rotate-secret", json={"overlap_ms": 60_000})
        assert rotated.status_code == 200
        until = datetime.fromisoformat(rotated.json()["previous_until"])
        assert timedelta(seconds=30) < until - datetime.now(UTC) < timedelta(seconds=90)
        assert (await client.post(f"{one}/rotate-secret")).status_code == 200, "the body may be left out"

        disabled = await client.post(f"{one}/disable")
        assert (disabled.json()["state"], disabled.json()["disabled_reason"]) == ("disabled", "by_request")
        assert (await client.post(f"{one}/disable")).json() == disabled.json(), "once more changes nothing"
        enabled = await client.post(f"{one}/enable")
        assert (enabled.json()["state"], enabled.json()["disabled_reason"]) == ("enabled", None)

        deleted = await client.delete(one)
        assert (deleted.status_code, deleted.json()) == (200, {"id": endpoint["id"], "deleted": True})
        assert code_of(await client.get(one), 404) == "not_found"
        assert code_of(await client.delete(one), 404) == "not_found"
        assert (await client.get(PATH)).json() == {"data": []}


async def test_the_log_shows_every_try_and_messages_are_sent_again(database: Database, fresh_merchant: str) -> None:
    async with receiving() as receiver, inside(database, fresh_merchant, BookedProvider(), **SETTINGS) as inner:
        client = inner.client
        receiver.script = status(500)
        endpoint = (await client.post(PATH, json={"url": receiver.url})).json()["endpoint"]
        log = f"{PATH}/{endpoint['id']}/deliveries"
        payments = [(await inner.pay()).json()["id"] for _ in range(3)]
        async with worker(at(inner)) as delivery:
            for _ in payments:  # one that fails is asked by one message at a time
                await drain(delivery)
            pages = [(await client.get(log, params={"limit": 2})).json()]
            assert pages[0]["has_more"]
            pages.append((await client.get(log, params={"limit": 2, "cursor": pages[0]["next_cursor"]})).json())
            assert (pages[1]["has_more"], pages[1]["next_cursor"]) == (False, None)
            shown = [one for page in pages for one in page["data"]]
            assert [one["payment_id"] for one in shown] == payments[::-1]
            for one in shown:
                assert (one["state"], one["type"], one["version"]) == ("open", "payment.captured", 2)
                assert one["next_attempt_at"] is not None
                (attempt,) = one["attempts"]
                assert (attempt["number"], attempt["result"], attempt["status"]) == (1, "refused", 500)
                assert attempt["error"] == "answered with 500"
                assert attempt["duration_ms"] >= 0

            receiver.script = status(200)
            resent = await client.post(f"{log}/{shown[0]['message_id']}/resend")
            assert (resent.status_code, resent.json()["resends"]) == (200, 1)
            await drain(delivery)
            (one,) = (await client.get(log, params={"state": "delivered"})).json()["data"]
            assert one["message_id"] == shown[0]["message_id"]
            results = [attempt["result"] for attempt in one["attempts"]]
            assert results == ["refused", "resend_requested", "delivered"]
            assert (await client.get(log, params={"state": "exhausted"})).json()["data"] == []

            await client.post(f"{PATH}/{endpoint['id']}/disable")
            refused = await client.post(f"{log}/{shown[0]['message_id']}/resend")
            assert code_of(refused, 409) == "webhook_endpoint_disabled"
            await client.post(f"{PATH}/{endpoint['id']}/enable")
            since = {"since": shown[-1]["dispatched_at"]}
            assert (await client.post(f"{log}/resend", json=since)).json() == {"count": 2, "has_more": False}
            future = {"since": "2999-01-01T00:00:00Z"}
            assert (await client.post(f"{log}/resend", json=future)).json() == {"count": 0, "has_more": False}
            await drain(delivery)
        states = {one["state"] for one in (await client.get(log)).json()["data"]}
        assert states == {"delivered"}


@pytest.mark.parametrize(
    ("body", "field", "code"),
    [
        ({}, "body", "invalid_value"),
        ({"url": 1}, "url", "invalid_value"),
        ({"url": ""}, "url", "invalid_value"),
        ({"url": "https://m.example/", "color": "red"}, "body", "invalid_value"),
        ({"url": "ftp://m.example/"}, "url", "https_required"),
        ({"url": "https://user@m.example/"}, "url", "invalid_url"),
        ({"url": "https://2130706433/"}, "url", "invalid_url"),
        ({"url": "https://no-such-host.invalid/"}, "url", "address_refused"),
        ({"url": "https://m.example/", "event_types": []}, "event_types", "invalid_value"),
        ({"url": "https://m.example/", "event_types": ["payment.dreamt"]}, "event_types", "unknown_value"),
        ({"url": "https://m.example/", "event_types": ["payment.captured"] * 2}, "event_types", "unknown_value"),
        ({"url": "https://m.example/", "description": "\x00"}, "description", "invalid_value"),
    ],
)
async def test_what_cannot_be_an_endpoint_is_refused_by_field(
    database: Database, fresh_merchant: str, body: dict[str, Any], field: str, code: str
) -> None:
    async with inside(database, fresh_merchant, BookedProvider(), **SETTINGS) as inner:
        refused = await inner.client.post(PATH, json=body)
        assert code_of(refused, 422) == "validation_failed"
        assert [(error["field"], error["code"]) for error in refused.json()["errors"]] == [(field, code)]


async def test_in_earnest_only_https_to_public_addresses(database: Database, fresh_merchant: str) -> None:
    async with inside(database, fresh_merchant, BookedProvider()) as inner:
        for url, code in (
            ("http://merchant.example/", "https_required"),
            ("https://127.0.0.1/", "address_refused"),
            ("https://localhost/", "address_refused"),
            ("https://[::ffff:10.0.0.1]/", "address_refused"),
            ("https://8.8.8.8:22/", "port_refused"),
        ):
            refused = await inner.client.post(PATH, json={"url": url})
            assert code_of(refused, 422) == "validation_failed"
            assert refused.json()["errors"][0]["code"] == code
            assert url not in refused.text


async def test_there_is_a_limit_and_a_deleted_endpoint_does_not_count(database: Database, fresh_merchant: str) -> None:
    async with inside(database, fresh_merchant, BookedProvider(), **SETTINGS) as inner:
        urls = [{"url": f"http://127.0.0.1:9/{number}"} for number in range(4)]
        made = [(await inner.client.post(PATH, json=url)).json()["endpoint"]["id"] for url in urls[:3]]
        assert code_of(await inner.client.post(PATH, json=urls[3]), 409) == "webhook_endpoint_limit"
        again = await inner.client.post(PATH, json=urls[2])
        assert code_of(again, 409) == "webhook_endpoint_exists", "asking again is told of what is there"
        await inner.client.delete(f"{PATH}/{made[0]}")
        assert (await inner.client.post(PATH, json=urls[3])).status_code == 201


async def test_another_merchants_endpoint_is_not_there(database: Database, fresh_merchant: str) -> None:
    async with inside(database, fresh_merchant, BookedProvider(), **SETTINGS) as inner:
        made = (await inner.client.post(PATH, json={"url": "http://127.0.0.1:9/"})).json()["endpoint"]["id"]
    async with inside(database, f"{fresh_merchant}x", BookedProvider(), **SETTINGS) as stranger:
        client, one = stranger.client, f"{PATH}/{made}"
        message = f"msg_{'0' * 32}"
        for answer in (
            await client.get(one),
            await client.delete(one),
            await client.post(f"{one}/disable"),
            await client.post(f"{one}/enable"),
            await client.post(f"{one}/rotate-secret"),
            await client.post(f"{one}/test"),
            await client.get(f"{one}/deliveries"),
            await client.post(f"{one}/deliveries/{message}/resend"),
            await client.post(f"{one}/deliveries/resend", json={"since": "2026-01-01T00:00:00Z"}),
        ):
            assert code_of(answer, 404) == "not_found"
        assert (await client.get(PATH)).json() == {"data": []}
    async with inside(database, fresh_merchant, BookedProvider(), **SETTINGS) as inner:
        assert (await inner.client.get(f"{PATH}/{made}")).json()["state"] == "enabled"


async def test_who_has_no_key_gets_nothing(database: Database, fresh_merchant: str) -> None:
    async with inside(database, fresh_merchant, BookedProvider(), **SETTINGS) as inner:
        answer = await inner.client.post(PATH, json={"url": "http://127.0.0.1:9/"}, headers={"Authorization": ""})
        assert code_of(answer, 401) == "unauthenticated"


@pytest.mark.parametrize("cursor", ["x", "AAAA", "!!!", "A" * 34, "AQ", "_" * 34])
async def test_cursors_that_we_did_not_write_are_refused(database: Database, fresh_merchant: str, cursor: str) -> None:
    async with inside(database, fresh_merchant, BookedProvider(), **SETTINGS) as inner:
        made = (await inner.client.post(PATH, json={"url": "http://127.0.0.1:9/"})).json()["endpoint"]["id"]
        answer = await inner.client.get(f"{PATH}/{made}/deliveries", params={"cursor": cursor})
        assert code_of(answer, 422) == "validation_failed"


async def test_queries_are_checked(database: Database, fresh_merchant: str) -> None:
    async with inside(database, fresh_merchant, BookedProvider(), **SETTINGS) as inner:
        made = (await inner.client.post(PATH, json={"url": "http://127.0.0.1:9/"})).json()["endpoint"]["id"]
        one = f"{PATH}/{made}"
        for path in (PATH, one, f"{one}/deliveries"):
            assert code_of(await inner.client.get(path, params={"color": "red"}), 422) == "validation_failed"
        for params in ({"limit": "0"}, {"limit": "101"}, {"state": "lost"}, {"state": ["open", "open"]}):
            assert code_of(await inner.client.get(f"{one}/deliveries", params=params), 422) == "validation_failed"
        for state in DELIVERY_STATES:
            assert (await inner.client.get(f"{one}/deliveries", params={"state": state})).status_code == 200
        assert code_of(await inner.client.get(f"{PATH}/we_nonsense"), 404) == "not_found"
        assert code_of(await inner.client.get(f"{PATH}/4242424242424242"), 422) == "card_data_refused"
        stray = await inner.client.post(f"{one}/deliveries/resend", json={"since": "2026-01-01T00:00:00"})
        assert code_of(stray, 422) == "validation_failed"


def test_every_message_type_can_be_asked_for() -> None:
    assert "payment.captured" in EVENT_TYPES
    assert len(EVENT_TYPES) == len(set(EVENT_TYPES))
