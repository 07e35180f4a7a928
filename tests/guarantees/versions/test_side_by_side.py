"""Clients of two versions of one release go on: each by its own names and defaults, on the same payments."""

from __future__ import annotations

import json
from typing import Any, cast

import asyncpg
import httpx
import pytest

from tallystick.access.key_store import create_key
from tallystick.domain.api_versions import VERSIONS, Versions
from tallystick.flows.payments.attempts import fetch_verdict, settle_verdict
from tallystick.flows.runtime import Runtime
from tallystick.kit.ids import new_id
from tallystick.oversight.invariants.verify import verify
from tests.support.api import as_listed, assert_problem, inside
from tests.support.database import Database
from tests.support.endpoints import PATH as ENDPOINTS
from tests.support.endpoints import SETTINGS
from tests.support.outbox import drain, worker
from tests.support.receivers import receiving
from tests.support.runtime import BookedProvider, timed_out
from tests.support.second_version import NEW, OLD, SECOND, published
from tests.support.two_versions import CHARGE, PAYMENTS, Shop, shops

#: What a read of a payment has beside the answer to its create.
NO_MEMBERS: dict[str, list[str]] = {"refunds": [], "disputes": []}


async def assert_sound(runtime: Runtime, merchant_id: str) -> None:
    """No invariant of this merchant is broken."""
    async with runtime.pool.acquire() as pooled:
        connection = cast(asyncpg.Connection, pooled)
        report = await verify(connection, settings=runtime.settings, merchant_id=merchant_id)
    assert report.violations == ()


def dated(answer: httpx.Response) -> str:
    version: str = answer.headers["tallystick-version"]
    return version


async def test_each_client_has_its_names_and_its_defaults(database: Database, fresh_merchant: str) -> None:
    async with shops(database, fresh_merchant) as both:
        old = await both.old.post(PAYMENTS, CHARGE | {"statement": "A hat"})
        new = await both.new.post(PAYMENTS, CHARGE | {"description": "A hat"})
        assert (dated(old), old.json()["state"], old.json()["statement"]) == (OLD, "authorized", "A hat")
        assert (dated(new), new.json()["state"], new.json()["description"]) == (NEW, "captured", "A hat")
        assert "description" not in old.json() and "statement" not in new.json()
        # Each reads the other's payment in its own version, alone and in a list.
        seen = await both.old.get(f"{PAYMENTS}/{new.json()['id']}")
        assert (dated(seen), as_listed(seen.json())) == (OLD, _first_version_of(new.json()) | NO_MEMBERS)
        listed = await both.old.get(f"{PAYMENTS}?status=captured")
        assert [each["statement"] for each in listed.json()["data"]] == ["A hat"]
        assert (await both.new.get(f"{PAYMENTS}?state=captured")).json()["data"] == [new.json() | NO_MEMBERS]
        for shop, unknown in ((both.old, "description"), (both.new, "statement")):
            refused = assert_problem(await shop.post(PAYMENTS, CHARGE | {unknown: "A hat"}), 422, "validation_failed")
            assert [(each["field"], each["code"]) for each in refused["errors"]] == [(unknown, "unknown_field")]
        unknown_parameter = await both.new.get(f"{PAYMENTS}?status=captured")
        assert_problem(unknown_parameter, 422, "validation_failed")
        captured = await both.new.post(f"{PAYMENTS}/{old.json()['id']}/capture")
        assert (captured.json()["state"], captured.json()["description"]) == ("captured", "A hat")
        await assert_sound(both.runtime, fresh_merchant)


def _first_version_of(payment: dict[str, Any]) -> dict[str, Any]:
    return {{"description": "statement"}.get(name, name): value for name, value in payment.items()}


async def test_a_header_names_the_version_of_one_request(database: Database, fresh_merchant: str) -> None:
    async with shops(database, fresh_merchant) as both:
        made = await both.old.post(PAYMENTS, CHARGE | {"description": "A hat"}, tallystick_version=NEW)
        assert (dated(made), made.json()["state"], made.json()["description"]) == (NEW, "captured", "A hat")
        path = f"{PAYMENTS}/{made.json()['id']}"
        assert dated(await both.old.get(path)) == OLD
        assert dated(await both.new.get(path, tallystick_version=OLD)) == OLD


