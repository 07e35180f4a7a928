"""Whoever saw no answer asks again: a second registration, rotation or resend does no harm."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from tallystick.flows.runtime import Runtime
from tallystick.flows.webhooks.outbound.endpoints import Registered, TooManyEndpoints, UrlTaken
from tallystick.kit.clock import Clock
from tallystick.record.postgres.webhook_endpoints import EndpointStore
from tests.support.api import inside
from tests.support.database import Database
from tests.support.endpoints import PATH, SETTINGS, code_of
from tests.support.outbox import (
    book_of,
    drain,
    endpoints_of,
    pay,
    register,
    runtime_for,
    worker,
)
from tests.support.polling import eventually_async
from tests.support.receivers import receiving
from tests.support.runtime import BookedProvider
from tests.support.slow_commits import SlowCommits

URL = "http://127.0.0.1:9/hooks"


async def test_a_registration_that_is_sent_again_names_the_endpoint_whose_secret_can_be_rotated(
    database: Database, fresh_merchant: str
) -> None:
    async with receiving() as receiver, inside(database, fresh_merchant, BookedProvider(), **SETTINGS) as inner:
        client, body = inner.client, {"url": receiver.url}
        unseen = (await client.post(PATH, json=body)).json()
        again = await client.post(PATH, json=body)
        assert code_of(again, 409) == "webhook_endpoint_exists"
        assert again.json()["webhook_endpoint_id"] == unseen["endpoint"]["id"]
        assert (again.json()["outcome"], again.json()["retryable"]) == ("not_executed", False)
        assert receiver.url not in again.text

        one = f"{PATH}/{again.json()['webhook_endpoint_id']}"
        secret = (await client.post(f"{one}/rotate-secret", json={"overlap_ms": 0})).json()["secret"]
        assert (await inner.pay()).status_code == 201
        async with worker(inner.app.state.runtime) as delivery:
            await drain(delivery)
        assert len(receiver.got) == 1, "one endpoint hears once"
        receiver.got[0].verified(secret)


async def test_a_disabled_endpoint_keeps_its_url_and_a_deleted_one_does_not(
    database: Database, fresh_merchant: str
) -> None:
    async with inside(database, fresh_merchant, BookedProvider(), **SETTINGS) as inner:
        client = inner.client
        first = (await client.post(PATH, json={"url": URL})).json()["endpoint"]["id"]
        await client.post(f"{PATH}/{first}/disable")
        refused = await client.post(PATH, json={"url": URL})
        assert code_of(refused, 409) == "webhook_endpoint_exists"
        assert refused.json()["webhook_endpoint_id"] == first, "it can be enabled"
        for _ in range(2):  # any number of deleted ones may have had the URL
            await client.delete(f"{PATH}/{first}")
            made = await client.post(PATH, json={"url": URL})
            assert made.status_code == 201
            assert made.json()["endpoint"]["id"] != first
            first = made.json()["endpoint"]["id"]


async def test_merchants_do_not_see_each_others_urls(database: Database, fresh_merchant: str) -> None:
    async with runtime_for(database) as runtime:
        await register(runtime, fresh_merchant, URL)
        await register(runtime, f"{fresh_merchant}x", URL)


async def _live(runtime: Runtime, merchant_id: str) -> list[str]:
    return [row.endpoint_id for row in await book_of(runtime).endpoints(merchant_id)]


async def test_registrations_at_once_make_one_endpoint(database: Database, fresh_merchant: str) -> None:
    """From two processes, as far as the database can tell."""
    async with runtime_for(database) as one, runtime_for(database) as other:
        asked = [register(runtime, fresh_merchant, URL) for runtime in (one, other) * 6]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        (made,) = [answer for answer in answers if isinstance(answer, Registered)]
        taken = [answer.endpoint_id for answer in answers if isinstance(answer, UrlTaken)]
        assert taken == [made.endpoint_id] * 11
        assert await _live(one, fresh_merchant) == [made.endpoint_id]


@pytest.mark.parametrize("commits", [True, False])
async def test_a_registration_waits_for_what_another_one_comes_to(
    database: Database, fresh_merchant: str, commits: bool
) -> None:
    """The first is written and not committed when the second asks: told of it, or made in its place."""
    async with runtime_for(database) as runtime:
        pool = SlowCommits(runtime.pool)
        rules = endpoints_of(runtime)
        rules._book = EndpointStore(cast(Any, pool), Clock())
        first = asyncio.create_task(
            rules.register(fresh_merchant, url=URL, event_types=None, description=None, actor="key:test")
        )
        await pool.waiting.wait()
        second = asyncio.create_task(register(runtime, fresh_merchant, URL))
        await _blocked(runtime)
        if commits:
            pool.go_on.set()
            made = await first
            with pytest.raises(UrlTaken) as taken:
                await second
            assert taken.value.endpoint_id == made.endpoint_id
        else:
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)
            made = await second
        assert await _live(runtime, fresh_merchant) == [made.endpoint_id]


async def _blocked(runtime: Runtime) -> None:
    """Until somebody waits for another transaction."""
    await eventually_async(lambda: runtime.pool.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))


async def test_an_endpoint_deleted_while_its_url_is_registered_is_no_reason_to_refuse(
    database: Database, fresh_merchant: str
) -> None:
    async with runtime_for(database, outbound_endpoints_limit=1) as runtime:
        book = book_of(runtime)
        found = book.endpoint_at

        async def deleted_meanwhile(merchant_id: str, url: str) -> str | None:
            for endpoint_id in await _live(runtime, merchant_id):
                await book.delete(merchant_id, endpoint_id, actor="key:other")
            return await found(merchant_id, url)

        await register(runtime, fresh_merchant, URL)
        rules = endpoints_of(runtime)
        rules._book = book
        book.endpoint_at = deleted_meanwhile  # type: ignore[method-assign]  # the race
        made = await rules.register(fresh_merchant, url=URL, event_types=None, description=None, actor="key:test")
        assert await _live(runtime, fresh_merchant) == [made.endpoint_id]
        with pytest.raises(TooManyEndpoints):
            await register(runtime, fresh_merchant, f"{URL}/other")


async def test_asking_again_to_resend_does_not_send_the_rest_again(database: Database, fresh_merchant: str) -> None:
    """What the first request has sent again is no longer unheard; one message resent twice keeps its id."""
    async with receiving() as receiver, runtime_for(database) as runtime, worker(runtime) as delivery:
        made = await register(runtime, fresh_merchant, receiver)
        book, rules = book_of(runtime), endpoints_of(runtime)
        await book.disable(fresh_merchant, made.endpoint_id, "by_request", actor="key:test")
        for number in range(3):
            await pay(runtime, fresh_merchant, f"k{number}")
        await drain(delivery)
        await book.enable(fresh_merchant, made.endpoint_id, actor="key:test")
        (endpoint,) = await book.endpoints(fresh_merchant)
        since = endpoint.created_at
        counts = [
            (await rules.resend_since(fresh_merchant, made.endpoint_id, since, actor="key:test")).count
            for _ in range(2)
        ]
        assert counts == [3, 0]
        await drain(delivery)
        assert len(receiver.got) == len({got.message_id for got in receiver.got}) == 3
        message_id = receiver.got[0].message_id
        for _ in range(2):
            assert await book.resend(fresh_merchant, made.endpoint_id, [message_id], actor="key:test") == 1
        await drain(delivery)
        assert {got.message_id for got in receiver.got[3:]} == {message_id}
