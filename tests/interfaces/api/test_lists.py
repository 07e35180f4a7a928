"""Lists over HTTP: filters, pages with one cursor, whose entries are shown, and what a payment names."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import httpx

from tallystick.kit.ids import new_id
from tests.support.api import Inside, assert_problem, inside
from tests.support.database import Database
from tests.support.inbox import drain as drain_inbox
from tests.support.outbox import drain, register, worker
from tests.support.provider_webhooks import PATH, event, signature
from tests.support.receivers import receiving
from tests.support.runtime import BookedProvider

LISTS = ("payments", "refunds", "disputes", "provider-events", "messages")


@asynccontextmanager
async def opened(database: Database, merchant_id: str) -> AsyncIterator[Inside]:
    async with inside(database, merchant_id, BookedProvider(), webhook_allow_private_addresses=True) as api:
        yield api


async def pages(api: Inside, name: str, **query: Any) -> list[list[str]]:
    """The ids of a list, page by page."""
    found: list[list[str]] = []
    cursor: dict[str, str] = {}
    while True:
        answer = await api.client.get(f"/v1/{name}", params=query | cursor)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        found.append([each["id"] for each in page["data"]])
        assert page["has_more"] is (page["next_cursor"] is not None)
        if not page["has_more"]:
            return found
        cursor = {"cursor": page["next_cursor"]}


async def new_payment(api: Inside, **fields: Any) -> dict[str, Any]:
    payment: dict[str, Any] = (await api.pay(**fields)).json()
    return payment


async def new_refund(api: Inside, payment_id: str, amount: int = 100) -> dict[str, Any]:
    answer = await api.client.post(
        f"/v1/payments/{payment_id}/refunds", json={"amount": amount}, headers={"Idempotency-Key": new_id("req")}
    )
    assert answer.status_code == 201, answer.text
    refund: dict[str, Any] = answer.json()
    return refund


async def dispute(api: Inside, merchant_id: str, payment: dict[str, Any], reference: str, status: str) -> None:
    """A signed event about a dispute of the payment, processed."""
    about: dict[str, Any] = {
        "merchant_id": merchant_id,
        "payment_id": payment["id"],
        "charge_id": payment["provider_reference"],
        "reference": f"{reference}-{payment['id']}",
        "object": "dispute",
        "status": status,
        "amount": 400,
    }
    body = json.loads(event(**about, currency="EUR", funds=None, occurred_at="2026-01-02T03:04:05Z"))
    content = json.dumps(body | {"type": f"dispute.{status}"}).encode()
    headers = {"acquirer-signature": signature(content), "content-type": "application/json"}
    request = api.client.build_request("POST", PATH, content=content, headers=headers)
    request.headers.pop("authorization")
    assert (await api.client.send(request)).status_code == 200
    await drain_inbox(api.app.state.runtime, merchant_id)


async def test_refunds(database: Database, fresh_merchant: str) -> None:
    async with opened(database, fresh_merchant) as api:
        one, other = await new_payment(api), await new_payment(api)
        made = [await new_refund(api, payment["id"]) for payment in (one, one, other, one)]
        first, second, third, fourth = (each["id"] for each in made)
        assert await pages(api, "refunds") == [[fourth, third, second, first]]
        assert await pages(api, "refunds", limit=3) == [[fourth, third, second], [first]]
        assert await pages(api, "refunds", payment=one["id"], limit=2) == [[fourth, second], [first]]
        assert await pages(api, "refunds", state="succeeded", limit=2) == [[fourth, third], [second, first]]
        assert await pages(api, "refunds", state="failed") == [[]]
        assert await pages(api, "refunds", payment=one["id"], state="failed") == [[]]
        assert await pages(api, "refunds", payment=other["id"], state="succeeded") == [[third]]
        at = made[2]["created_at"]
        assert await pages(api, "refunds", created_gte=at) == [[fourth, third]]
        assert await pages(api, "refunds", created_lt=at, limit=1) == [[second], [first]]
        between = {"created_gte": made[1]["created_at"], "created_lt": made[3]["created_at"]}
        assert await pages(api, "refunds", **between) == [[third, second]]
        assert await pages(api, "refunds", payment=one["id"], **between) == [[second]]
        assert (await api.client.get("/v1/refunds?limit=1")).json()["data"] == [made[3]], "as GET /v1/refunds/{id}"


async def test_a_refund_in_doubt_is_shown_so(database: Database, fresh_merchant: str) -> None:
    async with opened(database, fresh_merchant) as api:
        payment = await new_payment(api)
        doubted, sure = await new_refund(api, payment["id"]), await new_refund(api, payment["id"])
        await api.app.state.runtime.pool.execute(
            "UPDATE attempt SET state = 'unknown' WHERE merchant_id = $1 AND refund_id = $2",
            fresh_merchant,
            doubted["id"],
        )
        listed = (await api.client.get("/v1/refunds")).json()["data"]
        assert [(each["id"], each["in_doubt"]) for each in listed] == [(sure["id"], False), (doubted["id"], True)]


async def test_disputes_events_and_the_ids_of_a_payment(database: Database, fresh_merchant: str) -> None:
    async with opened(database, fresh_merchant) as api:
        one, other = await new_payment(api), await new_payment(api)
        refund = await new_refund(api, one["id"])
        await dispute(api, fresh_merchant, one, "first", "opened")
        await dispute(api, fresh_merchant, other, "second", "opened")
        await dispute(api, fresh_merchant, one, "third", "opened")
        await dispute(api, fresh_merchant, one, "first", "won")
        (all_of_them,) = await pages(api, "disputes")
        third, second, first = all_of_them
        assert await pages(api, "disputes", limit=2) == [[third, second], [first]]
        assert await pages(api, "disputes", payment=one["id"], limit=1) == [[third], [first]]
        assert await pages(api, "disputes", state="won") == [[first]]
        assert await pages(api, "disputes", state="opened") == [[third, second]]
        assert await pages(api, "disputes", payment=one["id"], state="opened") == [[third]]
        at = (await api.client.get(f"/v1/disputes/{second}")).json()["created_at"]
        assert await pages(api, "disputes", created_gte=at) == [[third, second]]
        assert await pages(api, "disputes", created_lt=at) == [[first]]

        events = (await api.client.get("/v1/provider-events")).json()["data"]
        assert [each["payment_id"] for each in events] == [one["id"], one["id"], other["id"], one["id"]]
        assert [each["type"] for each in events] == ["dispute.won", *["dispute.opened"] * 3]
        ids = [each["id"] for each in events]
        assert await pages(api, "provider-events", limit=3) == [ids[:3], ids[3:]]
        assert await pages(api, "provider-events", payment=other["id"]) == [[ids[2]]]
        assert await pages(api, "provider-events", created_gte=events[1]["received_at"]) == [ids[:2]]
        assert await pages(api, "provider-events", created_lt=events[1]["received_at"]) == [ids[2:]]

        shown = (await api.client.get(f"/v1/payments/{one['id']}")).json()
        assert (shown["refunds"], shown["disputes"]) == ([refund["id"]], [third, first])
        (of_other, of_one) = (await api.client.get("/v1/payments")).json()["data"]
        assert of_one == {name: value for name, value in shown.items() if name != "reconciliation"}, (
            "a read of one alone"
        )
        assert (of_other["refunds"], of_other["disputes"]) == ([], [second])


async def test_recorded_answers_and_messages_stay_as_they_were(database: Database, fresh_merchant: str) -> None:
    """A payment's ids are of the moment of a read; a replay is byte for byte the first answer."""
    async with opened(database, fresh_merchant) as api:
        first = await api.pay("k")
        payment = first.json()
        assert not {"refunds", "disputes"} & payment.keys()
        await new_refund(api, payment["id"])
        again = await api.pay("k")
        assert (again.content, again.headers["idempotent-replayed"]) == (first.content, "true")
        async with worker(api.app.state.runtime) as delivery:
            await drain(delivery)
        told = (await api.client.get("/v1/messages", params={"payment": payment["id"]})).json()["data"]
        assert json.loads(told[0]["body"])["data"] == payment