async def test_an_unknown_version_is_refused_and_nothing_is_written(database: Database, fresh_merchant: str) -> None:
    async with shops(database, fresh_merchant) as both:
        key = new_id("req")
        for named in ("2001-01-01", "newest", "", f"{OLD}, {NEW}"):
            answer = await both.old.post(PAYMENTS, CHARGE, key, tallystick_version=named)
            refused = assert_problem(answer, 400, "version_unknown")
            assert refused["outcome"] == "not_executed" and OLD in refused["detail"] and NEW in refused["detail"]
            assert await both.runtime.reads.instruction(fresh_merchant, key) is None
        assert (await both.old.get(PAYMENTS)).json()["data"] == []
        assert (await both.old.post(PAYMENTS, CHARGE, key)).status_code == 201, "the key is free"


@pytest.mark.parametrize("makes", [OLD, NEW])
async def test_a_replay_is_the_first_answer_whatever_version_asks(
    database: Database, fresh_merchant: str, makes: str
) -> None:
    """Answers and refusals. The same request is the same bytes: its names are those of one version."""
    async with shops(database, fresh_merchant) as both:
        maker, other = (both.old, both.new) if makes == OLD else (both.new, both.old)
        key, refused_key = new_id("req"), new_id("req")
        first = await maker.post(PAYMENTS, CHARGE, key)
        refund = f"{PAYMENTS}/{first.json()['id']}/refunds"
        refused = await maker.post(refund, {"amount": 1_001}, refused_key)
        assert (first.status_code, refused.status_code, dated(refused)) == (201, 409, makes)
        for shop in (maker, other):
            again = await shop.post(PAYMENTS, CHARGE, key)
            assert (again.status_code, again.content, dated(again)) == (201, first.content, makes)
            assert again.headers["idempotent-replayed"] == "true"
            again = await shop.post(refund, {"amount": 1_001}, refused_key)
            assert (again.status_code, again.content, dated(again)) == (409, refused.content, makes)
        assert again.headers.get_list("tallystick-version") == [makes]


async def test_a_replay_outlives_its_version(database: Database, fresh_merchant: str) -> None:
    """The key comes before the version: a client that sends an instruction again is told what became of it, and never
    that nothing was executed."""
    provider = BookedProvider()
    charge, key, refused_key, lost_key = CHARGE | {"statement": "A hat"}, new_id("req"), new_id("req"), new_id("req")
    async with shops(database, fresh_merchant, provider) as both:
        first = await both.old.post(PAYMENTS, charge, key)
        refund = f"{PAYMENTS}/{first.json()['id']}/refunds"
        refused = await both.old.post(refund, {"amount": 1_001}, refused_key)
        provider.after = timed_out
        lost = await both.old.post(PAYMENTS, charge, lost_key)
        assert (first.status_code, refused.status_code, lost.status_code) == (201, 409, 202)
        old_key, new_key = both.old.key, both.new.key
    with published(), VERSIONS.ending(OLD):
        async with inside(database, fresh_merchant, provider, **SETTINGS) as inner:
            runtime: Runtime = inner.app.state.runtime
            old, new = Shop(inner, old_key), Shop(inner, new_key)
            for shop, named in ((old, None), (old, OLD), (new, OLD), (new, "2001-01-01"), (old, NEW), (new, None)):
                headers = {} if named is None else {"tallystick_version": named}
                for path, body, its_key, was in (
                    (PAYMENTS, charge, key, first),
                    (refund, {"amount": 1_001}, refused_key, refused),
                ):
                    again = await shop.post(path, body, its_key, **headers)
                    assert (again.status_code, again.content) == (was.status_code, was.content)
                    assert again.headers.get_list("tallystick-version") == [OLD]
                    assert again.headers["idempotent-replayed"] == "true"
                pending = await shop.post(PAYMENTS, charge, lost_key, **headers)
                assert (pending.status_code, pending.json()["id"], dated(pending)) == (202, lost.json()["id"], NEW)
                assert pending.json()["description"] == "A hat" and pending.headers["retry-after"]
                other = await shop.post(PAYMENTS, CHARGE, key, **headers)
                assert_problem(other, 422, "idempotency_key_reused")
            for shop, named in ((old, None), (old, OLD), (new, OLD)):
                headers = {} if named is None else {"tallystick_version": named}
                fresh = new_id("req")
                refused_now = assert_problem(
                    await shop.post(PAYMENTS, charge, fresh, **headers), 400, "version_unknown"
                )
                assert refused_now["outcome"] == "not_executed" and NEW in refused_now["detail"]
                assert await runtime.reads.instruction(fresh_merchant, fresh) is None
                assert_problem(await shop.get(PAYMENTS, **headers), 400, "version_unknown")
            provider.after = None
            assert (await old.post(PAYMENTS, CHARGE, tallystick_version=NEW)).status_code == 201
            assert_problem(await old.get("/openapi.json", tallystick_version=OLD), 400, "version_unknown")
            await assert_sound(runtime, fresh_merchant)


async def test_a_process_of_the_release_before_replays_what_a_newer_one_recorded(
    database: Database, fresh_merchant: str
) -> None:
    """While processes are replaced. It has no translations of that version, and needs none."""
    key = new_id("req")
    async with shops(database, fresh_merchant) as both:
        first = await both.new.post(PAYMENTS, CHARGE, key)
        new_key = both.new.key
    async with inside(database, fresh_merchant, BookedProvider(), **SETTINGS) as inner:
        new = Shop(inner, new_key)
        for headers in ({}, {"tallystick_version": NEW}):
            again = await new.post(PAYMENTS, CHARGE, key, **headers)
            assert (again.status_code, again.content, dated(again)) == (201, first.content, NEW)
        fresh = await new.post(PAYMENTS, CHARGE)
        assert_problem(fresh, 503, "not_ready")
        assert fresh.headers["retry-after"], "another process may serve it"
        assert_problem(await new.post(PAYMENTS, CHARGE, tallystick_version=NEW), 400, "version_unknown")


async def test_an_endpoint_keeps_a_version_that_has_ended(database: Database, fresh_merchant: str) -> None:
    """Its messages go on: no merchant misses one because a release ended a version."""
    async with receiving() as receiver, shops(database, fresh_merchant) as both:
        assert (await both.old.post(ENDPOINTS, {"url": receiver.url})).status_code == 201
        with VERSIONS.ending(OLD):
            payment = (await both.new.post(PAYMENTS, CHARGE | {"description": "A hat"})).json()
            async with worker(both.runtime) as delivery:
                await drain(delivery)
            refused = await both.new.post(ENDPOINTS, {"url": f"{receiver.url}?other", "api_version": OLD})
            assert_problem(refused, 422, "validation_failed")
        [got] = receiver.got
        assert got.json["data"] == _first_version_of(payment) and got.headers["tallystick-version"] == OLD


def test_the_newest_version_does_not_end_and_the_first_one_stays() -> None:
    """Rows of the record that name no version are in the first one: another first row would change what they say."""
    with published():
        with pytest.raises(ValueError, match="newest"), VERSIONS.ending(NEW):
            pass
        with VERSIONS.ending(OLD):
            assert (VERSIONS.find(OLD), VERSIONS.date_of(None), VERSIONS.stored(VERSIONS.first)) == (None, OLD, None)
            assert [row.date for row in VERSIONS.rows] == [NEW]
    with pytest.raises(ValueError, match="first"):
        Versions([SECOND])


async def test_what_recovery_ends_is_recorded_in_the_version_of_its_client(
    database: Database, fresh_merchant: str
) -> None:
    """No process that ends an instruction later has the client's request: the attempt has its version."""
    provider = BookedProvider()
    async with shops(database, fresh_merchant, provider) as both:

        async def ended_later(shop: Shop, other: Shop, path: str, body: Any) -> httpx.Response:
            """An instruction whose answer was lost, and what another client reads of it after recovery."""
            key, provider.after = new_id("req"), timed_out
            first = await shop.post(path, body, key)
            assert first.status_code == 202
            provider.after = None
            loaded = await both.runtime.reads.load(fresh_merchant, first.json().get("payment_id", first.json()["id"]))
            assert loaded is not None
            attempt = max(loaded.stored.attempts, key=lambda each: each.attempt_id)
            verdict = await fetch_verdict(both.runtime, loaded.stored.payment, attempt)
            await settle_verdict(
                both.runtime, loaded.stored, attempt.attempt_id, verdict, cause="recovery", actor="recovery"
            )
            again = await other.post(path, body, key)
            assert again.status_code < 202 and dated(again) == dated(first)
            return again

        made = await ended_later(both.old, both.new, PAYMENTS, CHARGE | {"statement": "A hat"})
        assert (dated(made), made.json()["statement"]) == (OLD, "A hat")
        captured = await ended_later(both.new, both.old, f"{PAYMENTS}/{made.json()['id']}/capture", {})
        assert (dated(captured), captured.json()["description"]) == (NEW, "A hat")
        made = await ended_later(both.new, both.old, PAYMENTS, CHARGE | {"description": "A hat"})
        assert (dated(made), made.json()["description"]) == (NEW, "A hat")
        refunded = await ended_later(both.old, both.new, f"{PAYMENTS}/{made.json()['id']}/refunds", {})
        assert (dated(refunded), refunded.json()["object"]) == (OLD, "refund")