async def test_payments_by_metadata_and_amount(database: Database, fresh_merchant: str) -> None:
    async with opened(database, fresh_merchant) as api:
        red = await new_payment(api, amount=500, metadata={"colour": "red", "size[x]": "1"})
        blue = await new_payment(api, amount=700, metadata={"colour": "blue"})
        yen = await new_payment(api, amount=600, currency="JPY", metadata={"colour": ""})
        since = datetime.fromisoformat(red["created_at"])
        month = {"created_gte": red["created_at"], "created_lt": (since + timedelta(days=31)).isoformat()}
        assert await pages(api, "payments", **{"metadata[colour]": "red"}, **month) == [[red["id"]]]
        assert await pages(api, "payments", **{"metadata[colour]": ""}, **month) == [[yen["id"]]]
        assert await pages(api, "payments", **{"metadata[size[x]]": "1"}, **month) == [[red["id"]]]
        assert await pages(api, "payments", **{"metadata[shade]": "red"}, **month) == [[]]
        assert await pages(api, "payments", currency="EUR", limit=1, **month) == [[blue["id"]], [red["id"]]]
        assert await pages(api, "payments", amount_gte=600, currency="EUR", **month) == [[blue["id"]]]
        assert await pages(api, "payments", amount_lte=699, currency="EUR", **month) == [[red["id"]]]
        assert await pages(api, "payments", amount_gte=500, amount_lte=700, currency="JPY", **month) == [[yen["id"]]]
        both = {"metadata[colour]": "blue", "amount_gte": 700, "currency": "EUR", "state": "captured"}
        assert await pages(api, "payments", **both, **month) == [[blue["id"]]]
        assert await pages(api, "payments", **both | {"amount_gte": 701}, **month) == [[]]