async def test_each_endpoint_gets_messages_in_its_version(database: Database, fresh_merchant: str) -> None:
    """Signed as they are sent. The first endpoint was registered by a client of the first version."""
    async with receiving() as old, receiving() as new, receiving() as named, shops(database, fresh_merchant) as both:
        made = [
            await both.old.post(ENDPOINTS, {"url": old.url}),
            await both.new.post(ENDPOINTS, {"url": new.url}),
            await both.new.post(ENDPOINTS, {"url": named.url, "api_version": OLD}),
        ]
        assert [each.json()["endpoint"]["api_version"] for each in made] == [OLD, NEW, OLD]
        wrong = await both.new.post(ENDPOINTS, {"url": f"{new.url}?other", "api_version": "2001-01-01"})
        assert [each["field"] for each in assert_problem(wrong, 422, "validation_failed")["errors"]] == ["api_version"]
        payment = (await both.new.post(PAYMENTS, CHARGE | {"description": "A hat"})).json()
        async with worker(both.runtime) as delivery:
            await drain(delivery)
        for receiver, answer, version in zip((old, new, named), made, (OLD, NEW, OLD), strict=True):
            [got] = receiver.got
            expected = payment if version == NEW else _first_version_of(payment)
            assert got.verified(answer.json()["secret"])["data"] == expected
            assert got.headers["tallystick-version"] == version
        assert old.got[0].body == named.got[0].body
        for shop, receiver in ((both.old, old), (both.new, new)):
            [listed] = (await shop.get("/v1/messages")).json()["data"]
            assert listed["body"].encode() == receiver.got[0].body, "the list fills up an endpoint of its version"
        await assert_sound(both.runtime, fresh_merchant)


async def test_a_message_of_before_goes_out_as_it_was_written(database: Database, fresh_merchant: str) -> None:
    """An endpoint of the new version gets a message that the release before wrote: the header says so."""
    old_key = await create_key(database.app_url, fresh_merchant)
    async with receiving() as receiver, inside(database, fresh_merchant, BookedProvider(), **SETTINGS) as inner:
        with published():
            new = Shop(inner, await create_key(database.app_url, fresh_merchant))
            assert (await new.post(ENDPOINTS, {"url": receiver.url})).status_code == 201
        assert (await Shop(inner, old_key).post(PAYMENTS, CHARGE)).status_code == 201
        with published():
            async with worker(inner.app.state.runtime) as delivery:
                await drain(delivery)
        [got] = receiver.got
        assert got.headers["tallystick-version"] == OLD and "description" in got.json["data"]


async def test_with_one_version_the_bytes_are_those_of_the_record(database: Database, fresh_merchant: str) -> None:
    async with inside(database, fresh_merchant, BookedProvider()) as inner:
        answer = await inner.pay()
        runtime: Runtime = inner.app.state.runtime
        columns = "SELECT api_version FROM {} WHERE merchant_id = $1"
        for table in ("response", "outbox", "attempt"):
            rows = await runtime.pool.fetch(columns.format(table), fresh_merchant)
            assert [row[0] for row in rows] == [None], table
        assert answer.headers["tallystick-version"] == OLD
        assert await runtime.pool.fetchval("SELECT answer_key FROM outbox WHERE merchant_id = $1", fresh_merchant)


async def test_each_version_has_its_document(database: Database, fresh_merchant: str) -> None:
    async with shops(database, fresh_merchant) as both:
        for version, name in ((OLD, "statement"), (NEW, "description")):
            answer = await both.old.get("/openapi.json", tallystick_version=version)
            document = json.loads(answer.content)
            assert (document["info"]["x-api-version"], dated(answer)) == (version, version)
            assert name in document["components"]["schemas"]["Payment"]["properties"]
        unnamed = await both.old.get("/openapi.json")
        assert dated(unnamed) == NEW, "nobody's key is known there"