MONTH = "created_gte=2026-01-01T00:00:00Z&created_lt=2026-02-01T00:00:00Z"


#: Queries, and what is named of each.
REFUSED: list[tuple[str, set[tuple[str, str]]]] = [
    ("payments?metadata[a]=b", {("created_gte", "required"), ("created_lt", "required")}),
    ("payments?currency=EUR&created_gte=2026-01-01T00:00:00Z", {("created_lt", "required")}),
    (
        "payments?currency=EUR&created_gte=2026-01-01T00:00:00Z&created_lt=2026-02-01T00:00:00.000001Z",
        {("created_lt", "out_of_range")},
    ),
    (f"payments?amount_gte=5&{MONTH}", {("currency", "required")}),
    (f"payments?amount_gte=5&amount_lte=4&currency=EUR&{MONTH}", {("amount_lte", "invalid_value")}),
    (f"payments?currency=EUR&idempotency_key=k&{MONTH}", {("idempotency_key", "invalid_value")}),
    (f"payments?metadata[a]=b&provider_reference=k&{MONTH}", {("provider_reference", "invalid_value")}),
    (f"payments?metadata[a]=b&metadata[c]=d&{MONTH}", {("metadata", "too_many_keys")}),
    (f"payments?metadata[a]=b&metadata[a]=c&{MONTH}", {("metadata", "repeated")}),
    (f"payments?metadata=b&{MONTH}", {("metadata", "must_be_object")}),
    (f"payments?metadata[]=b&{MONTH}", {("metadata.", "too_short")}),
    (f"payments?metadata[a]=%00&{MONTH}", {("metadata.a", "control_character")}),
    ("payments?metadata[a=b", {("metadata[a", "unknown_field")}),
    ("payments?state[a]=captured", {("state[a]", "unknown_field")}),
    ("payments?amount_gte=0", {("amount_gte", "out_of_range")}),
    ("payments?amount_lte=1000000000001", {("amount_lte", "out_of_range")}),
    ("payments?amount_lte=1.5", {("amount_lte", "must_be_integer")}),
    ("payments?currency=eur", {("currency", "unknown_value")}),
    ("refunds?state=won", {("state", "unknown_value")}),
    ("disputes?state=failed", {("state", "unknown_value")}),
    ("messages?type=payment.seen", {("type", "unknown_value")}),
    ("messages?type=payment.captured", {("created_gte", "required"), ("created_lt", "required")}),
    *(
        (
            f"{name}?created_gte=2026-01-01T00:00:00Z&created_lt=2026-01-01T01:00:00%2B01:00",
            {("created_lt", "invalid_value")},
        )
        for name in LISTS
    ),
]


async def test_what_does_not_go_together_is_named(database: Database, fresh_merchant: str) -> None:
    async with opened(database, fresh_merchant) as api:
        for query, refused in REFUSED:
            errors = assert_problem(await api.client.get(f"/v1/{query}"), 422, "validation_failed")["errors"]
            assert {(error["field"], error["code"]) for error in errors} == refused, query


async def test_another_merchants_things_are_not_there(database: Database, fresh_merchant: str) -> None:
    async with opened(database, fresh_merchant) as api:
        payment = await new_payment(api)
        await new_refund(api, payment["id"])
        await dispute(api, fresh_merchant, payment, "only", "opened")
        async with worker(api.app.state.runtime) as delivery:
            await drain(delivery)
        for name in LISTS:
            assert (await pages(api, name)) != [[]], name
        async with inside(database, f"{fresh_merchant}x", BookedProvider()) as stranger:
            for name in LISTS:
                assert await pages(stranger, name) == [[]]
            for name in ("refunds", "disputes", "provider-events", "messages"):
                answers = [
                    await stranger.client.get(f"/v1/{name}", params={"payment": named})
                    for named in (payment["id"], new_id("pay"), "x", "")
                ]
                for answer in answers:
                    assert_problem(answer, 404, "not_found")
                assert len({answer.json()["detail"] for answer in answers}) == 1, (
                    "not there and not yours are one answer"
                )


async def test_a_cursor_is_of_one_list(database: Database, fresh_merchant: str) -> None:
    async with opened(database, fresh_merchant) as api:
        payment = await new_payment(api)
        for _ in range(2):
            await new_refund(api, payment["id"])
        cursor = (await api.client.get("/v1/refunds?limit=1")).json()["next_cursor"]
        for name in set(LISTS) - {"refunds"}:
            errors = assert_problem(await api.client.get(f"/v1/{name}?cursor={cursor}"), 422, "validation_failed")[
                "errors"
            ]
            assert [error["field"] for error in errors] == ["cursor"]


async def test_messages_back_fill_a_receiver(database: Database, fresh_merchant: str) -> None:
    """What an endpoint got is listed byte for byte, oldest first, and so is what was told before there was one."""
    async with opened(database, fresh_merchant) as api:
        runtime = api.app.state.runtime
        before = await new_payment(api)
        async with receiving() as receiver, worker(runtime) as delivery:
            assert await pages(api, "messages") == [[]], "not dispatched yet"
            await drain(delivery)
            await register(runtime, fresh_merchant, receiver)
            held = await new_payment(api, capture_method="manual")
            await api.client.post(f"/v1/payments/{held['id']}/capture", headers={"Idempotency-Key": new_id("req")})
            await new_refund(api, held["id"])
            await drain(delivery)
            answer: httpx.Response = await api.client.get("/v1/messages")
        listed = answer.json()["data"]
        missed, *got = listed
        assert (missed["payment_id"], missed["type"]) == (before["id"], "payment.captured")
        assert {each["id"]: each["body"].encode() for each in got} == {one.message_id: one.body for one in receiver.got}
        assert len(got) >= 4
        for each in listed:
            body = json.loads(each["body"])
            assert (each["id"], each["type"], each["payment_id"]) == (body["id"], body["type"], body["payment_id"])
            assert (each["version"], each["created_at"]) == (body["version"], body["timestamp"])
        ids = [each["id"] for each in listed]
        assert await pages(api, "messages", limit=2) == [ids[at : at + 2] for at in range(0, len(ids), 2)]
        assert await pages(api, "messages", payment=before["id"]) == [ids[:1]]
        assert await pages(api, "messages", payment=held["id"], type="payment.authorized") == [[got[0]["id"]]]
        assert await pages(api, "messages", created_gte=got[0]["created_at"]) == [ids[1:]]
        assert await pages(api, "messages", created_lt=got[0]["created_at"]) == [ids[:1]]
        month = {"created_gte": missed["created_at"], "created_lt": got[-1]["created_at"]}
        assert await pages(api, "messages", type="payment.captured", **month) == [
            [each["id"] for each in listed[:-1] if each["type"] == "payment.captured"]
        ]
